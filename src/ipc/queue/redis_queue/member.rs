//! This process as a member of a queue on a server.
//!
//! # State
//! All handles of a queue in a process are one member, with an id that is never used again: `HOST:PID:TOKEN-GENERATION`.
//! While it has handles, it has a heartbeat; see [`heartbeat`](super::heartbeat).
//!
//! Calls are made in sessions, one at a time in each: see [`Session`](super::session::Session).
//!
//! # Death
//! A handle that is sent to a worker is counted for a placeholder, which expires after 30 s unless the worker takes over
//! as a member.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};

use super::answer::{text, unless_gone};
use super::builder::Plan;
use super::connection::{Answer, Connection};
use super::error::RedisError;
use super::heartbeat::LIFE_MS;
use super::script::{self, Request};
use super::server::Server;
use super::session::Sessions;
use crate::ipc::error::{Result, check_not_forked, os};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::queue::leasing::OnConsumerDeath;
use crate::ipc::queue::participants::Rights;

/// The layout of the keys. A queue with another layout is left alone.
///
/// It has more than 64 bytes, so the server keeps a hash that contains it as a table. A hash of up to 512 short fields would be
/// a list, which is searched for each field. Batches of tasks are up to twice as fast with the table.
pub(super) const VERSION: &str = "ipcq6: the state of a queue of the Rust library ipc_demo; see its module redis";
/// The set of the names of all queues. Not a part of any of them: in a cluster it is elsewhere.
pub(super) const INDEX: &str = "ipcq:queues";
const PLACEHOLDER_LIFE_MS: u64 = 30_000;

/// What a worker needs in order to become a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentMember {
    server: (String, u64),
    name: String,
    token: String,
    has_tasks: bool,
    capacity: Option<u64>,
    byte_limit: u64,
}

impl SentMember {
    /// Returns the id of the member that is counted until the worker has become one.
    fn placeholder(&self) -> String {
        format!("worker:0:{}-0", self.token)
    }
}

/// This process as a member of a queue.
pub(super) struct Member {
    parts: SentMember,
    server: Arc<Server>,
    /// The first key of every script.
    meta: String,
    /// The id without the generation.
    pub(super) base: String,
    state: Mutex<State>,
    /// Notified when the heartbeat has something to look at.
    pub(super) changed: Condvar,
    sessions: Mutex<Sessions>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) id: Arc<str>,
    pub(super) generation: u32,
    /// The handles, and those of them that can put and get.
    pub(super) handles: u32,
    pub(super) puts: u32,
    pub(super) gets: u32,
    pub(super) has_heartbeat: bool,
    pub(super) children: Vec<Child>,
}

/// A worker that was given a handle.
#[derive(Debug)]
pub(super) struct Child {
    slot: ProcessSlot,
    pub(super) token: String,
}

impl State {
    /// Returns the tokens of the children that have ended.
    pub(super) fn dead_children(&self) -> Vec<String> {
        let Ok(table) = ProcessTable::ours() else { return Vec::new() };
        let ended = self.children.iter().filter(|child| !table.is_alive(child.slot));
        ended.map(|child| child.token.clone()).collect()
    }
}

