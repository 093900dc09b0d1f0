//! The workers' side: each does the same with the objects of the turn, and reports what it did.

use std::time::Duration;

use serde_json::json;

use super::fixtures::{Fixtures, PLACES, SUPPLIER, TOTAL, TURNS, key_of};
use crate::manager::{
    Barrier, BoundedSemaphore, Condition, Event, Failure, Guard, JoinableQueue, Kind, List, Lock, ManagerError, Method,
    Proxy, Queue, RLock, Semaphore, Task, Value, Variant,
};
use crate::scenarios::barrier::BarrierFact;
use crate::scenarios::condition::ConditionFact;
use crate::scenarios::delivery_audit::ItemFact;
use crate::scenarios::held::{Held, Holdable};
use crate::scenarios::manager::facts::ManagerFact;
use crate::scenarios::prelude::*;
use crate::{Error, Result};

/// The duration of a step, at speed 1.
const STEP: Duration = Duration::from_millis(100);

/// A worker that uses an object of a manager.
#[derive(Serialize, Deserialize)]
pub(super) struct Worker {
    pub(super) ctx: WorkerContext,
    pub(super) number: u32,
    pub(super) fixtures: Fixtures,
}

impl Role for Worker {
    const NAME: &'static str = "manager.worker";

    fn run(self) -> RoleResult {
        let (ctx, name, fixtures) = (&self.ctx, self.ctx.name(), &self.fixtures);
        match fixtures.kind() {
            Kind::Dict => {
                let key = key_of(self.number);
                self.call(Method::SetItem, vec![key.as_str().into(), key.into()])?;
            }
            Kind::List => self.steps(|_| self.call(Method::Append, vec![name.into()]))?,
            Kind::Namespace => {
                self.steps(|_| self.call(Method::Add, vec![TOTAL.into(), 1.into()]))?;
                self.call(Method::SetItem, vec!["by".into(), name.into()])?;
            }
            Kind::Value => self.steps(|_| self.call(Method::Add, vec![1.into()]))?,
            Kind::Array => {
                self.steps(|turn| self.call(Method::Add, vec![(turn as usize % PLACES).into(), 1.into()]))?;
            }
            Kind::Lock => self.count(Holdable::Lock("lock"), Lock::acquire)?,
            Kind::RLock => self.count(Holdable::Lock("rlock"), RLock::acquire)?,
            Kind::Semaphore => self.count(Holdable::Permit("semaphore"), Semaphore::acquire)?,
            Kind::BoundedSemaphore => self.count(Holdable::Permit("bounded semaphore"), BoundedSemaphore::acquire)?,
            Kind::Condition => self.consume(&fixtures.object()?, &fixtures.protected()?)?,
            Kind::Event => {
                ctx.emit(ManagerFact::EventAwaited)?;
                let asked_us = ctx.now_us();
                fixtures.object::<Event>()?.wait()?;
                ctx.emit(ManagerFact::EventSeen { waited_us: ctx.now_us() - asked_us })?;
            }
            Kind::Barrier => self.meet(&fixtures.object()?)?,
            Kind::Queue => {
                let queue: Queue = fixtures.object()?;
                self.put_all(|item| queue.put(item))?;
                self.get_all(|| Ok((queue.get()?, None)))?;
            }
            Kind::JoinableQueue => {
                let queue: JoinableQueue = fixtures.object()?;
                self.put_all(|item| queue.put(item))?;
                self.get_all(|| queue.get().map(|task| (task.item().clone(), Some(task))))?;
            }
        }
        Ok(())
    }
}

impl Worker {
    /// Calls a method of what is shown of this turn, and reports that.
    fn call(&self, method: Method, args: Vec<Variant>) -> Result<()> {
        let (object, shown) = self.fixtures.shown();
        let told = args.iter().map(Variant::to_json).collect();
        let answer = shown.call_by_name(method, args, Some(Duration::ZERO))?.filter(|answer| !answer.is_null());
        let (method, answer) = (method.to_string(), answer.map(|answer| answer.to_json()));
        self.ctx.emit(ManagerFact::ObjectCalled { object, method, args: told, answer })
    }

    /// Performs all turns, with a pause between two.
    fn steps(&self, mut step: impl FnMut(u32) -> Result<()>) -> Result<()> {
        (1..=TURNS).try_for_each(|turn| {
            if turn > 1 {
                self.ctx.pause(STEP);
            }
            step(turn)
        })
    }

