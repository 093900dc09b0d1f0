//! The runner's side of a type's turn: creates the objects, starts the workers, does its own part, and reads the
//! result.

use std::collections::HashSet;
use std::time::Duration;

use super::fixtures::{Fixtures, SUPPLIER, TURNS, name_of};
use super::worker::Worker;
use crate::manager::{self, Condition, JoinableQueue, Kind, List, Manager, Method, Queue, Variant};
use crate::scenarios::condition::ConditionFact;
use crate::scenarios::delivery_audit::ItemFact;
use crate::scenarios::manager::facts::ManagerFact;
use crate::scenarios::prelude::*;

/// The time before an event is set, and between two goods, at speed 1.
const DELIVERY: Duration = Duration::from_millis(200);
/// Interval between checks for the end of the run while waiting for a worker's lock.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A turn in progress: its reports are compared with the final content of the manager.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) fixtures: Fixtures,
    /// The marks that existed before.
    pub(super) before: u64,
}

/// A manager, a runner, and the number of workers.
pub(super) struct Driver<'c, 's> {
    manager: &'c Manager,
    /// Whether other clients use it too.
    is_shared: bool,
    runner: &'c mut Runner<'s>,
    workers: u32,
    /// The workers of this turn that have ended.
    gone: HashSet<u32>,
    /// The tasks of this turn that are done, by maker and number.
    done: HashSet<(String, u64)>,
}

impl<'c, 's> Driver<'c, 's> {
    pub(super) fn new(manager: &'c Manager, is_shared: bool, runner: &'c mut Runner<'s>, workers: u32) -> Self {
        Driver { manager, is_shared, runner, workers, gone: HashSet::new(), done: HashSet::new() }
    }

    pub(super) fn is_cut(&mut self) -> bool {
        self.runner.is_cut()
    }

    /// Creates the objects and shows them.
    pub(super) fn begin(&mut self, kind: Kind) -> anyhow::Result<Shown> {
        let name = name_of(kind).filter(|_| self.is_shared);
        // No worker uses them yet.
        let fixtures = unobserved(|| Fixtures::make(kind, self.manager, name.as_deref(), self.workers))?;
        self.runner.emit(ManagerFact::ObjectMade { object: kind.name().to_owned(), name })?;
        self.show(&fixtures)?;
        let before = unobserved(|| fixtures.marks(self.workers))?;
        Ok(Shown { fixtures, before })
    }

    /// Starts the workers on them, and shows the result.
    pub(super) fn perform(&mut self, shown: &Shown) -> anyhow::Result<()> {
        let fixtures = &shown.fixtures;
        self.gone.clear();
        self.done.clear();
        for number in 1..=self.workers {
            self.runner.spawn(&format!("worker-{number}"), false, |ctx| Worker {
                ctx,
                number,
                fixtures: fixtures.clone(),
            })?;
        }
        match fixtures.kind() {
            Kind::Condition => self.deliver(&fixtures.object()?, &fixtures.protected()?)?,
            Kind::Event => self.signal(&fixtures.object()?)?,
            Kind::Queue => self.end_items(&fixtures.object()?)?,
            Kind::JoinableQueue => self.end_tasks(&fixtures.object()?)?,
            _ => {}
        }
        self.runner.watch()?;
        if self.is_cut() { Ok(()) } else { self.show(fixtures) }
    }

    fn show(&mut self, fixtures: &Fixtures) -> anyhow::Result<()> {
        let (object, shown) = fixtures.shown();
        let value = unobserved(|| shown.call_by_name(Method::Snapshot, Vec::new(), None))?.map(|copy| copy.to_json());
        self.runner.emit(ManagerFact::ObjectShown { object, value: value.unwrap_or_default() })
    }