impl Member {
    /// Creates a queue, or joins the one of that name, and becomes a member with both rights that has no handle yet.
    pub(super) fn open(server: &Server, plan: &Plan) -> Result<Arc<Self>> {
        check_not_forked()?;
        let server = Arc::new(server.clone());
        let name = plan.name.clone().unwrap_or_else(random);
        let is_name = |c: char| !c.is_whitespace() && !c.is_control() && c != '{' && c != '}';
        if !(1..=200).contains(&name.chars().count()) || !name.chars().all(is_name) {
            return Err(RedisError::Name { name }.into());
        }
        let parts = SentMember {
            server: server.parts(),
            name,
            token: random(),
            has_tasks: plan.has_tasks,
            capacity: plan.capacity,
            byte_limit: plan.byte_limit,
        };
        let mut member = Member::new(server, parts);
        let mut connection = member.connection();
        // Named first: what follows may be cut short, and then the queue can still be found.
        let named = connection.index(redis::cmd("SADD").arg(INDEX).arg(&member.parts.name), member.server.timeout)?;
        let policy = match plan.on_death {
            OnConsumerDeath::Requeue => "requeue",
            OnConsumerDeath::Fail => "fail",
            OnConsumerDeath::Drop => "drop",
        };
        let id = member.id();
        let (outcome, mut rest) = connection.run(&script::CREATE, &member.meta, member.server.timeout, |command| {
            command.arg(VERSION).arg(kind(plan.has_tasks)).arg(plan.capacity.unwrap_or(0)).arg(plan.byte_limit);
            command.arg(u8::from(plan.name.is_none())).arg(policy).arg(plan.max_redeliveries);
            // A member without rights, until there are handles.
            command.arg(&*id).arg("").arg(LIFE_MS);
        })?;
        match (outcome, rest.next(), rest.next()) {
            (1, Some(Value::Int(capacity)), Some(Value::Int(limit))) => {
                member.parts.capacity = Some(capacity as u64).filter(|capacity| *capacity > 0);
                member.parts.byte_limit = limit as u64;
            }
            (-5, key, _) => {
                if named == Value::Int(1) {
                    let _ = connection.index(redis::cmd("SREM").arg(INDEX).arg(&member.parts.name), Duration::ZERO);
                }
                let key = text(&member.server, key)?;
                return Err(RedisError::ForeignKey { server: member.server.address(), key }.into());
            }
            (-6, ..) => {
                let [found, wanted] = if plan.has_tasks { ["plain", "joinable"] } else { ["joinable", "plain"] };
                let (server, queue) = (member.server.address(), member.parts.name.clone());
                return Err(RedisError::OtherKind { server, queue, found, wanted }.into());
            }
            other => return Err(member.server.unexpected(&other)),
        }
        Ok(Arc::new(member))
    }

