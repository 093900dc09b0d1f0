//! The objects of a manager: no sockets, no threads, no clock. Time is passed in as a number, and
//! how much memory there is as a function.
//!
//! A protocol in front opens a session for each client, passes on its requests, and delivers the answers: immediate
//! ones, or later ones as [`Completion`]s. The library's own protocol is one of them; nothing here depends on it.
//!
//! | file | what it is |
//! |---|---|
//! | `call`, `failure` | requests and replies |
//! | `method`, `args` | the table of methods, and the check of a call's arguments against it |
//! | `waits` | waiting calls and their deadlines |
//! | `scheduled` | calls of a client that an exploration schedules |
//! | `gc` | what keeps an object alive, and when it is removed |
//! | `disconnect` | how the end of a client affects the others |
//! | `object` | one of eight structs behind the fourteen types |
//! | `container`, `dict`, `list`, `slice`, `array`, `change` | data, and changing one place in it |
//! | `lock`, `condition`, `semaphore`, `event`, `barrier`, `queue` | synchronisation |
//!
//! # Death
//! A session that ends releases what it holds: locks (the next holder is told), permits, leases, waits, references; a
//! barrier to which it refers breaks. No type makes a client wait for a dead one: see each type.

mod args;
mod array;
mod barrier;
mod call;
mod change;
mod condition;
mod container;
mod dict;
mod disconnect;
mod event;
mod failure;
mod gc;
mod list;
mod lock;
mod method;
mod object;
mod queue;
mod scheduled;
mod semaphore;
mod slice;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::{BTreeMap, HashMap, HashSet};

pub use call::Swap;
pub(crate) use call::{Call, Outcome, Reply, Request, TransferToken};
pub use failure::Failure;
pub use method::{Method, Signature, UnknownMethod};
pub(crate) use waits::{Completion, SessionId, Ticket};

use super::data::{DEPTH_LIMIT, Key, Kind, Map, ObjectId, ObjectRef, Variant};
use super::status::{Refusals, Status};
use crate::ipc::sync::BreakCause;
use args::{Args, Memory};
use change::Change;
use gc::PendingDrops;
use lock::Mutex;
use object::Object;
use waits::{Caller, Context, Step, WaitTable, Waiter, Want};

/// The state of one client.
#[derive(Debug, Default)]
struct Session {
    /// How many references to each object it was given.
    references: HashMap<ObjectId, (ObjectRef, u64)>,
    /// Objects of which it may hold a part.
    touched: HashSet<ObjectId>,
    /// The client's process, if known.
    pid: Option<u32>,
}

/// An exported reference, not imported yet.
#[derive(Debug)]
struct Transfer {
    exporter: SessionId,
    reference: ObjectRef,
}

/// All objects of a manager.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: HashMap<ObjectId, Object>,
    pending_drops: PendingDrops,
    sessions: HashMap<SessionId, Session>,
    names: BTreeMap<String, ObjectRef>,
    transfers: HashMap<TransferToken, Transfer>,
    waits: WaitTable,
    last_object: u64,
    last_session: u64,
    /// Whether an object lost its last root while other objects refer to it; possibly only in a cycle.
    may_have_circles: bool,
    /// The number of objects after the last search for cycles.
    after_last_sweep: usize,
    requests: u64,
    memory: Memory,
    /// Counted by the protocol in front.
    pub(crate) refused: Refusals,
}

impl Store {
    /// Creates a store without objects. It asks `memory` before it creates something large.
    pub(crate) fn new(memory: fn(u64) -> bool) -> Self {
        Store { memory: Some(memory), ..Store::default() }
    }

    /// Opens a session for a new client. `pid` is its process, if known.
    pub(crate) fn open_session(&mut self, pid: Option<u32>) -> SessionId {
        self.last_session += 1;
        let session = SessionId(self.last_session);
        self.sessions.insert(session, Session { pid, ..Session::default() });
        session
    }

