//! Locks, semaphores, conditions, events and barriers, by clients that do not wait.

use super::*;
use crate::ipc::sync::BreakCause;

const ACQUIRED: Expected = Ok(Reply::Acquired { permit: 0, abandoned: false });
const NOT_IN_TIME: Expected = Ok(Reply::NotInTime);

/// A lock, a recursive one, or the recursive one of a condition.
pub(super) struct Mutex {
    kind: Kind,
    /// Which client, and how deep.
    holder: Option<(bool, u32)>,
}

impl Mutex {
    pub(super) fn new(kind: Kind) -> Self {
        Mutex { kind, holder: None }
    }
}

impl Model for Mutex {
    fn made_with(&self) -> Vec<Variant> {
        vec![]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        let (is_plain, is_condition) = (self.kind == Kind::Lock, self.kind == Kind::Condition);
        let is_own = self.holder.is_some_and(|(who, _)| who == draw.is_second);
        let if_own = |reply, otherwise| if is_own { Ok(reply) } else { Err(otherwise) };
        let expected = match (method, &mut self.holder) {
            (Method::Acquire, None) => {
                self.holder = Some((draw.is_second, 1));
                ACQUIRED
            }
            (Method::Acquire, Some((_, depth))) if is_own && !is_plain => {
                *depth += 1;
                ACQUIRED
            }
            (Method::Acquire, Some(_)) => NOT_IN_TIME,
            (Method::Release, None) if is_plain => Err(Failure::ReleaseUnlocked),
            (Method::Release, Some((_, depth))) if is_own || is_plain => {
                *depth -= 1;
                if *depth == 0 {
                    self.holder = None;
                }
                done()
            }
            (Method::Release, _) => Err(Failure::ReleaseUnacquired),
            (Method::Locked, holder) => Ok(holder.is_some().into()),
            // No other client waits or is woken.
            (Method::Wait, _) if is_condition => {
                if_own(Reply::Woken { notified: false, abandoned: false }, Failure::WaitUnacquired)
            }
            (Method::NotifyAll, _) if is_condition => if_own(Reply::DONE, Failure::NotifyUnacquired),
            (Method::Notify, _) if is_condition => {
                return Some((vec![draw.number.into()], if_own(Reply::DONE, Failure::NotifyUnacquired)));
            }
            _ => return None,
        };
        Some((vec![], expected))
    }

    fn snapshot(&self) -> Variant {
        self.holder.is_some().into()
    }
}

pub(super) struct Semaphore {
    bound: Option<u64>,
    free: u64,
}

impl Semaphore {
    pub(super) fn new(kind: Kind, size: usize) -> Self {
        let free = size as u64;
        Semaphore { bound: (kind == Kind::BoundedSemaphore).then_some(free), free }
    }
}

impl Model for Semaphore {
    fn made_with(&self) -> Vec<Variant> {
        vec![self.free.into()]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        Some(match method {
            Method::Acquire if self.free == 0 => (vec![], NOT_IN_TIME),
            Method::Acquire => {
                self.free -= 1;
                (vec![], ACQUIRED)
            }
            Method::Release => {
                let more = self.free + draw.number as u64;
                let is_too_much = self.bound.is_some_and(|bound| more > bound);
                self.free = if is_too_much { self.free } else { more };
                (vec![draw.number.into()], if is_too_much { Err(Failure::ReleasedTooOften) } else { done() })
            }
            Method::GetValue => (vec![], Ok(self.free.into())),
            Method::Locked => (vec![], Ok((self.free == 0).into())),
            _ => return None,
        })
    }

    fn snapshot(&self) -> Variant {
        self.free.into()
    }
}

#[derive(Default)]
pub(super) struct Event {
    is_set: bool,
}

impl Model for Event {
    fn made_with(&self) -> Vec<Variant> {
        vec![]
    }

    fn call(&mut self, method: Method, _: &Draw) -> Option<(Vec<Variant>, Expected)> {
        let expected = match method {
            Method::IsSet | Method::Wait => Ok(self.is_set.into()),
            Method::Set | Method::Clear => {
                self.is_set = method == Method::Set;
                done()
            }
            _ => return None,
        };
        Some((vec![], expected))
    }

    fn snapshot(&self) -> Variant {
        self.is_set.into()
    }
}

/// A barrier for one, which passes at once, or for two, which breaks: its parties come one at a time and do not wait.
pub(super) struct Barrier {
    parties: u32,
    has_action: bool,
    broken: Option<BreakCause>,
    leader: Option<bool>,
}

impl Barrier {
    pub(super) fn new(size: usize) -> Self {
        Barrier { parties: 1 + size as u32 / 3, has_action: size != 1, broken: None, leader: None }
    }

    fn wait(&mut self, is_second: bool) -> Expected {
        if let Some(cause) = self.broken {
            return Err(Failure::BrokenBarrier(cause));
        }
        if self.parties > 1 || self.leader.is_some() {
            (self.broken, self.leader) = (Some(BreakCause::TimedOut), None);
            return Ok(Reply::NotInTime);
        }
        self.leader = self.has_action.then_some(is_second);
        Ok(Reply::Arrived { index: 0, leads: self.has_action })
    }
}

impl Model for Barrier {
    fn made_with(&self) -> Vec<Variant> {
        vec![self.parties.into(), self.has_action.into()]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        let expected = match method {
            Method::Wait => self.wait(draw.is_second),
            Method::Finish => {
                let leads = self.leader == Some(draw.is_second);
                let refused = Err(Failure::BrokenBarrier(self.broken.unwrap_or(BreakCause::Reset)));
                if leads {
                    self.leader = None;
                    self.broken = self.broken.or(draw.flag.then_some(BreakCause::ActionFailed));
                }
                return Some((vec![(!draw.flag).into()], if leads { done() } else { refused }));
            }
            Method::Abort | Method::Reset => {
                let aborted = Some(self.broken.unwrap_or(BreakCause::Aborted));
                (self.broken, self.leader) = (aborted.filter(|_| method == Method::Abort), None);
                done()
            }
            Method::Parties => Ok(self.parties.into()),
            Method::NWaiting => Ok(0.into()),
            Method::Broken => Ok(self.broken.is_some().into()),
            _ => return None,
        };
        Some((vec![], expected))
    }

    fn snapshot(&self) -> Variant {
        0.into()
    }
}
