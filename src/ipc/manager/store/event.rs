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
use super::waits::{Context, Line, Step, Want};
use crate::ipc::manager::data::Kind;

/// An event object.
#[derive(Debug, Default)]
pub(crate) struct Event {
    is_set: bool,
}

impl Event {
    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method) -> Result<Step, Failure> {
        match method {
            Method::IsSet | Method::Snapshot => return Ok(self.is_set.into()),
            Method::Wait if self.is_set => return Ok(true.into()),
            Method::Wait => return cx.wait(Want::Event),
            Method::Set => {
                self.is_set = true;
                cx.waits.complete_all(cx.object, Line::Main, &Ok(true.into()));
            }
            Method::Clear => self.is_set = false,
            _ => return Err(Failure::NoSuchMethod { kind: Kind::Event, method }),
        }
        Ok(Reply::DONE.into())
    }
}
