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

use super::{Args, Failure, Method, Reply, SessionId, Step, Want};

/// A semaphore object.
#[derive(Debug)]
pub(crate) struct Semaphore {
    /// The maximum number of free permits.
    most: u64,
    free: u64,
    /// `None` if it only counts and has no holders.
    held: Option<HashMap<SessionId, u64>>,
}

impl Semaphore {
    /// Arguments: the initial permits (1), and whether permits are released when their holder dies (yes).
    pub(crate) fn create(bounded: bool, mut args: Args) -> Result<Self, Failure> {
        let free = args.or(1, Args::int::<u32>)?.into();
        let held = args.or(true, Args::bool)?.then(HashMap::new);
        Ok(Semaphore { most: if bounded { free } else { u64::MAX }, free, held })
    }

    pub(crate) fn call(&mut self, session: SessionId, method: Method, mut args: Args) -> Result<Step, Failure> {
        Ok(match method {
            Method::Acquire => Step::Wait(Want::Acquire),
            Method::Release => {
                let count = args.or(1, Args::int::<u32>)?.into();
                let free = self.free.checked_add(count).filter(|free| *free <= self.most);
                self.free = free.ok_or(Failure::ReleasedTooOften)?;
                if let Some(held) = self.held.as_mut().and_then(|held| held.get_mut(&session)) {
                    *held = held.saturating_sub(count);
                }
                Reply::DONE.into()
            }
            Method::GetValue | Method::Snapshot => self.free.into(),
            Method::Locked => self.is_exhausted().into(),
            _ => return Err(args.no_such_method()),
        })
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.free == 0
    }

    pub(crate) fn attempt(&mut self, session: SessionId) -> Option<Reply> {
        self.free = self.free.checked_sub(1)?;
        if let Some(held) = &mut self.held {
            *held.entry(session).or_default() += 1;
        }
        Some(Reply::Acquired { permit: 0, abandoned: false })
    }

    pub(crate) fn is_held_by(&self, session: SessionId) -> bool {
        self.held.as_ref().and_then(|held| held.get(&session)).is_some_and(|permits| *permits > 0)
    }

    pub(crate) fn session_ended(&mut self, session: SessionId) {
        let held = self.held.as_mut().and_then(|held| held.remove(&session));
        self.free = self.free.saturating_add(held.unwrap_or(0)).min(self.most);
    }
}
