//! Events.
//!
//! # Death
//! A waiter whose session ends leaves the queue. Which client was to set the event is unknown: the others wait on.
//!
//! # Standard
//! Python `threading.Event` in a manager. Differs: setting the event wakes all present waiters with `true`, even if it
//! is cleared immediately.

use super::call::Reply;
use super::failure::Failure;
use super::method::Method;
use super::waits::{Context, Step, WaitTable, WaiterId};
use crate::ipc::manager::data::Kind;

/// An event object.
#[derive(Debug, Default)]
pub(crate) struct Event {
    is_set: bool,
    waiters: Vec<WaiterId>,
}

impl Event {
    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method) -> Result<Step, Failure> {
        match method {
            Method::IsSet | Method::Snapshot => Ok(self.is_set.into()),
            Method::Set => {
                self.is_set = true;
                for waiter in self.waiters.drain(..) {
                    cx.waits.complete(waiter, Ok(true.into()));
                }
                Ok(Reply::DONE.into())
            }
            Method::Clear => {
                self.is_set = false;
                Ok(Reply::DONE.into())
            }
            Method::Wait if self.is_set => Ok(true.into()),
            Method::Wait => match cx.park()? {
                Some(waiter) => {
                    self.waiters.push(waiter);
                    Ok(Step::Parked)
                }
                None => Ok(false.into()),
            },
            _ => Err(Failure::NoSuchMethod { kind: Kind::Event, method }),
        }
    }

    pub(crate) fn timed_out(&mut self, waiter: WaiterId, waits: &mut WaitTable) {
        self.forget(waiter);
        waits.complete(waiter, Ok(false.into()));
    }

    pub(crate) fn forget(&mut self, waiter: WaiterId) {
        self.waiters.retain(|waiting| *waiting != waiter);
    }

    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        self.waiters.clone()
    }
}
