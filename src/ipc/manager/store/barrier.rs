//! Barriers.
//!
//! # State
//! Who waits, in order of arrival, and whether it is broken. When as many wait as there are parties, the first of them are released
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
use super::waits::{Context, Line, SessionId, Step, WaitTable, Want};
use crate::ipc::manager::data::{Kind, ObjectId};

/// A barrier object.
#[derive(Debug)]
pub(crate) struct Barrier {
    parties: u32,
    has_action: bool,
    default_timeout: Timeout,
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
        let has_action = args.or(false, Args::bool)?;
        let default_timeout = args.or(Timeout::Forever, |args| args.int().map(Timeout::Nanos))?;
        Ok(Barrier { parties, has_action, default_timeout, leader: None, broken: false })
    }

    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, mut args: Args) -> Result<Step, Failure> {
        match method {
            Method::Wait => {
                if self.broken {
                    return Err(Failure::BrokenBarrier);
                }
                if cx.timeout == Timeout::Forever {
                    cx.timeout = self.default_timeout;
                }
                cx.park(Want::Parties)?;
                self.advance(cx.object, cx.waits);
                return Ok(Step::Parked);
            }
            Method::Finish => {
                let went_well = args.or(true, Args::bool)?;
                if self.leader != Some(cx.caller.session) {
                    return Err(Failure::BrokenBarrier);
                }
                if went_well {
                    self.leader = None;
                    self.release(self.parties - 1, cx.object, cx.waits);
                    self.advance(cx.object, cx.waits);
                } else {
                    self.break_it(cx.object, cx.waits);
                }
            }
            Method::Abort => self.break_it(cx.object, cx.waits),
            Method::Reset => {
                self.break_it(cx.object, cx.waits);
                self.broken = false;
            }
            Method::Parties => return Ok(self.parties.into()),
            Method::NWaiting | Method::Snapshot => {
                // Not those that only wait for the action.
                let released = if self.leader.is_some() { self.parties as usize - 1 } else { 0 };
                return Ok(cx.waits.count(cx.object).saturating_sub(released).into());
            }
            Method::Broken => return Ok(self.broken.into()),
            _ => return Err(Failure::NoSuchMethod { kind: Kind::Barrier, method }),
        }
        Ok(Reply::DONE.into())
    }

    /// Releases every complete group.
    fn advance(&mut self, own: ObjectId, waits: &mut WaitTable) {
        while self.leader.is_none() && waits.count(own) >= self.parties as usize {
            let last = self.parties - 1;
            if !self.has_action {
                self.release(self.parties, own, waits);
            } else if let Some(waiter) = waits.take(own, Line::Main, last as usize) {
                self.leader = Some(waiter.caller.session);
                waits.complete(waiter, Ok(Reply::Arrived { index: last, leads: true }));
            }
        }
    }

    fn release(&mut self, count: u32, own: ObjectId, waits: &mut WaitTable) {
        for index in 0..count {
            if let Some(waiter) = waits.pop(own, Line::Main) {
                waits.complete(waiter, Ok(Reply::Arrived { index, leads: false }));
            }
        }
    }

    /// Breaks the barrier: a party was lost, or did not wait to the end.
    pub(crate) fn break_it(&mut self, own: ObjectId, waits: &mut WaitTable) {
        self.broken = true;
        self.leader = None;
        waits.complete_all(own, Line::Main, &Err(Failure::BrokenBarrier));
    }

    pub(crate) fn session_ended(&mut self, session: SessionId, own: ObjectId, waits: &mut WaitTable) {
        if self.leader == Some(session) {
            self.break_it(own, waits);
        }
    }
}
