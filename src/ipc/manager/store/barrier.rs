//! Barriers.
//!
//! # State
//! The waiters in order of arrival. When as many wait as there are parties, the first of them are released
//! together; if the barrier has an action, the last of the group is released first, to run it, and the others when it
//! reports that it is finished. Parties that arrive meanwhile belong to the next cycle.
//!
//! # Death
//! A client that is lost while it refers to the barrier breaks it, whether it waits, runs the action or has not
//! arrived: the others do not wait for it. A client that releases its references has left in order, and breaks the
//! barrier only in the middle of a wait or of the action. An exported handle that will never be imported counts as a
//! lost client.
//!
//! # Standard
//! Python `threading.Barrier` in a manager: a timeout breaks it, `abort` breaks it until `reset`. Differs: the action
//! runs in the client, and 0 parties are refused.

use super::args::Args;
use super::call::{Reply, Timeout};
use super::failure::Failure;
use super::method::Method;
use super::waits::{Context, SessionId, Step, WaitTable, WaiterId};
use crate::ipc::manager::data::{Kind, Variant};

/// A barrier object.
#[derive(Debug)]
pub(crate) struct Barrier {
    parties: u32,
    has_action: bool,
    default_patience: Timeout,
    waiters: Vec<WaiterId>,
    /// The session that runs the action; the rest of its group are the first of the waiters.
    leader: Option<SessionId>,
    broken: bool,
}

impl Barrier {
    /// Arguments: the number of parties, whether there is an action (no), and the timeout in nanoseconds (none).
    pub(crate) fn create(mut args: Args) -> Result<Self, Failure> {
        let parties = args.int()?;
        if parties == 0 {
            return Err(Failure::bad_argument("at least one party", "0"));
        }
        let has_action = args.bool_or(false)?;
        let default_patience = match args.optional() {
            None | Some(Variant::Null) => Timeout::Forever,
            Some(timeout_ns) => {
                let wrong = || Failure::bad_argument("a timeout in nanoseconds", timeout_ns.shape());
                Timeout::Nanos(timeout_ns.as_int().ok_or_else(wrong)?)
            }
        };
        Ok(Barrier { parties, has_action, default_patience, waiters: Vec::new(), leader: None, broken: false })
    }

    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, mut args: Args) -> Result<Step, Failure> {
        let finished_well = if method == Method::Finish { args.bool_or(true)? } else { true };
        match method {
            Method::Wait => {
                if self.broken {
                    return Err(Failure::BrokenBarrier);
                }
                let timeout = if cx.timeout == Timeout::Forever { self.default_patience } else { cx.timeout };
                self.waiters.push(cx.waits.park(cx.caller, cx.object, timeout)?);
                self.advance(cx.waits);
                Ok(Step::Parked)
            }
            Method::Finish => {
                if self.leader != Some(cx.caller.session) {
                    return Err(Failure::BrokenBarrier);
                }
                self.leader = None;
                if finished_well {
                    self.release(self.parties - 1, cx.waits);
                    self.advance(cx.waits);
                } else {
                    self.break_it(cx.waits);
                }
                Ok(Reply::DONE.into())
            }
            Method::Abort => {
                self.break_it(cx.waits);
                Ok(Reply::DONE.into())
            }
            Method::Reset => {
                self.break_it(cx.waits);
                self.broken = false;
                Ok(Reply::DONE.into())
            }
            Method::Parties => Ok(self.parties.into()),
            Method::NWaiting | Method::Snapshot => Ok(self.n_waiting().into()),
            Method::Broken => Ok(self.broken.into()),
            _ => Err(Failure::NoSuchMethod { kind: Kind::Barrier, method }),
        }
    }

    /// Returns how many wait for the barrier to fill: not those that only wait for the action.
    fn n_waiting(&self) -> usize {
        let released = if self.leader.is_some() { self.parties as usize - 1 } else { 0 };
        self.waiters.len().saturating_sub(released)
    }

    /// Releases every complete group.
    fn advance(&mut self, waits: &mut WaitTable) {
        while self.leader.is_none() && self.waiters.len() >= self.parties as usize {
            if !self.has_action {
                self.release(self.parties, waits);
                continue;
            }
            let last = self.parties - 1;
            let waiter = self.waiters.remove(last as usize);
            self.leader = waits.who(waiter).map(|(caller, _)| caller.session);
            waits.complete(waiter, Ok(Reply::Arrived { index: last, leads: true }));
        }
    }

    fn release(&mut self, count: u32, waits: &mut WaitTable) {
        for (index, waiter) in (0..count).zip(self.waiters.drain(..count as usize)) {
            waits.complete(waiter, Ok(Reply::Arrived { index, leads: false }));
        }
    }

    fn break_it(&mut self, waits: &mut WaitTable) {
        self.broken = true;
        self.leader = None;
        for waiter in self.waiters.drain(..) {
            waits.complete(waiter, Err(Failure::BrokenBarrier));
        }
    }

    pub(crate) fn timed_out(&mut self, waiter: WaiterId, waits: &mut WaitTable) {
        self.waiters.retain(|waiting| *waiting != waiter);
        waits.complete(waiter, Ok(Reply::NotInTime));
        self.break_it(waits);
    }

    pub(crate) fn forget(&mut self, waiter: WaiterId, waits: &mut WaitTable) {
        self.waiters.retain(|waiting| *waiting != waiter);
        self.break_it(waits);
    }

    pub(crate) fn session_ended(&mut self, session: SessionId, waits: &mut WaitTable) {
        if self.leader == Some(session) {
            self.break_it(waits);
        }
    }

    /// Handles the loss of a potential party.
    pub(crate) fn lose_party(&mut self, waits: &mut WaitTable) {
        self.break_it(waits);
    }

    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        self.waiters.clone()
    }
}
