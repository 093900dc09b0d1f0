//! Barriers.
//!
//! # State
//! The waiters, in order of arrival, and whether the barrier is broken. Once one waiter per party has arrived, the
//! group is released together. If the barrier has an action, the last of the group is released first, to run it, and
//! the others when it reports that the action has finished. Parties that arrive meanwhile belong to the next cycle.
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

use std::time::Duration;

use super::waits::Line;
use super::{Args, Context, Failure, Method, ObjectId, Reply, SessionId, Step, WaitTable, Want};
use crate::ipc::sync::BreakCause;

/// A barrier object.
#[derive(Debug)]
pub(crate) struct Barrier {
    parties: u32,
    has_action: bool,
    default_timeout: Option<Duration>,
    /// The session that runs the action; the rest of its group are the first of the waiters.
    leader: Option<SessionId>,
    /// Why the barrier is broken, if it is.
    broken: Option<BreakCause>,
}

impl Barrier {
    /// Arguments: the number of parties, whether there is an action (no), and the timeout in nanoseconds (none).
    pub(crate) fn create(mut args: Args) -> Result<Self, Failure> {
        let parties = args.int()?;
        if parties == 0 {
            return Err(Failure::bad_argument("at least one party", "0"));
        }
        let has_action = args.or(false, Args::bool)?;
        let default_timeout = args.or(None, |args| args.int().map(Duration::from_nanos).map(Some))?;
        Ok(Barrier { parties, has_action, default_timeout, leader: None, broken: None })
    }

    pub(crate) fn call(&mut self, cx: &mut Context, mut args: Args, waits: &mut WaitTable) -> Result<Step, Failure> {
        match cx.method {
            Method::Wait => {
                cx.timeout = cx.timeout.or(self.default_timeout);
                return Ok(Step::Wait(Want::Parties));
            }
            Method::Finish => {
                let went_well = args.or(true, Args::bool)?;
                if self.leader != Some(cx.caller.session) {
                    // If it is not broken, it was reset during the action.
                    return Err(Failure::BrokenBarrier(self.broken.unwrap_or(BreakCause::Reset)));
                }
                self.leader = None;
                if went_well {
                    self.release(self.parties - 1, cx.object, waits);
                } else {
                    self.break_it(BreakCause::ActionFailed);
                }
            }
            Method::Abort => self.break_it(BreakCause::Aborted),
            Method::Reset => {
                waits.fail_all(cx.object, &Failure::BrokenBarrier(BreakCause::Reset));
                self.leader = None;
                self.broken = None;
            }
            Method::Parties => return Ok(self.parties.into()),
            Method::NWaiting | Method::Snapshot => {
                // Not those that only wait for the action.
                let released = if self.leader.is_some() { self.parties as usize - 1 } else { 0 };
                return Ok(waits.queue(cx.object, Line::Main).count().saturating_sub(released).into());
            }
            Method::Broken => return Ok(self.broken.is_some().into()),
            _ => return Err(args.no_such_method()),
        }
        Ok(Reply::DONE.into())
    }

    /// Fails if the barrier is broken. Otherwise the waiters are released by [`advance`](Self::advance), together.
    pub(crate) fn attempt(&self) -> Option<Failure> {
        self.broken.map(Failure::BrokenBarrier)
    }

    /// Releases every complete group.
    pub(crate) fn advance(&mut self, own: ObjectId, waits: &mut WaitTable) {
        let last = self.parties - 1;
        while self.leader.is_none()
            && self.broken.is_none()
            && waits.queue(own, Line::Main).nth(last as usize).is_some()
        {
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
            if let Some(waiter) = waits.take(own, Line::Main, 0) {
                waits.complete(waiter, Ok(Reply::Arrived { index, leads: false }));
            }
        }
    }

    /// Breaks the barrier, unless it is already broken.
    pub(crate) fn break_it(&mut self, cause: BreakCause) {
        self.broken.get_or_insert(cause);
        self.leader = None;
    }

    pub(crate) fn is_led_by(&self, session: SessionId) -> bool {
        self.leader == Some(session)
    }

    pub(crate) fn session_ended(&mut self, session: SessionId, cause: BreakCause) {
        if self.is_led_by(session) {
            self.break_it(cause);
        }
    }
}