    /// Processes a client's request. `None`: the answer comes later, as a [`Completion`] with this ticket.
    pub(crate) fn request(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        request: Request,
        now_ns: u64,
    ) -> Option<Outcome> {
        self.waits.now_ns = now_ns;
        self.requests +=
            u64::from(!matches!(request, Request::Status | Request::Look(_) | Request::Holds | Request::Settle));
        let mut answer = self.step(session, ticket, request).transpose();
        if let Some(Ok(reply)) = &mut answer {
            self.note_references(session, reply);
        }
        self.drop_unreferenced();
        answer
    }

    /// Returns `None` if the call waits.
    fn step(&mut self, session: SessionId, ticket: Ticket, request: Request) -> Result<Option<Reply>, Failure> {
        let caller = |call: &Call, is_scheduled| Caller { session, thread: call.thread, ticket, is_scheduled };
        let reply = match request {
            Request::Call(call) => return self.call(caller(&call, false), call),
            Request::Step(call) => return self.step_of(caller(&call, true), call),
            Request::EndWait { in_time } => self.end_wait(session, in_time)?,
            Request::Look(call) => self.look(caller(&call, true), &call),
            Request::Holds => self.holds(session).into(),
            Request::Settle => Reply::DONE,
            Request::Create { kind, args, name } => self.create(session, kind, args, name)?,
            Request::Lookup(name) => Reply::Object(self.names.get(&name).cloned().ok_or(Failure::NoSuchName { name })?),
            Request::Names => {
                let entry =
                    |(name, reference): (&String, &ObjectRef)| (Key::from(name), reference.kind().name().into());
                self.names.iter().map(entry).collect::<Map>().into()
            }
            Request::RemoveName(name) => {
                self.names.remove(&name).ok_or(Failure::NoSuchName { name })?;
                self.may_have_circles = true;
                Reply::DONE
            }
            Request::Release { object, count } => {
                self.release(session, object, count);
                Reply::DONE
            }
            Request::Export { object, token } => {
                let own = self.sessions.get(&session).and_then(|session| session.references.get(&object));
                let reference = own.ok_or(Failure::NoSuchObject)?.0.clone();
                self.transfers.insert(token, Transfer { exporter: session, reference });
                Reply::DONE
            }
            Request::Import(token) => {
                Reply::Object(self.transfers.remove(&token).ok_or(Failure::NoSuchTransfer)?.reference)
            }
            Request::CancelExport(token) => {
                self.cancel_export(session, token);
                Reply::DONE
            }
            Request::Status => Reply::Status(self.status()),
        };
        Ok(Some(reply))
    }

    fn create(&mut self, session: SessionId, kind: Kind, mut args: Vec<Variant>, name: Option<String>) -> Outcome {
        if let Some(known) = name.as_ref().and_then(|name| self.names.get_key_value(name)) {
            let (name, reference) = known;
            return match reference.kind() == kind {
                true => Ok(Reply::Object(reference.clone())),
                false => Err(Failure::NameTaken { name: name.clone(), kind: reference.kind() }),
            };
        }
        self.admit(session, &mut args)?;
        if kind == Kind::Condition && matches!(args[..], [] | [Variant::Null]) {
            // Its own lock, as in Python.
            let lock = self.add(Kind::RLock, Object::Mutex(Mutex::new(true)));
            args = vec![lock.into()];
        }
        if self.objects.len() > 2 * self.after_last_sweep + 1024 {
            self.sweep();
        }
        let reference = self.add(kind, Object::create(kind, Args::new(None, kind, args, self.memory)?)?);
        if let Some(name) = name {
            self.names.insert(name, reference.clone());
        }
        Ok(Reply::Object(reference))
    }

    fn add(&mut self, kind: Kind, object: Object) -> ObjectRef {
        self.last_object += 1;
        let id = ObjectId(self.last_object);
        let reference = ObjectRef::new(id, kind, Some(self.pending_drops.watch(id)));
        self.objects.insert(id, object);
        reference
    }