    /// Watches until each worker has made a matching report, or ended. Returns whether the run goes on.
    fn watch_until_each(&mut self, has_told: impl Fn(&AnyFact) -> bool) -> anyhow::Result<bool> {
        let (mut told, workers) = (HashSet::new(), self.workers as usize);
        let Driver { runner, gone, done, .. } = self;
        runner.watch_until(|_, events| {
            note(events, gone, done);
            told.extend(events.iter().filter(|event| has_told(&event.fact)).map(|event| event.pid));
            Ok(told.union(gone).count() >= workers)
        })?;
        Ok(!self.is_cut())
    }

    fn deliver(&mut self, condition: &Condition, goods: &List) -> anyhow::Result<()> {
        if !self.watch_until_each(|fact| matches!(fact.get(), Some(ConditionFact::ConditionWaiting { .. })))? {
            return Ok(());
        }
        let numbers = 1..=u64::from(self.workers * TURNS);
        // One more item for each worker: null ends the worker.
        let nulls = (0..self.workers).map(|_| None);
        for number in numbers.map(Some).chain(nulls) {
            let lock = loop {
                if self.is_cut() {
                    return Ok(());
                }
                if let Some(lock) = condition.acquire_timeout(LOOK_EVERY)? {
                    break lock;
                }
            };
            // With the time before: no item can be shown as got before it was put.
            let at_us = self.runner.now_us();
            goods.push(number.map_or(Variant::Null, Variant::from))?;
            lock.notify(1)?;
            drop(lock);
            if let Some(number) = number {
                self.runner.emit_at(at_us, ItemFact::put(number, SUPPLIER, number, None))?;
                self.runner.watch_for(DELIVERY)?;
            }
        }
        Ok(())
    }

    fn signal(&mut self, event: &manager::Event) -> anyhow::Result<()> {
        if self.watch_until_each(|fact| matches!(fact.get(), Some(ManagerFact::EventAwaited)))? {
            self.runner.watch_for(DELIVERY)?;
            // With the time before: no worker can be shown going on before it.
            let at_us = self.runner.now_us();
            event.set()?;
            self.runner.emit_at(at_us, ManagerFact::EventSet)?;
        }
        Ok(())
    }

    /// Workers stay until every item has been put.
    fn end_items(&mut self, queue: &Queue) -> anyhow::Result<()> {
        if self.watch_until_each(has_put_all)? {
            queue.shutdown(false)?;
        }
        Ok(())
    }

    /// Workers stay until every task is done: a dead worker's task goes to another.
    fn end_tasks(&mut self, queue: &JoinableQueue) -> anyhow::Result<()> {
        if !self.watch_until_each(has_put_all)? {
            return Ok(());
        }
        let (mut joined, workers) = (false, self.workers as usize);
        let Driver { runner, gone, done, .. } = self;
        runner.watch_until(|_, events| {
            note(events, gone, done);
            // No step of an exploration: it is asked after each.
            joined = unobserved(|| queue.join_timeout(Duration::ZERO))?;
            Ok(joined || gone.len() >= workers)
        })?;
        if joined {
            // The worker of the last task may not have reported it yet.
            runner.watch_reports(|events| {
                note(events, gone, done);
                done.len() >= workers * TURNS as usize
            })?;
            runner.emit(ItemFact::QueueJoined { tasks: done.len() as u64 })?;
        }
        Ok(queue.shutdown(false)?)
    }
}

/// Records which workers have ended, and which tasks are done.
fn note(events: &[Event], gone: &mut HashSet<u32>, done: &mut HashSet<(String, u64)>) {
    for event in events {
        if event.is::<WorkerExited>() {
            gone.insert(event.pid);
        }
        if let Some(ItemFact::TaskDone { from, number, .. }) = event.get() {
            done.insert((from.clone(), *number));
        }
    }
}

/// Asking for the number of items is the first thing that a worker does after its last put.
fn has_put_all(fact: &AnyFact) -> bool {
    matches!(fact.get(), Some(ManagerFact::ObjectCalled { method, .. }) if method == "qsize")
}
