//! Requests that may be repeated.
//!
//! A session numbers its requests, and the server keeps the answer to the last one. A request whose answer was lost is sent
//! again with its number, and is performed once. A session has one connection, and makes one request at a time; a process
//! has as many sessions as threads were in calls at once.

use redis::Cmd;

use super::connection::{Answer, Connection, SLICE};
use super::error::RedisError;
use super::member::{Member, random};
use super::script::{Request, Script};
use crate::ipc::error::{Error, Result};
use crate::ipc::queue::ring::Waiting;

/// The sessions of a member that no thread uses.
#[derive(Default)]
pub(super) struct Sessions {
    made: u32,
    idle: Vec<Session>,
    /// The answer to their last get never arrived. Only the same request may follow: it may have taken items.
    unanswered: Vec<Session>,
}

impl Sessions {
    /// Returns the names and request numbers of those whose last plain get has arrived, which the server does not know yet.
    pub(super) fn arrived(&self) -> Vec<(String, [u8; 12])> {
        let unsettled = self.idle.iter().filter_map(|session| Some((session, session.unsettled?)));
        unsettled.map(|(session, request)| (session.fields[Kind::PlainGet as usize].clone(), digits(request))).collect()
    }

    /// Returns a connection of one of them.
    pub(super) fn into_connection(mut self) -> Option<Connection> {
        self.idle.pop().map(|session| session.connection)
    }
}

/// A sequence of requests.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// The fields of the queue's meta key that hold its last plain get and its last other request.
    fields: [String; 2],
    request: u64,
    /// Where the names of its requests begin, at random.
    names: u64,
    /// The last plain get, once it has arrived: the server deletes the items when it learns that.
    unsettled: Option<u64>,
}

/// The last plain get of a session and its last other request are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    PlainGet,
    Other,
}

impl Session {
    /// Returns a name that no other request has, for the next one.
    pub(super) fn next_name(&self) -> String {
        format!("{:016x}", self.names.wrapping_add(self.request))
    }

    /// Notes that the answer to a plain get has arrived.
    pub(super) fn got(&mut self) {
        self.unsettled = Some(self.request);
    }
}

/// Returns what the scripts call FLAGS.
pub(super) fn flags(waits: bool, is_registered: bool, discounts_own: bool) -> [u8; 3] {
    [waits, is_registered, discounts_own].map(u8::from)
}

/// Returns the number of a request as the scripts compare it.
fn digits(request: u64) -> [u8; 12] {
    std::array::from_fn(|index| b'0' + (request / 10_u64.pow(11 - index as u32) % 10) as u8)
}

impl Member {
    /// Returns a session: for a get, one whose last get was not answered if there is one.
    pub(super) fn session(&self, gets: bool) -> Session {
        let number = {
            let mut sessions = self.sessions();
            let unanswered = if gets { sessions.unanswered.pop() } else { None };
            if let Some(session) = unanswered.or_else(|| sessions.idle.pop()) {
                return session;
            }
            sessions.made += 1;
            sessions.made
        };
        let name = format!("s:{}:{number}", self.id());
        let names = u64::from_str_radix(&random(), 16).expect("16 digits");
        let fields = [format!("{name}g"), name];
        Session { connection: self.connection(), fields, request: 0, names, unsettled: None }
    }

    /// Keeps a session for other requests, unless its request had no answer.
    pub(super) fn keep<T>(&self, session: Session, outcome: &Result<T>) {
        if !is_unanswered(outcome) {
            self.sessions().idle.push(session);
        }
    }

    /// As [`keep`](Self::keep), after a get.
    pub(super) fn keep_after_get<T>(&self, mut session: Session, outcome: &Result<T>) {
        if is_unanswered(outcome) {
            // The same request again.
            session.request -= 1;
            self.sessions().unanswered.push(session);
        } else {
            self.sessions().idle.push(session);
        }
    }

    /// Makes one request that does not wait.
    pub(super) fn request(&self, script: &'static Script, arguments: impl Fn(&mut Cmd)) -> Result<Answer> {
        let mut session = self.session(false);
        let answer = self.run_in(&mut session, Kind::Other, script, arguments);
        self.keep(session, &answer);
        answer
    }

    /// Makes a request in a session. Its field and the number of the request are the first arguments of the script.
    pub(super) fn run_in<'r>(
        &self,
        session: &mut Session,
        kind: Kind,
        request: impl Into<Request<'r>>,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Answer> {
        session.request += 1;
        if kind == Kind::PlainGet {
            session.unsettled = None;
        }
        let (field, number) = (&session.fields[kind as usize], digits(session.request));
        self.run(&mut session.connection, request, self.server().timeout, |command| {
            #[cfg(all(debug_assertions, feature = "cli"))]
            let field = &crate::sys::failpoint::forget_session(field);
            command.arg(field).arg(&number);
            arguments(command);
        })
    }

    /// Calls `ask` until it returns a result, and blocks between two calls until there is a token in `list`, or for a
    /// second. Returns `None` on timeout. `ask` is told whether to register as a waiter, and whether it is registered.
    pub(super) fn until<R>(
        &self,
        session: &mut Session,
        waiting: &Waiting,
        list: &str,
        mut ask: impl FnMut(&mut Session, bool, bool) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let mut is_registered = false;
        loop {
            let left = waiting.left();
            if let Some(done) = ask(session, left.is_some(), is_registered)? {
                return Ok(Some(done));
            }
            let Some(deadline) = left else { return Ok(None) };
            let slice = deadline.left().map_or(SLICE, |left| left.min(SLICE));
            is_registered = session.connection.wait(&self.key(list), slice) != Some(true);
        }
    }
}

/// Whether a request was made to which no answer came.
fn is_unanswered<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Redis(error)) if matches!(**error, RedisError::Unreachable { .. }))
}
