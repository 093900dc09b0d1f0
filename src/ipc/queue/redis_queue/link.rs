//! This process as a member of a queue on a server.
//!
//! # State
//! All handles of a queue in a process are one member, with an id that is never used again: `HOST:PID:TOKEN-GENERATION`.
//! While it has handles, a thread of its own, with a connection of its own, prolongs the member's life on the server
//! every half second; a member that is not prolonged for 1.5 s is declared dead by the process that notices. A process that was
//! declared dead and lives (it was stopped) becomes another member.
//!
//! Calls are made in sessions, one at a time in each: see [`Session`].
//!
//! # Death
//! A handle that is sent to a worker is counted for a placeholder, which expires after 30 s unless the worker takes over
//! as a member. The sender sees the death of its child within 100 ms, and declares the child's members dead.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};

use super::error::RedisError;
use super::script::{self, Script};
use super::server::{SLICE, Server, Wire};
use crate::ipc::deadline::LOOK_EVERY;
use crate::ipc::error::{Error, Result, check_not_forked, os};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::process::transfer;
use crate::ipc::queue::leasing::OnConsumerDeath;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::ring::Waiting;
use crate::sys::fork::forked_from;
use crate::sys::task::{InternalThread, has_other_threads};

/// The layout of the keys. A queue of another one is left alone.
pub(super) const VERSION: &str = "ipcq1";
/// The set of the names of all queues. Not a part of any of them: in a cluster it is elsewhere.
pub(super) const INDEX: &str = "ipcq:queues";
/// Items in a request: more would block the server, and `unpack` in Lua ends near 8,000.
pub(super) const MOST_ITEMS: usize = 1000;
/// Bytes after which a request is sent.
const MANY_BYTES: usize = 32 << 20;

pub(super) const BEAT_EVERY: Duration = Duration::from_millis(500);
const LIFE_MS: u64 = 1500;
const PLACEHOLDER_LIFE_MS: u64 = 30_000;

/// What a queue is made with.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// `None`: a random name, and the queue is deleted with its last member.
    pub(super) name: Option<String>,
    pub(super) has_tasks: bool,
    pub(super) capacity: Option<u64>,
    pub(super) byte_limit: u64,
    pub(super) on_death: OnConsumerDeath,
    pub(super) max_redeliveries: u32,
}

/// What a worker needs in order to become a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkParts {
    server: (String, u64),
    name: String,
    token: String,
    has_tasks: bool,
    capacity: Option<u64>,
    byte_limit: u64,
}

/// An item that was taken.
pub(super) struct Taken {
    pub(super) number: u64,
    pub(super) payload: Vec<u8>,
    pub(super) returned: u32,
}

/// Items that were taken together.
pub(super) struct Batch {
    /// The member that holds them.
    pub(super) owner: Arc<str>,
    pub(super) items: Vec<Taken>,
}

pub(super) struct Link {
    parts: LinkParts,
    server: Arc<Server>,
    meta: String,
    /// The id without the generation.
    base: String,
    member: Mutex<Member>,
    changed: Condvar,
    sessions: Mutex<Sessions>,
}

#[derive(Debug)]
struct Member {
    id: Arc<str>,
    generation: u32,
    /// The handles, and those of them that can put and get.
    handles: u32,
    puts: u32,
    gets: u32,
    has_heart: bool,
    children: Vec<Child>,
}

/// A worker that was given a handle.
#[derive(Debug)]
struct Child {
    slot: ProcessSlot,
    token: String,
}

impl Member {
    /// Returns the tokens of the children that have ended.
    fn dead_children(&self) -> Vec<String> {
        let Ok(table) = ProcessTable::ours() else { return Vec::new() };
        let ended = self.children.iter().filter(|child| !table.is_alive(child.slot));
        ended.map(|child| child.token.clone()).collect()
    }
}

#[derive(Default)]
struct Sessions {
    made: u32,
    idle: Vec<Session>,
    /// The answer to their last take never arrived. Only the same request may follow: it may have taken items.
    unanswered: Vec<Session>,
}

/// A sequence of requests. The server keeps the answer to the last one, so each may be repeated if the answer is lost.
struct Session {
    wire: Wire,
    name: String,
    request: u64,
    /// Whether the last request was a plain get: the server deletes the items when it learns that they have arrived.
    has_unsettled: bool,
}

