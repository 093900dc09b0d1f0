//! Events.
//!
//! # Death
//! A waiter whose session ends leaves the queue. Which client was to set the event is unknown: the others wait on.
//!
//! # Standard
//! Python `threading.Event` in a manager. Differs: setting the event wakes all present waiters with `true`, even if it
//! is cleared immediately.

use super::{Args, Failure, Method, Reply, Step, Want};

/// An event object.
#[derive(Debug, Default)]
pub(crate) struct Event {
    is_set: bool,
}

impl Event {
    pub(crate) fn call(&mut self, method: Method, args: Args) -> Result<Step, Failure> {
        match method {
            Method::IsSet | Method::Snapshot => return Ok(self.is_set.into()),
            Method::Wait => return Ok(Step::Wait(Want::Event)),
            Method::Set => self.is_set = true,
            Method::Clear => self.is_set = false,
            _ => return Err(args.no_such_method()),
        }
        Ok(Reply::DONE.into())
    }

    pub(crate) fn attempt(&self) -> Option<Reply> {
        self.is_set.then(|| true.into())
    }
}