    /// Reads the counter, pauses, and writes it plus one, which needs the lock. A reentrant lock is acquired twice.
    fn count<P: Proxy>(&self, thing: Holdable<'_>, acquire: fn(&P) -> Result<Guard<'_>>) -> Result<()> {
        let (lock, count): (P, Value) = (self.fixtures.object()?, self.fixtures.protected()?);
        self.steps(|_| {
            let held = Held::acquire(thing, &self.ctx, || {
                let guard = acquire(&lock)?;
                let abandoned = guard.abandoned();
                Ok((guard, abandoned))
            })?;
            let again = if P::KIND == Kind::RLock { Some(acquire(&lock)?) } else { None };
            let more = count.get()?.as_int().unwrap_or(0_u64) + 1;
            self.ctx.pause(STEP);
            self.call(Method::Set, vec![more.into()])?;
            again.map_or(Ok(()), Guard::release)?;
            held.release_with(Guard::release)
        })
    }

    /// Removes goods as long as there are some, until a null ends it.
    fn consume(&self, condition: &Condition, goods: &List) -> Result<()> {
        let not_empty = || "not empty".to_owned();
        loop {
            let mut lock = condition.acquire()?;
            if goods.is_empty()? {
                self.ctx.emit(ConditionFact::ConditionWaiting { condition: not_empty() })?;
                let (waited, waited_us) = self.ctx.timed(|| lock.wait_for(|| Ok(!goods.is_empty()?)));
                waited?;
                self.ctx.emit(ConditionFact::ConditionMet { condition: not_empty(), waited_us })?;
            }
            let Some(number) = goods.pop_at(0)?.and_then(|item| item.as_int()) else { return Ok(()) };
            self.ctx.emit(ItemFact::got(number, SUPPLIER, number, None))?;
        }
    }

    /// Waits for the others after every turn.
    fn meet(&self, barrier: &Barrier) -> Result<()> {
        let ctx = &self.ctx;
        for round in 1..=u64::from(TURNS) {
            ctx.pause(STEP);
            ctx.emit(BarrierFact::BarrierWaiting { round })?;
            match ctx.timed(|| barrier.wait()) {
                (Ok(_), waited_us) => ctx.emit(BarrierFact::BarrierPassed { round, waited_us })?,
                (Err(error), _) => {
                    let cause = Barrier::break_cause(&error).ok_or(error)?;
                    return ctx.emit(BarrierFact::broken(ctx, round, cause));
                }
            }
        }
        Ok(())
    }

    /// Puts items of its own, labelled with their maker.
    fn put_all(&self, put: impl Fn(Variant) -> Result<()>) -> Result<()> {
        self.steps(|turn| {
            let (from, number) = (self.ctx.name(), u64::from(turn));
            put(vec![from.into(), number.into()].into())?;
            self.ctx.emit(ItemFact::put(turn, from, number, None))
        })?;
        self.call(Method::Qsize, vec![])
    }

    /// Gets items of any worker until the queue is shut down, and marks tasks as done.
    fn get_all(&self, get: impl Fn() -> Result<(Variant, Option<Task>)>) -> Result<()> {
        while let Some((item, task)) = unless_shut_down(get())? {
            let (from, number) = maker(&item);
            let (value, redelivered) = (json!(number), task.as_ref().is_some_and(|task| task.deliveries() > 1));
            let got = ItemFact::ItemGot { value: value.clone(), from: from.clone(), number, size: None, redelivered };
            self.ctx.emit(got)?;
            self.ctx.pause(STEP);
            if let Some(task) = task {
                task.task_done()?;
                self.ctx.emit(ItemFact::TaskDone { value, from, number })?;
            }
        }
        Ok(())
    }
}

/// Returns an item's maker, and its index among the maker's items.
fn maker(item: &Variant) -> (String, u64) {
    match item.as_list() {
        Some([from, number]) => (from.as_str().unwrap_or_default().to_owned(), number.as_int().unwrap_or_default()),
        _ => Default::default(),
    }
}

/// Returns `None` if the queue is shut down and nothing more can come.
fn unless_shut_down<T>(got: Result<T>) -> Result<Option<T>> {
    match got {
        Err(Error::Manager(ManagerError::Managed { source, .. })) if *source == Failure::ShutDown => Ok(None),
        got => got.map(Some),
    }
}