impl Link {
    /// Creates a queue, or joins the one of that name, and becomes a member with both rights that has no handle yet.
    pub(super) fn open(server: &Server, plan: &Plan) -> Result<Arc<Self>> {
        check_not_forked()?;
        let server = Arc::new(server.clone());
        let name = plan.name.clone().unwrap_or_else(random);
        let is_name = |c: char| !c.is_whitespace() && !c.is_control() && c != '{' && c != '}';
        if name.is_empty() || name.len() > 200 || !name.chars().all(is_name) {
            return Err(RedisError::Name { name }.into());
        }
        let parts = LinkParts {
            server: server.parts(),
            name,
            token: random(),
            has_tasks: plan.has_tasks,
            capacity: plan.capacity,
            byte_limit: plan.byte_limit,
        };
        let mut link = Link::new(server, parts);
        let mut wire = Wire::new(Arc::clone(&link.server));
        // Named first: what follows may be cut short, and then the queue can still be found.
        wire.command(redis::cmd("SADD").arg(INDEX).arg(&link.parts.name), link.server.patience())?;
        let policy = match plan.on_death {
            OnConsumerDeath::Requeue => "requeue",
            OnConsumerDeath::Fail => "fail",
            OnConsumerDeath::Drop => "drop",
        };
        let id = link.id();
        let (outcome, mut rest) = wire.run(&script::CREATE, &link.meta, link.server.patience(), |command| {
            command.arg(VERSION).arg(kind(plan.has_tasks)).arg(plan.capacity.unwrap_or(0)).arg(plan.byte_limit);
            command.arg(u8::from(plan.name.is_none())).arg(policy).arg(plan.max_redeliveries);
            // A member without rights, until there are handles.
            command.arg(&*id).arg("").arg(LIFE_MS);
        })?;
        match (outcome, rest.next(), rest.next()) {
            (1, Some(Value::Int(capacity)), Some(Value::Int(limit))) => {
                link.parts.capacity = Some(capacity as u64).filter(|capacity| *capacity > 0);
                link.parts.byte_limit = limit as u64;
            }
            (-5, key, _) => {
                let key = key.and_then(|key| text(key).ok()).unwrap_or_default();
                return Err(RedisError::ForeignKey { server: link.server.address(), key }.into());
            }
            (-6, ..) => {
                let found = if plan.has_tasks { "plain" } else { "joinable" };
                let (server, queue) = (link.server.address(), link.parts.name.clone());
                return Err(RedisError::OtherKind { server, queue, found }.into());
            }
            other => return Err(link.server.nonsense(&other)),
        }
        Ok(Arc::new(link))
    }

