//! Semaphores, plain and bounded.
//!
//! # State
//! The free permits, how many each session holds, and a FIFO queue of waiters.
//!
//! # Death
//! The permits that a session holds are released when it ends. A counting semaphore (one client releases what another
//! acquires) does not track holders, as in Python.
//!
//! # Standard
//! Python `threading.Semaphore` and `BoundedSemaphore` in a manager.

use std::collections::{HashMap, VecDeque};

use super::args::Args;
use super::call::Reply;
use super::failure::Failure;
use super::method::Method;
use super::waits::{Caller, Context, SessionId, Step, WaitTable, WaiterId};
use crate::ipc::manager::data::Kind;

/// A semaphore object.
#[derive(Debug)]
pub(crate) struct Semaphore {
    bounded: bool,
    initial: u64,
    free: u64,
    /// `None` if it only counts and has no holders.
    held: Option<HashMap<SessionId, u64>>,
    line: VecDeque<WaiterId>,
}

impl Semaphore {
    /// Arguments: the initial permits (1), and whether permits are released when their holder dies (yes).
    pub(crate) fn create(bounded: bool, mut args: Args) -> Result<Self, Failure> {
        let initial = u64::from(args.int_or::<u32>(1)?);
        let has_holders = args.bool_or(true)?;
        let held = has_holders.then(HashMap::new);
        Ok(Semaphore { bounded, initial, free: initial, held, line: VecDeque::new() })
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.bounded { Kind::BoundedSemaphore } else { Kind::Semaphore }
    }

    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, mut args: Args) -> Result<Step, Failure> {
        match method {
            Method::Acquire => {
                if self.free > 0 {
                    return Ok(self.take(cx.caller.session).into());
                }
                match cx.park()? {
                    Some(waiter) => {
                        self.line.push_back(waiter);
                        Ok(Step::Parked)
                    }
                    None => Ok(Reply::NotInTime.into()),
                }
            }
            Method::Release => {
                let count = u64::from(args.int_or::<u32>(1)?);
                self.release(cx.caller, count, cx.waits)?;
                Ok(Reply::DONE.into())
            }
            Method::GetValue | Method::Snapshot => Ok(self.free.into()),
            Method::Locked => Ok((self.free == 0).into()),
            _ => Err(Failure::NoSuchMethod { kind: self.kind(), method }),
        }
    }

    fn take(&mut self, session: SessionId) -> Reply {
        self.free -= 1;
        if let Some(held) = &mut self.held {
            *held.entry(session).or_default() += 1;
        }
        Reply::Acquired { permit: 0, abandoned: false }
    }

    fn release(&mut self, caller: Caller, count: u64, waits: &mut WaitTable) -> Result<(), Failure> {
        let free = self.free.checked_add(count).ok_or(Failure::ReleasedTooOften)?;
        if self.bounded && free > self.initial {
            return Err(Failure::ReleasedTooOften);
        }
        self.free = free;
        if let Some(held) = self.held.as_mut().and_then(|held| held.get_mut(&caller.session)) {
            *held = held.saturating_sub(count);
        }
        self.hand_on(waits);
        Ok(())
    }

    fn hand_on(&mut self, waits: &mut WaitTable) {
        while self.free > 0
            && let Some(waiter) = self.line.pop_front()
        {
            if let Some((caller, _)) = waits.who(waiter) {
                let reply = self.take(caller.session);
                waits.complete(waiter, Ok(reply));
            }
        }
    }

    pub(crate) fn timed_out(&mut self, waiter: WaiterId, waits: &mut WaitTable) {
        self.forget(waiter);
        waits.complete(waiter, Ok(Reply::NotInTime));
    }

    pub(crate) fn forget(&mut self, waiter: WaiterId) {
        self.line.retain(|waiting| *waiting != waiter);
    }

    pub(crate) fn session_ended(&mut self, session: SessionId, waits: &mut WaitTable) {
        if let Some(back) = self.held.as_mut().and_then(|held| held.remove(&session)) {
            self.free = self.free.saturating_add(back);
            if self.bounded {
                self.free = self.free.min(self.initial);
            }
            self.hand_on(waits);
        }
    }

    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        self.line.iter().copied().collect()
    }
}