    fn new(server: Arc<Server>, parts: SentMember) -> Self {
        let base = format!("{}:{}", process_name(), parts.token);
        let meta = format!("ipcq:{{{}}}:meta", parts.name);
        let state = State {
            id: format!("{base}-0").into(),
            generation: 0,
            handles: 0,
            puts: 0,
            gets: 0,
            has_heartbeat: false,
            children: Vec::new(),
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Member { parts, server, meta, base, state, changed, sessions: Mutex::default() }
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

    pub(super) fn has_tasks(&self) -> bool {
        self.parts.has_tasks
    }

    /// Returns whether only one handle of this process has a right.
    pub(super) fn is_only_handle(&self, right: Rights) -> bool {
        let state = self.state();
        (if right == Rights::PUT { state.puts } else { state.gets }) == 1
    }

    /// Returns a new connection.
    pub(super) fn connection(&self) -> Connection {
        Connection::new(Arc::clone(&self.server))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect(UNPOISONED)
    }

    pub(super) fn id(&self) -> Arc<str> {
        Arc::clone(&self.state().id)
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("ipcq:{{{}}}:{name}", self.parts.name)
    }

    /// Counts one more handle. The first with a right makes it the member's on the server.
    pub(super) fn count(self: &Arc<Self>, rights: Rights) -> Result<()> {
        let mut state = self.state();
        let is_new = (rights.has(Rights::PUT) && state.puts == 0) || (rights.has(Rights::GET) && state.gets == 0);
        if is_new {
            let mut connection = self.connection();
            self.enter(&mut connection, &state.id, rights, LIFE_MS, self.server.timeout)?;
        }
        state.handles += 1;
        state.puts += u32::from(rights.has(Rights::PUT));
        state.gets += u32::from(rights.has(Rights::GET));
        if !state.has_heartbeat {
            let member = Arc::clone(self);
            let heartbeat = thread::Builder::new().name("heartbeat".into()).spawn(move || member.beat_while_used());
            heartbeat.map_err(os("start the thread that tells the server that this process lives"))?;
            state.has_heartbeat = true;
        }
        Ok(())
    }

    /// Gives up rights of one handle, and the handle itself if it `ends`. Rights that no other handle of this process has
    /// are given up on the server too; if that fails, the others learn of it when the member expires.
    pub(super) fn uncount(&self, rights: Rights, ends: bool) {
        let mut state = self.state();
        state.puts -= u32::from(rights.has(Rights::PUT));
        state.gets -= u32::from(rights.has(Rights::GET));
        state.handles -= u32::from(ends);
        let mut lost = String::new();
        if rights.has(Rights::PUT) && state.puts == 0 {
            lost.push('p');
        }
        if rights.has(Rights::GET) && state.gets == 0 {
            lost.push('g');
        }
        let is_last = state.handles == 0;
        if is_last {
            lost.push('x');
        }
        if lost.is_empty() {
            return;
        }
        let sessions = if is_last { std::mem::take(&mut *self.sessions()) } else { Sessions::default() };
        let mut connection = sessions.into_connection().unwrap_or_else(|| self.connection());
        if is_last {
            // Nobody else may be left to do it.
            let _ = self.declare_dead(&mut connection, &state.dead_children(), Duration::ZERO);
        }
        // The heartbeat cannot rejoin meanwhile: it needs the lock.
        let left = self.leave(&mut connection, &state.id, &lost);
        if is_last {
            state.generation += 1;
            state.id = format!("{}-{}", self.base, state.generation).into();
            self.changed.notify_all();
            if left.is_ok_and(|has_ended| has_ended) {
                let _ = connection.command(redis::cmd("SREM").arg(INDEX).arg(&self.parts.name), Duration::ZERO);
            }
        }
    }

    /// Counts a member with `rights` for a worker, until it takes over or has ended.
    pub(super) fn counted_for(&self, slot: ProcessSlot, rights: Rights) -> Result<SentMember> {
        let token = {
            let mut state = self.state();
            let known = state.children.iter().find(|child| child.slot == slot).map(|child| child.token.clone());
            known.unwrap_or_else(|| {
                let token = random();
                state.children.push(Child { slot, token: token.clone() });
                token
            })
        };
        let sent = SentMember { token, ..self.parts.clone() };
        self.enter(&mut self.connection(), &sent.placeholder(), rights, PLACEHOLDER_LIFE_MS, self.server.timeout)?;
        self.changed.notify_all();
        Ok(sent)
    }

    /// Ends the count for a worker.
    pub(super) fn release(&self, sent: &SentMember) {
        // If this fails, it expires.
        let _ = self.leave(&mut self.connection(), &sent.placeholder(), "x");
    }

    /// Creates the member of this process from what another one sent. It is not one on the server yet.
    pub(super) fn received(sent: &SentMember) -> Result<Arc<Self>> {
        Ok(Arc::new(Member::new(Arc::new(Server::of_parts(&sent.server)?), sent.clone())))
    }

    /// Returns whether it was created from this.
    pub(super) fn is_of(&self, sent: &SentMember) -> bool {
        self.parts.token == sent.token
    }

    pub(super) fn enter(
        &self,
        connection: &mut Connection,
        id: &str,
        rights: Rights,
        life_ms: u64,
        timeout: Duration,
    ) -> Result<()> {
        self.run(connection, &script::ENTER, timeout, |command| {
            command.arg(id).arg(letters(rights)).arg(life_ms);
        })
        .map(drop)
    }

    /// Gives up rights of a member, or with `x` the member. Returns whether the queue has ended.
    pub(super) fn leave(&self, connection: &mut Connection, id: &str, lost: &str) -> Result<bool> {
        let (outcome, _) = self.run(connection, &script::LEAVE, Duration::ZERO, |command| {
            command.arg(id).arg(lost);
        })?;
        Ok(outcome == 1)
    }

    /// Runs a script. -1 means that the queue is not there.
    pub(super) fn run<'r>(
        &self,
        connection: &mut Connection,
        request: impl Into<Request<'r>>,
        timeout: Duration,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Answer> {
        unless_gone(&self.server, &self.parts.name, connection.run(request, &self.meta, timeout, arguments)?)
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

/// Returns a random name of 16 hexadecimal digits, from the kernel.
pub(super) fn random() -> String {
    // This file never fails to be read.
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel gives random numbers");
    uuid.trim().replace('-', "")[..16].to_owned()
}