    fn new(server: Arc<Server>, parts: LinkParts) -> Self {
        let base = format!("{}:{}", process_name(), parts.token);
        let meta = format!("ipcq:{{{}}}:meta", parts.name);
        let member = Member {
            id: format!("{base}-0").into(),
            generation: 0,
            handles: 0,
            puts: 0,
            gets: 0,
            has_heart: false,
            children: Vec::new(),
        };
        let (member, changed) = (Mutex::new(member), Condvar::new());
        Link { parts, server, meta, base, member, changed, sessions: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.parts.name
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.parts.capacity.map(|capacity| capacity as usize)
    }

    pub(super) fn byte_limit(&self) -> u64 {
        self.parts.byte_limit
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    fn member(&self) -> MutexGuard<'_, Member> {
        self.member.lock().expect(UNPOISONED)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect(UNPOISONED)
    }

    fn id(&self) -> Arc<str> {
        Arc::clone(&self.member().id)
    }

    fn key(&self, name: &str) -> String {
        format!("ipcq:{{{}}}:{name}", self.parts.name)
    }

    /// Counts one more handle. The first with a right makes it the member's on the server.
    fn count(self: &Arc<Self>, rights: Rights) -> Result<()> {
        let mut member = self.member();
        let is_new = (rights.has(Rights::PUT) && member.puts == 0) || (rights.has(Rights::GET) && member.gets == 0);
        if is_new {
            let mut wire = Wire::new(Arc::clone(&self.server));
            self.enter(&mut wire, &member.id, rights, LIFE_MS, self.server.patience())?;
        }
        member.handles += 1;
        member.puts += u32::from(rights.has(Rights::PUT));
        member.gets += u32::from(rights.has(Rights::GET));
        if !member.has_heart {
            let link = Arc::clone(self);
            let heart = thread::Builder::new().name("heart".into()).spawn(move || link.beat_while_used());
            heart.map_err(os("start the thread that tells the server that this process lives"))?;
            member.has_heart = true;
        }
        Ok(())
    }

    /// Gives up rights of one handle, and the handle itself if it `ends`. What nobody else in this process has is given
    /// up on the server too; if that fails, the others learn of it when the member expires.
    fn uncount(&self, rights: Rights, ends: bool) {
        let mut member = self.member();
        member.puts -= u32::from(rights.has(Rights::PUT));
        member.gets -= u32::from(rights.has(Rights::GET));
        member.handles -= u32::from(ends);
        let mut lost = String::new();
        if rights.has(Rights::PUT) && member.puts == 0 {
            lost.push('p');
        }
        if rights.has(Rights::GET) && member.gets == 0 {
            lost.push('g');
        }
        let is_last = member.handles == 0;
        if is_last {
            lost.push('x');
        }
        if lost.is_empty() {
            return;
        }
        let mut sessions = if is_last { std::mem::take(&mut *self.sessions()) } else { Sessions::default() };
        let reused = sessions.idle.pop().map(|session| session.wire);
        let mut wire = reused.unwrap_or_else(|| Wire::new(Arc::clone(&self.server)));
        if is_last {
            // Nobody else may be left to do it.
            let _ = self.declare_dead(&mut wire, &member.dead_children());
        }
        // The heart cannot rejoin meanwhile: it needs the lock.
        let left = self.leave(&mut wire, &member.id, &lost, sessions.made);
        if is_last {
            member.generation += 1;
            member.id = format!("{}-{}", self.base, member.generation).into();
            self.changed.notify_all();
            if left.is_ok_and(|has_ended| has_ended) {
                let _ = wire.command(redis::cmd("SREM").arg(INDEX).arg(&self.parts.name), Duration::ZERO);
            }
        }
    }

    fn enter(&self, wire: &mut Wire, id: &str, rights: Rights, life_ms: u64, patience: Duration) -> Result<()> {
        self.run(wire, &script::ENTER, patience, |command| {
            command.arg(id).arg(letters(rights)).arg(life_ms);
        })
        .map(drop)
    }

    /// Gives up rights of a member, or with `x` the member. Returns whether the queue has ended.
    fn leave(&self, wire: &mut Wire, id: &str, lost: &str, sessions: u32) -> Result<bool> {
        let (outcome, _) = self.run(wire, &script::LEAVE, Duration::ZERO, |command| {
            command.arg(id).arg(lost);
            for number in 0..sessions {
                command.arg(format!("{}:{number}", self.base));
            }
        })?;
        Ok(outcome == 1)
    }

    /// Runs a script. -1 means that the queue is not there.
    fn run(
        &self,
        wire: &mut Wire,
        script: &'static Script,
        patience: Duration,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(i64, std::vec::IntoIter<Value>)> {
        unless_gone(&self.server, &self.parts.name, wire.run(script, &self.meta, patience, arguments)?)
    }

    /// Tells the server that this process lives, finds those that do not, and watches the children.
    fn beat_while_used(&self) {
        let _internal = InternalThread::count();
        let mut wire = Wire::new(Arc::clone(&self.server));
        let mut next_beat = Instant::now();
        loop {
            let mut member = self.member();
            if member.handles == 0 {
                member.has_heart = false;
                return;
            }
            let dead = member.dead_children();
            let wait = next_beat.saturating_duration_since(Instant::now());
            if dead.is_empty() && !wait.is_zero() {
                let wait = if member.children.is_empty() { wait } else { wait.min(LOOK_EVERY) };
                drop(self.changed.wait_timeout(member, wait));
                continue;
            }
            drop(member);
            let next = self.beat(&mut wire).and_then(|next| self.declare_dead(&mut wire, &dead).map(|()| next));
            match next {
                Ok(next) => {
                    next_beat = Instant::now() + next;
                    self.member().children.retain(|child| !dead.contains(&child.token));
                }
                // It is asked again soon.
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Declares the members of children that have ended dead.
    fn declare_dead(&self, wire: &mut Wire, tokens: &[String]) -> Result<()> {
        if tokens.is_empty() {
            return Ok(());
        }
        let everybody = redis::cmd("ZRANGE").arg(self.key("live")).arg(0).arg(-1).to_owned();
        let everybody: Vec<String> = value(&self.server, wire.command(&everybody, Duration::ZERO)?)?;
        let token_of = |id: &str| {
            id.rsplit_once('-').and_then(|(base, _)| base.rsplit_once(':')).map(|(_, token)| token.to_owned())
        };
        for id in everybody {
            if token_of(&id).is_some_and(|token| tokens.contains(&token)) {
                self.reap(wire, &id, true)?;
            }
        }
        Ok(())
    }

    fn reap(&self, wire: &mut Wire, id: &str, is_known: bool) -> Result<()> {
        loop {
            let (left, _) = self.run(wire, &script::REAP, Duration::ZERO, |command| {
                command.arg(id).arg(u8::from(is_known));
            })?;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Returns in what time the next beat is due.
    fn beat(&self, wire: &mut Wire) -> Result<Duration> {
        let id = self.id();
        let arrived: Vec<(String, u64)> = {
            let sessions = self.sessions();
            let unsettled = sessions.idle.iter().filter(|session| session.has_unsettled);
            unsettled.map(|session| (session.name.clone(), session.request)).collect()
        };
        let (is_member, mut rest) = self.run(wire, &script::BEAT, Duration::ZERO, |command| {
            command.arg(LIFE_MS).arg(&*id);
            for (session, request) in &arrived {
                command.arg(session).arg(request);
            }
        })?;
        let next_ms = rest.next();
        for expired in rest {
            self.reap(wire, &text(expired)?, false)?;
        }
        if is_member == 0 {
            self.rejoin(wire, &id)?;
        }
        // A little later than the next one expires, to find it expired.
        Ok(match next_ms {
            Some(Value::Int(ms @ 0..)) => BEAT_EVERY.min(Duration::from_millis(ms as u64 + 1)),
            _ => BEAT_EVERY,
        })
    }

    /// Becomes another member after the one with this id was declared dead, unless that has happened.
    fn rejoin(&self, wire: &mut Wire, lost: &str) -> Result<()> {
        let mut member = self.member();
        if &*member.id != lost || member.handles == 0 {
            return Ok(());
        }
        let id: Arc<str> = format!("{}-{}", self.base, member.generation + 1).into();
        let rights = Rights::of(member.puts > 0, member.gets > 0);
        self.enter(wire, &id, rights, LIFE_MS, Duration::ZERO)?;
        member.generation += 1;
        member.id = id;
        Ok(())
    }

    fn session(&self, takes: bool) -> Session {
        let mut sessions = self.sessions();
        let kept = if takes { sessions.unanswered.pop() } else { None };
        kept.or_else(|| sessions.idle.pop()).unwrap_or_else(|| {
            let name = format!("{}:{}", self.base, sessions.made);
            sessions.made += 1;
            Session { wire: Wire::new(Arc::clone(&self.server)), name, request: 0, has_unsettled: false }
        })
    }

    /// Makes one request in a session, numbered and repeatable, and keeps the session for another.
    fn request<R>(
        &self,
        script: &'static Script,
        arguments: impl Fn(&mut Cmd),
        read: impl FnOnce(i64, std::vec::IntoIter<Value>) -> Result<R>,
    ) -> Result<R> {
        let mut session = self.session(false);
        let answer = self.run_in(&mut session, script, arguments);
        if answer.is_ok() {
            self.sessions().idle.push(session);
        }
        let (outcome, rest) = answer?;
        read(outcome, rest)
    }

    fn run_in(
        &self,
        session: &mut Session,
        script: &'static Script,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(i64, std::vec::IntoIter<Value>)> {
        session.request += 1;
        let Session { wire, name, request, has_unsettled } = session;
        *has_unsettled = false;
        self.run(wire, script, self.server.patience(), |command| {
            #[cfg(all(debug_assertions, feature = "cli"))]
            let name = &crate::sys::failpoint::forget_session(name);
            command.arg(name.as_str()).arg(*request);
            arguments(command);
        })
    }

    /// Calls `ask` until it returns a result, and blocks between two calls until there is a token in `list`, or for a
    /// second. Returns `None` on timeout. `ask` is told whether to register as a waiter, and whether it is registered.
    fn until<R>(
        &self,
        session: &mut Session,
        waiting: &Waiting,
        list: &str,
        mut ask: impl FnMut(&mut Session, bool, bool) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let list = self.key(list);
        let mut is_registered = false;
        loop {
            let left = waiting.left();
            if let Some(done) = ask(session, left.is_some(), is_registered)? {
                return Ok(Some(done));
            }
            let Some(deadline) = left else { return Ok(None) };
            let slice = deadline.left().map_or(SLICE, |left| left.min(SLICE));
            is_registered = session.wire.wait(&list, slice) != Some(true);
        }
    }
}

/// Looks at queues without being a member of them.
pub(super) struct Observer<'s> {
    server: &'s Server,
    pub(super) wire: Wire,
}

impl<'s> Observer<'s> {
    pub(super) fn new(server: &'s Server) -> Self {
        Observer { server, wire: Wire::new(Arc::new(server.clone())) }
    }

    pub(super) fn run(
        &mut self,
        script: &'static Script,
        name: &str,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(i64, std::vec::IntoIter<Value>)> {
        let meta = format!("ipcq:{{{name}}}:meta");
        unless_gone(self.server, name, self.wire.run(script, &meta, self.server.patience(), arguments)?)
    }

    /// Removes a name from the list of all.
    pub(super) fn forget(&mut self, name: &str) -> Result<()> {
        self.wire.command(redis::cmd("SREM").arg(INDEX).arg(name), self.server.patience()).map(drop)
    }

    /// Declares those dead that have expired.
    pub(super) fn collect(&mut self, name: &str) -> Result<()> {
        let (_, expired) = self.run(&script::BEAT, name, |command| _ = command.arg(LIFE_MS).arg(""))?;
        for id in expired.skip(1) {
            let id = text(id)?;
            // The queue may end with it.
            while leases_left(self.run(&script::REAP, name, |command| _ = command.arg(&id).arg(0)))? > 0 {}
        }
        Ok(())
    }
}

/// Returns how many leases are left to be returned; 0 if the queue has ended.
fn leases_left(outcome: Result<(i64, std::vec::IntoIter<Value>)>) -> Result<i64> {
    match outcome {
        Err(Error::Redis(error)) if matches!(*error, RedisError::NoQueue { .. }) => Ok(0),
        outcome => outcome.map(|(left, _)| left),
    }
}

/// Turns the answer that the queue is not there into an error.
fn unless_gone(
    server: &Server,
    name: &str,
    answer: (i64, std::vec::IntoIter<Value>),
) -> Result<(i64, std::vec::IntoIter<Value>)> {
    match answer {
        (-1, _) => Err(RedisError::NoQueue { server: server.address(), queue: name.to_owned() }.into()),
        answer => Ok(answer),
    }
}

const UNPOISONED: &str = "nothing panics while it holds the lock";

fn kind(has_tasks: bool) -> &'static str {
    if has_tasks { "tasks" } else { "plain" }
}

fn letters(rights: Rights) -> String {
    let put = if rights.has(Rights::PUT) { "p" } else { "" };
    let get = if rights.has(Rights::GET) { "g" } else { "" };
    format!("{put}{get}")
}

/// Returns the name of this process among those of several machines: `HOST:PID`.
pub(crate) fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
}

/// Returns a random name, from the kernel.
fn random() -> String {
    // This file never fails to be read.
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel gives random numbers");
    uuid.trim().replace('-', "")[..16].to_owned()
}

pub(super) fn text(value: Value) -> Result<String> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Ok(number.to_string()),
        Value::Nil => Ok(String::new()),
        other => Err(Error::from(RedisError::Answer { server: "the server".to_owned(), answer: format!("{other:?}") })),
    }
}

pub(super) fn value<T: redis::FromRedisValue>(server: &Server, value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|error| server.nonsense(&error))
}

/// A counted handle of this process.
pub(super) struct Handle {
    pub(super) link: Arc<Link>,
    rights: Rights,
    /// The [`Rights`] that this handle gave up.
    given_up: AtomicU32,
}

/// What is sent of a handle: how to become a member, its rights, the placeholder that is counted meanwhile, and the
/// number of the count.
pub(super) type SentHandle = (LinkParts, Rights, String, u32);

impl Handle {
    pub(super) fn new(link: &Arc<Link>, rights: Rights) -> Result<Self> {
        link.count(rights)?;
        Ok(Handle { link: Arc::clone(link), rights, given_up: AtomicU32::new(0) })
    }

    /// Creates another handle of this process, with the part of `rights` that this handle still has.
    pub(super) fn another(&self, rights: Rights) -> Self {
        let rights = Rights(self.rights().0 & rights.0);
        Handle::new(&self.link, rights).expect("the process has these rights, so the server is not asked")
    }

    /// Counts a handle like this one for a worker, before it is sent.
    pub(super) fn counted_for(&self, slot: ProcessSlot) -> Result<SentHandle> {
        check_not_forked()?;
        let (link, rights) = (Arc::clone(&self.link), self.rights());
        let token = {
            let mut member = link.member();
            let known = member.children.iter().find(|child| child.slot == slot).map(|child| child.token.clone());
            known.unwrap_or_else(|| {
                let token = random();
                member.children.push(Child { slot, token: token.clone() });
                token
            })
        };
        let placeholder = format!("worker:0:{token}-0");
        let mut wire = Wire::new(Arc::clone(&link.server));
        link.enter(&mut wire, &placeholder, rights, PLACEHOLDER_LIFE_MS, link.server.patience())?;
        link.changed.notify_all();
        let parts = LinkParts { token, ..link.parts.clone() };
        let unsent = placeholder.clone();
        let number = transfer::counted(move || {
            let mut wire = Wire::new(Arc::clone(&link.server));
            let _ = link.leave(&mut wire, &unsent, "x", 0);
        });
        Ok((parts, rights, placeholder, number))
    }

    /// Creates a handle from what another process sent.
    pub(super) fn received((parts, rights, placeholder, number): SentHandle) -> Result<Self> {
        let link = transfer::made_once(
            |link: &Arc<Link>| link.parts.token == parts.token,
            || Ok(Arc::new(Link::new(Arc::new(Server::of_parts(&parts.server)?), parts.clone()))),
        )?;
        let handle = Handle::new(&link, rights)?;
        transfer::received(number, move || {
            let mut wire = Wire::new(Arc::clone(&link.server));
            let _ = link.leave(&mut wire, &placeholder, "x", 0);
        });
        Ok(handle)
    }

    pub(super) fn rights(&self) -> Rights {
        Rights(self.rights.0 & !self.given_up.load(SeqCst))
    }

    /// Gives up `rights`.
    pub(super) fn give_up(&self, rights: Rights) {
        let before = self.given_up.fetch_or(rights.0, SeqCst);
        let left = Rights(self.rights.0 & rights.0 & !before);
        if left != Rights::NONE && forked_from().is_none() {
            self.link.uncount(left, false);
        }
    }

    /// Returns this process's id if its own `right` does not count for this handle: a call that waits would otherwise
    /// wait for its own thread.
    fn discounted(&self, right: Rights, waiting: &Waiting) -> Arc<str> {
        let is_alone = || {
            let member = self.link.member();
            (if right == Rights::PUT { member.puts } else { member.gets }) == 1
        };
        if waiting.will() && self.rights().has(right) && is_alone() && !has_other_threads() {
            self.link.id()
        } else {
            Arc::from("")
        }
    }

    fn check_open(&self, right: Rights) -> Result<()> {
        check_not_forked()?;
        if self.rights().has(right) { Ok(()) } else { Err(Error::Closed) }
    }

    /// Puts the first of `payloads` for which there is room in time, and returns how many; 0 on timeout.
    pub(super) fn put(&self, payloads: &[&[u8]], waiting: &Waiting) -> Result<usize> {
        self.check_open(Rights::PUT)?;
        let link = &self.link;
        let mut bytes = 0;
        let fits = |payload: &&&[u8]| {
            bytes += payload.len();
            bytes <= MANY_BYTES
        };
        let count = payloads.iter().take(MOST_ITEMS).take_while(fits).count().max(1);
        let payloads = &payloads[..count.min(payloads.len())];
        let own = self.discounted(Rights::GET, waiting);
        let mut session = link.session(false);
        let put = link.until(&mut session, waiting, "room", |session, waits, is_registered| {
            self.check_open(Rights::PUT)?;
            let (outcome, _) = link.run_in(session, &script::PUT, |command| {
                command.arg(u8::from(waits)).arg(u8::from(is_registered)).arg(&*own);
                payloads.iter().for_each(|payload| _ = command.arg(*payload));
            })?;
            match outcome {
                -3 => Err(Error::Disconnected),
                count => Ok(Some(count as usize).filter(|count| *count > 0)),
            }
        });
        if !is_unanswered(&put) {
            link.sessions().idle.push(session);
        }
        Ok(put?.unwrap_or(0))
    }

    /// Takes up to `most` items, blocking while there is none; `None` on timeout.
    pub(super) fn take(&self, most: usize, waiting: &Waiting) -> Result<Option<Batch>> {
        self.check_open(Rights::GET)?;
        let link = &self.link;
        let own = self.discounted(Rights::PUT, waiting);
        let mut session = link.session(true);
        let taken = link.until(&mut session, waiting, "more", |session, waits, is_registered| {
            loop {
                let id = link.id();
                let (outcome, rest) = link.run_in(session, &script::TAKE, |command| {
                    command.arg(u8::from(waits)).arg(u8::from(is_registered)).arg(&*own).arg(&*id);
                    command.arg(most.min(MOST_ITEMS));
                })?;
                match outcome {
                    0 => return Ok(None),
                    -2 => link.rejoin(&mut session.wire, &id)?,
                    -3 => return Err(Error::Disconnected),
                    _ => {
                        session.has_unsettled = !link.parts.has_tasks;
                        return batch(&link.server, rest).map(Some);
                    }
                }
            }
        });
        if is_unanswered(&taken) {
            // The same request again.
            session.request -= 1;
            link.sessions().unanswered.push(session);
        } else {
            link.sessions().idle.push(session);
        }
        taken
    }

    /// Ends leases of a member: their tasks are done. Each is a number and the length of the payload. Returns whether
    /// each was still held.
    pub(super) fn finish(&self, owner: &str, leases: &[(u64, usize)]) -> Result<Vec<bool>> {
        self.link.request(
            &script::DONE,
            |command| {
                command.arg(owner);
                leases.iter().for_each(|(number, len)| _ = command.arg(*number).arg(*len));
            },
            |_, rest| each(&self.link.server, rest),
        )
    }

    /// Returns leased items of a member to the queue. Returns whether each was still held.
    pub(super) fn give_back(&self, owner: &str, numbers: &[u64]) -> Result<Vec<bool>> {
        self.link.request(
            &script::BACK,
            |command| _ = command.arg(owner).arg(numbers),
            |_, rest| each(&self.link.server, rest),
        )
    }

    /// Blocks until no task is unfinished; `false` on timeout.
    pub(super) fn join(&self, waiting: &Waiting) -> Result<bool> {
        check_not_forked()?;
        let link = &self.link;
        let own = self.discounted(Rights::GET, waiting);
        let mut session = link.session(false);
        let joined = link.until(&mut session, waiting, "done", |session, waits, is_registered| {
            let answer = link.run(&mut session.wire, &script::JOIN, link.server.patience(), |command| {
                command.arg(u8::from(waits)).arg(u8::from(is_registered)).arg(&*own);
            })?;
            match answer {
                (1, _) => Ok(Some(())),
                (0, _) => Ok(None),
                (-3, mut rest) => {
                    let Some(Value::Int(unfinished)) = rest.next() else { return Err(link.server.nonsense(&rest)) };
                    Err(Error::NoConsumers { unfinished: unfinished as u64 })
                }
                (_, mut rest) => {
                    let died = rest.next().map(text).transpose()?.unwrap_or_default();
                    let pid = died.split(':').nth(1).and_then(|pid| pid.parse().ok()).unwrap_or(0);
                    let item = rest.next().map(text).transpose()?.and_then(|item| item.parse().ok()).unwrap_or(0);
                    Err(Error::ConsumerDied { pid, item })
                }
            }
        });
        if !is_unanswered(&joined) {
            link.sessions().idle.push(session);
        }
        Ok(joined?.is_some())
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        check_not_forked()?;
        let link = &self.link;
        let mut session = link.session(false);
        let answer = link.run(&mut session.wire, &script::COUNT, link.server.patience(), |_| {});
        link.sessions().idle.push(session);
        let numbers: Vec<i64> = value(&link.server, Value::Array(answer?.1.collect()))?;
        let [queued, unfinished, dead, puts, gets] = numbers[..] else { return Err(link.server.nonsense(&numbers)) };
        Ok(Counts {
            queued: queued as usize,
            unfinished: unfinished as u64,
            dead: dead as usize,
            has_producers: puts != 0,
            has_consumers: gets != 0,
        })
    }

    /// Reads the oldest dead letters.
    pub(super) fn dead_letters(&self) -> Result<Vec<Taken>> {
        let link = &self.link;
        let mut session = link.session(false);
        let answer = link.run(&mut session.wire, &script::LETTERS, link.server.patience(), |command| {
            command.arg(MOST_ITEMS);
        });
        link.sessions().idle.push(session);
        batch_of(&link.server, answer?.1)
    }

    /// Removes dead letters. Returns whether each was still there.
    pub(super) fn discard(&self, numbers: &[u64]) -> Result<Vec<bool>> {
        self.link.request(&script::DISCARD, |command| _ = command.arg(numbers), |_, rest| each(&self.link.server, rest))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if forked_from().is_none() {
            self.link.uncount(self.rights(), true);
        }
    }
}

/// What there is in a queue, at one moment.
pub(super) struct Counts {
    pub(super) queued: usize,
    pub(super) unfinished: u64,
    pub(super) dead: usize,
    /// Whether a producer is left or none has come yet; so for consumers.
    pub(super) has_producers: bool,
    pub(super) has_consumers: bool,
}

/// Whether a request was made to which no answer came.
fn is_unanswered<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Redis(error)) if matches!(**error, RedisError::Unreachable { .. }))
}

