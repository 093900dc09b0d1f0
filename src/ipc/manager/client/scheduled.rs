//! Calls of a thread that an exploration schedules.
//!
//! # State
//! The server is not scheduled: it only answers. A call is made when it is the thread's turn; before that, the server is
//! asked whether the call can go on. A wait at a condition or a barrier is two steps: it begins, and it ends.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Client, Doing, Pending, unpoisoned};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::Result;
use crate::ipc::manager::data::{Kind, ObjectId};
use crate::ipc::manager::error::ManagerError;
use crate::ipc::manager::store::{Call, Method, Reply, Request};
use crate::ipc::operation::{self, Object, Operation, point, point_until};

/// The names of operations that were made so far. They are kept until the process ends.
static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Returns the name of an operation, as in `bounded_semaphore.try_acquire`.
fn name(kind: Kind, verb: &str) -> &'static str {
    let mut name = String::new();
    for char in kind.name().chars() {
        if char.is_uppercase() && name.ends_with(char::is_lowercase) {
            name.push('_');
        }
        name.push(char);
    }
    let name = format!("{}.{verb}", name.to_lowercase());
    let mut names = unpoisoned(&NAMES);
    if let Some(known) = names.get(name.as_str()) {
        return known;
    }
    let name: &'static str = name.leak();
    names.insert(name);
    name
}

/// A call, and what it concerns.
#[derive(Debug)]
pub(super) struct Scheduled {
    call: Call,
    kind: Kind,
    object: operation::ObjectId,
    /// What it concerns besides: the lock of a condition, or the whole manager if it can follow a reference.
    besides: Option<operation::ObjectId>,
    until: Deadline,
}

impl Object for Scheduled {
    fn objects(&self) -> (operation::ObjectId, Option<operation::ObjectId>) {
        (self.object, self.besides)
    }
}

impl Client {
    /// Makes a call when it is this thread's turn.
    #[cold]
    pub(super) fn start_scheduled(self: &Arc<Self>, call: Call, kind: Kind, doing: Doing) -> Result<Pending> {
        let Call { object, method, timeout, .. } = call;
        let is_two_steps = matches!((kind, method), (Kind::Condition | Kind::Barrier, Method::Wait));
        let may_wait = method.signature(kind).is_some_and(|signature| signature.may_wait()) && !is_two_steps;
        let is_patient = may_wait && timeout != Some(Duration::ZERO);
        let verb = match timeout {
            Some(Duration::ZERO) if may_wait => format!("try_{method}"),
            Some(_) if may_wait => format!("{method}_timeout"),
            _ => method.to_string(),
        };
        let besides = match (kind, method) {
            _ if call.can_cross_objects(kind) => Some(ObjectId(0)),
            (Kind::Condition, Method::Notify | Method::NotifyAll) => None,
            (Kind::Condition, _) => self.look(&call)?.1,
            _ => None,
        };
        let (object, besides) = (self.part(object), besides.map(|besides| self.part(besides)));
        let scheduled = Box::new(Scheduled { call, kind, object, besides, until: Deadline::within(timeout) });
        let operation = Operation { name: name(kind, &verb), reads_only: method.reads_only(kind) };
        let until = || if is_patient { scheduled.until } else { Deadline::NEVER };
        point_until(operation, &*scheduled, until, || !is_patient || self.can_go(&scheduled.call));
        let mut pending = self.start(Request::Step(scheduled.call.clone()), None, doing)?;
        pending.scheduled = Some(scheduled);
        Ok(pending)
    }

    /// Ends the wait of a call that has begun to wait, when it is this thread's turn. Its answer follows.
    pub(super) fn end_wait(self: &Arc<Self>, scheduled: &Scheduled) -> Result<()> {
        let Scheduled { call, kind, until, .. } = scheduled;
        let end = |in_time| self.tell(Request::EndWait { in_time });
        let operation = |verb| Operation::change(name(*kind, verb));
        if call.timeout != Some(Duration::ZERO) || *kind == Kind::Barrier {
            point_until(operation("wake"), scheduled, || *until, || self.can_go(call));
            if self.can_go(call) {
                return end(true);
            }
            end(false)?;
            if *kind == Kind::Barrier {
                return Ok(());
            }
        }
        // Its time has passed, but it has to acquire the lock.
        point(operation("reacquire"), scheduled, || self.can_go(call));
        // Otherwise the schedule cannot go on.
        if self.can_go(call) { end(true) } else { Err(ManagerError::gone().into()) }
    }

    /// Waits until the manager has noticed which clients are gone.
    pub(crate) fn settle(self: &Arc<Self>) {
        // A manager that is gone has nothing to notice.
        let _ = self.cancel_exports_to_the_dead();
        let _ = self.request(Request::Settle, "waiting for the end of clients");
    }

    /// Returns the object with this id as the object of operations; 0 is the whole manager.
    fn part(&self, id: ObjectId) -> operation::ObjectId {
        self.route.manager.part(id.0)
    }

    fn can_go(self: &Arc<Self>, call: &Call) -> bool {
        // With a manager that is gone, it fails.
        self.look(call).map_or(true, |(can_go, _)| can_go)
    }

    /// Returns whether a call can go on, and the lock of its condition.
    fn look(self: &Arc<Self>, call: &Call) -> Result<(bool, Option<ObjectId>)> {
        match self.request(Request::Look(call.clone()), "looking at a call")? {
            Reply::Look { can_go, lock } => Ok((can_go, lock)),
            _ => Err(ManagerError::gone().into()),
        }
    }
}
