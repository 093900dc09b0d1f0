//! What every worker of a scenario has: a channel to the runner, the clock, and random numbers.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use crate::pipe::DatagramSender;
use crate::process::current_name;
use crate::report::AnyFact;
use crate::sys::signal::kill_self;
use crate::{Error, Result};

/// A worker's report: when, who, and what: a fact in its JSON form, which the runner shows as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) worker: u32,
    pub(super) at_us: u64,
    pub(super) json: String,
}

/// The context of a running worker: reports its events, and pauses at the run's speed. Part of its role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WorkerContext {
    pub(super) events: DatagramSender<Message>,
    /// The worker's name.
    pub(super) name: String,
    /// The worker's number in the order of starting.
    pub(super) worker: u32,
    pub(super) clock: Clock,
    pub(super) seed: u64,
    /// The moment at which the worker kills itself.
    pub(super) kill_at: Option<String>,
}

impl WorkerContext {
    /// Returns the worker's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the worker's number in the order of start, from 1.
    pub(crate) fn number(&self) -> u32 {
        self.worker + 1
    }

    /// Reports an event to the runner, now. Blocks while the run is held.
    pub(crate) fn emit(&self, fact: impl Into<AnyFact>) -> Result<()> {
        self.emit_at(self.now_us(), fact)
    }

    /// Reports an event to the runner, with a time from before it: for a release, so that no other worker is shown
    /// acquiring it earlier.
    pub(crate) fn emit_at(&self, at_us: u64, fact: impl Into<AnyFact>) -> Result<()> {
        let (fact, at_us) = (fact.into(), self.clock.since(at_us));
        match self.events.send(&Message { worker: self.worker, at_us, json: fact.json().to_owned() }) {
            // The runner is gone, and this process is about to be ended too.
            Err(Error::Disconnected) => return Ok(()),
            sent => sent?,
        }
        if self.kill_at.as_ref().is_some_and(|moment| fact.is_at(moment)) {
            kill_self().map_err(|source| Error::Os { action: "kill itself", source })?;
        }
        self.clock.wait_while_held();
        Ok(())
    }

    /// Returns the microseconds since the run began.
    pub(crate) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Returns whether this run is one of an exploration.
    pub(crate) fn is_explored(&self) -> bool {
        self.clock.is_virtual()
    }

    /// Pauses for `at_speed_one`, scaled to the run's speed, which may change meanwhile.
    pub(crate) fn pause(&self, at_speed_one: Duration) {
        self.clock.pause(self.worker, at_speed_one);
    }

    /// Pauses for a random number of milliseconds from `at_speed_one`, scaled to the run's speed.
    pub(crate) fn pause_random(&self, rng: &mut StdRng, at_speed_one: RangeInclusive<u64>) {
        self.pause(Duration::from_millis(rng.random_range(at_speed_one)));
    }

    /// Pauses for `duration` at any speed, except in virtual time.
    pub(crate) fn pause_anyway(&self, duration: Duration) {
        if !self.is_explored() {
            std::thread::sleep(duration);
        }
    }

    /// Returns the result of `operation`, and its duration in microseconds.
    pub(crate) fn timed<T>(&self, operation: impl FnOnce() -> T) -> (T, u64) {
        let began_us = self.now_us();
        (operation(), self.now_us() - began_us)
    }

    /// Returns this worker's own random numbers, the same in every run with the same seed.
    pub(crate) fn rng(&self) -> StdRng {
        // Spread by the golden ratio: neighbouring seeds and workers share no sequence.
        let own = u64::from(self.worker).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        StdRng::seed_from_u64(self.seed ^ own)
    }
}

/// The context of all workers of a pool: each makes it its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PoolContext {
    pub(super) worker: WorkerContext,
    /// The moments at which workers kill themselves, by name.
    pub(super) kills: Vec<(String, String)>,
}

impl PoolContext {
    /// Makes this the context of the pool's worker that this process is.
    pub(crate) fn enter(&mut self) {
        let name = current_name().unwrap_or_default();
        // Workers are started in the order of their numbers, which count from 1.
        let number = name.rsplit_once('-').and_then(|(_, number)| number.parse::<u32>().ok());
        self.worker.worker = number.map_or(0, |number| number.saturating_sub(1));
        self.worker.kill_at = self.kills.iter().find(|(worker, _)| *worker == name).map(|(_, moment)| moment.clone());
        self.worker.name = name;
    }
}