fn numbers<N: std::str::FromStr>(server: &Server, value: Option<Value>) -> Result<Vec<N>> {
    let words = value.map(text).transpose()?.unwrap_or_default();
    words.split_whitespace().map(|word| word.parse().map_err(|_| server.nonsense(&words))).collect()
}

fn batch(server: &Server, mut rest: std::vec::IntoIter<Value>) -> Result<Batch> {
    let owner = rest.as_slice().last().cloned().map(text).transpose()?.unwrap_or_default().into();
    Ok(Batch { owner, items: batch_of(server, rest.by_ref())? })
}

/// Reads numbers, payloads, and how often each was returned; those at the end have not been.
fn batch_of(server: &Server, mut rest: impl Iterator<Item = Value>) -> Result<Vec<Taken>> {
    let numbers: Vec<u64> = numbers(server, rest.next())?;
    let Some(Value::Array(payloads)) = rest.next() else { return Err(server.nonsense(&"no payloads")) };
    let returned: Vec<u32> = self::numbers(server, rest.next())?;
    let returned = returned.into_iter().chain(std::iter::repeat(0));
    let items = numbers.into_iter().zip(payloads).zip(returned).map(|((number, payload), returned)| match payload {
        Value::BulkString(payload) => Ok(Taken { number, payload, returned }),
        other => Err(server.nonsense(&other)),
    });
    items.collect()
}

/// Reads a text with 1 or 0 for each.
fn each(server: &Server, mut rest: std::vec::IntoIter<Value>) -> Result<Vec<bool>> {
    let digits = rest.next().ok_or_else(|| server.nonsense(&"nothing")).and_then(text)?;
    Ok(digits.bytes().map(|digit| digit == b'1').collect())
}
