//! Semaphores, plain and bounded.
//!
//! # State
//! The free permits, and how many each session holds. Waiters are served in FIFO order.
//!
//! # Death
//! The permits that a session holds are released when it ends. A counting semaphore (one client releases what another
//! acquires) does not track holders, as in Python.
//!
//! # Standard
//! Python `threading.Semaphore` and `BoundedSemaphore` in a manager.

use std::collections::HashMap;

use super::args::Args;
use super::call::Reply;
use super::failure::Failure;
use super::method::Method;
use super::waits::{Context, Line, SessionId, Step, WaitTable, Want};
use crate::ipc::manager::data::{Kind, ObjectId};

/// A semaphore object.
#[derive(Debug)]
pub(crate) struct Semaphore {
    bounded: bool,
    initial: u64,
    free: u64,
    /// `None` if it only counts and has no holders.
    held: Option<HashMap<SessionId, u64>>,
}

impl Semaphore {
    /// Arguments: the initial permits (1), and whether permits are released when their holder dies (yes).
    pub(crate) fn create(bounded: bool, mut args: Args) -> Result<Self, Failure> {
        let initial = args.or(1, Args::int::<u32>)?.into();
        let held = args.or(true, Args::bool)?.then(HashMap::new);
        Ok(Semaphore { bounded, initial, free: initial, held })
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.bounded { Kind::BoundedSemaphore } else { Kind::Semaphore }
    }

    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, mut args: Args) -> Result<Step, Failure> {
        match method {
            Method::Acquire if self.free > 0 => Ok(self.take(cx.caller.session).into()),
            Method::Acquire => cx.wait(Want::Acquire),
            Method::Release => {
                let count = args.or(1, Args::int::<u32>)?.into();
                let free = self.free.checked_add(count).ok_or(Failure::ReleasedTooOften)?;
                if self.bounded && free > self.initial {
                    return Err(Failure::ReleasedTooOften);
                }
                if let Some(held) = self.held.as_mut().and_then(|held| held.get_mut(&cx.caller.session)) {
                    *held = held.saturating_sub(count);
                }
                self.set_free(free, cx.object, cx.waits);
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

    fn set_free(&mut self, free: u64, own: ObjectId, waits: &mut WaitTable) {
        self.free = free;
        while self.free > 0
            && let Some(waiter) = waits.pop(own, Line::Main)
        {
            let reply = self.take(waiter.caller.session);
            waits.complete(waiter, Ok(reply));
        }
    }

    pub(crate) fn session_ended(&mut self, session: SessionId, own: ObjectId, waits: &mut WaitTable) {
        if let Some(back) = self.held.as_mut().and_then(|held| held.remove(&session)) {
            let most = if self.bounded { self.initial } else { u64::MAX };
            self.set_free(self.free.saturating_add(back).min(most), own, waits);
        }
    }
}