    fn call(&mut self, caller: Caller, call: Call) -> Result<Option<Reply>, Failure> {
        let Call { object, method, mut args, timeout, .. } = call;
        let own = self.sessions.get(&caller.session).and_then(|session| session.references.get(&object));
        let kind = own.ok_or(Failure::NoSuchObject)?.0.kind();
        self.admit(caller.session, &mut args)?;
        let mut args = Args::new(Some(method), kind, args, self.memory)?;
        if let Some((path, change)) = Change::read(method, kind, &mut args)? {
            return change.apply(&mut self.objects, (object, kind), path).map(Some);
        }
        let cx = Context { caller, object, method, timeout };
        match self.objects.get(&object) {
            Some(Object::Condition(lock)) => self.call_condition(lock.id(), cx, args),
            _ => self.call_object(cx, args),
        }
    }

    /// Calls a method that needs no other object. Returns `None` if the call waits.
    fn call_object(&mut self, cx: Context, args: Args) -> Result<Option<Reply>, Failure> {
        let object = self.objects.get_mut(&cx.object).ok_or(Failure::NoSuchObject)?;
        if object.can_be_held()
            && let Some(session) = self.sessions.get_mut(&cx.caller.session)
        {
            session.touched.insert(cx.object);
        }
        object.call(cx, args, &mut self.waits)
    }

    /// Checks a client's arguments: not nested too deeply, and every reference in them is the client's own.
    fn admit(&mut self, session: SessionId, args: &mut [Variant]) -> Result<(), Failure> {
        for arg in args {
            // Scalars, as most arguments are, pass without a traversal.
            if !arg.is_within_depth(DEPTH_LIMIT) {
                return Err(Failure::TooDeep);
            }
            let mut all_own = true;
            let references = self.sessions.get(&session).map(|session| &session.references);
            arg.each_reference(&mut |reference| match references.and_then(|own| own.get(&reference.id())) {
                Some((own, _)) => *reference = own.clone(),
                None => all_own = false,
            });
            if !all_own {
                return Err(Failure::NoSuchObject);
            }
        }
        Ok(())
    }

    /// Ends the waits whose deadline has passed.
    pub(crate) fn expire(&mut self, now_ns: u64) {
        self.waits.now_ns = now_ns;
        while let Some(waiter) = self.waits.overdue(now_ns) {
            self.give_up(waiter);
        }
        self.drop_unreferenced();
    }

    /// Ends a wait because its time has passed.
    fn give_up(&mut self, waiter: Waiter) {
        let object = waiter.object;
        match (&waiter.want, self.objects.get(&object)) {
            (Want::Notice(_), Some(Object::Condition(lock))) => {
                let lock = lock.id();
                self.waits.resume(waiter, lock, None);
                self.serve(lock);
            }
            (want, _) => {
                let reply = want.not_in_time();
                self.waits.complete(waiter, Ok(reply));
                self.lose_party(object, BreakCause::TimedOut);
            }
        }
    }

    /// When [`expire`](Self::expire) is due next.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.waits.next_deadline()
    }

    /// Returns the answers that have become ready for calls that waited.
    pub(crate) fn take_completions(&mut self) -> Vec<Completion> {
        let mut completed = std::mem::take(&mut self.waits.completed);
        for completion in &mut completed {
            if let Ok(reply) = &mut completion.result {
                self.note_references(completion.session, reply);
            }
        }
        completed
    }

    /// Handles an answer that could not be delivered because its client is gone: a queue requeues its item.
    pub(crate) fn take_back(&mut self, object: ObjectId, reply: Reply) {
        if let Reply::Item(variant) = reply
            && let Some(Object::Queue(queue)) = self.objects.get_mut(&object)
        {
            queue.take_back(variant);
            self.serve(object);
        }
    }

    /// Whether a client has a waiting call.
    pub(crate) fn waits(&self, session: SessionId) -> bool {
        self.waits.waits(session)
    }

    /// Returns the manager's counters.
    pub(crate) fn status(&self) -> Status {
        Status {
            clients: self.sessions.len() as u64,
            clients_ever: self.last_session,
            objects: self.objects.len() as u64,
            names: self.names.len() as u64,
            waiting: self.waits.waiting() as u64,
            requests: self.requests,
            refused: self.refused,
        }
    }
}
