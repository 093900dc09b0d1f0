//! What there is on a server: its queues, and the processes that use them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use redis::{Cmd, Value};

use super::answer::{text, unless_gone, value};
use super::connection::{Answer, Connection, is_wrong_type};
use super::error::RedisError;
use super::heartbeat::{BEAT_EVERY, LIFE_MS};
use super::member::{INDEX, VERSION};
use super::script::{self, Script};
use super::server::Server;
use crate::ipc::error::{Error, Result};

/// A process that has less time left than this has missed a beat.
const LATE: Duration = Duration::from_millis(900);

/// A queue without a name that has not been used for this long is deleted by the next run of the program on the server.
pub const UNUSED: Duration = Duration::from_secs(60);

/// A queue on a server, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// Its name, random if it was made without one.
    pub name: String,
    /// Whether it is a joinable queue.
    pub is_joinable: bool,
    /// Whether it is deleted with the last process that uses it.
    pub is_temporary: bool,
    /// The maximum number of items; `None` if unlimited.
    pub capacity: Option<u64>,
    /// Items that can be got.
    pub queued: u64,
    /// Items that can be got or are leased.
    pub unfinished: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Bytes of all items.
    pub bytes: u64,
    /// The processes that use it.
    pub members: Vec<MemberInfo>,
}

/// A process that uses a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// `HOST:PID:TOKEN-GENERATION`.
    pub id: String,
    /// Whether it can put.
    pub puts: bool,
    /// Whether it can get.
    pub gets: bool,
    /// How many items it has leased.
    pub leases: u64,
    /// Whether it lives.
    pub life: Life,
}

/// Whether a process that uses a queue lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is dead after this time, unless it is heard of.
    Alive(Duration),
    /// It has been dead for this time, and nobody has declared it dead yet.
    Dead(Duration),
}

/// Returns the queues on a server, sorted by their names. Keys that belong to no queue of this version are passed over.
///
/// # Errors
/// [`Error::Redis`](crate::Error::Redis).
pub fn list(server: &Server) -> Result<Vec<QueueInfo>> {
    let mut observer = Observer::new(server);
    let answer = observer.connection.index(redis::cmd("SMEMBERS").arg(INDEX), server.timeout)?;
    let mut names: Vec<String> = value(server, answer)?;
    names.sort_unstable();
    let mut queues = Vec::new();
    for name in names {
        match observer.show(&name) {
            Ok(queue) => queues.push(queue),
            // It was deleted by another program than this.
            Err(Error::Redis(error)) if matches!(*error, RedisError::NoQueue { .. }) => observer.forget(&name)?,
            Err(Error::Redis(error)) if matches!(*error, RedisError::ForeignKey { .. }) || is_wrong_type(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(queues)
}

/// Returns the state of a queue.
///
/// # Errors
/// [`RedisError::NoQueue`], [`RedisError::ForeignKey`], and other [`Error::Redis`](crate::Error::Redis).
pub fn show(server: &Server, name: &str) -> Result<QueueInfo> {
    Observer::new(server).show(name)
}

/// Returns the state of a queue from the answer of `show.lua`.
fn shown(server: &Server, name: &str, mut rest: std::vec::IntoIter<Value>) -> Result<QueueInfo> {
    let kind = text(server, rest.next())?;
    let mut number = || match rest.next() {
        Some(Value::Int(number)) => Ok(number),
        other => Err(server.unexpected(&other)),
    };
    let (capacity, temporary, queued) = (number()? as u64, number()?, number()? as u64);
    let (unfinished, dead_letters, bytes) = (number()? as u64, number()? as u64, number()? as u64);
    let members: Vec<Value> = rest.collect();
    let members = members.chunks_exact(4).map(|member| {
        let [id, rights, leases, expires] = member else { return Err(server.unexpected(&member)) };
        let (Value::Int(leases), Value::Int(expires_ms)) = (leases, expires) else {
            return Err(server.unexpected(&member));
        };
        let (rights, time) = (text(server, Some(rights.clone()))?, Duration::from_millis(expires_ms.unsigned_abs()));
        Ok(MemberInfo {
            id: text(server, Some(id.clone()))?,
            puts: rights.contains('p'),
            gets: rights.contains('g'),
            leases: *leases as u64,
            life: if *expires_ms > 0 { Life::Alive(time) } else { Life::Dead(time) },
        })
    });
    Ok(QueueInfo {
        name: name.to_owned(),
        is_joinable: kind == "tasks",
        is_temporary: temporary == 1,
        capacity: Some(capacity).filter(|capacity| *capacity > 0),
        queued,
        unfinished,
        dead_letters,
        bytes,
        members: members.collect::<Result<_>>()?,
    })
}

/// Deletes a queue with everything in it. Processes that use it get [`RedisError::NoQueue`].
///
/// # Errors
/// [`RedisError::NoQueue`], [`RedisError::ForeignKey`], and other [`Error::Redis`](crate::Error::Redis).
pub fn delete(server: &Server, name: &str) -> Result<()> {
    let mut observer = Observer::new(server);
    observer.run_on(&script::DELETE, name)?;
    observer.forget(name)
}

/// Deletes queues without a name whose processes have all been dead for more than `unused`, as those of a run that was
/// killed with all its workers. Returns their names. Deletes nothing until the server has been running for that time: while
/// it was away, nobody could use them.
///
/// # Errors
/// [`Error::Redis`](crate::Error::Redis).
pub fn delete_unused(server: &Server, unused: Duration) -> Result<Vec<String>> {
    if server.check()?.uptime <= unused {
        return Ok(Vec::new());
    }
    let is_unused = |member: &MemberInfo| matches!(member.life, Life::Dead(since) if since > unused);
    let names = temporary(server, is_unused)?;
    names.iter().try_for_each(|name| delete(server, name))?;
    Ok(names)
}

/// Deletes queues without a name whose processes are all dead, also those whose processes died just now: blocks for up to
/// 2 s if there may be some. Returns their names.
///
/// # Errors
/// [`Error::Redis`](crate::Error::Redis).
pub fn delete_abandoned(server: &Server) -> Result<Vec<String>> {
    let is_late = |member: &MemberInfo| match member.life {
        Life::Alive(left) => left < LATE,
        Life::Dead(_) => true,
    };
    let mut suspects = temporary(server, is_late)?;
    let mut observer = Observer::new(server);
    let mut deleted = Vec::new();
    // If nobody has reached a queue for a second, its processes are given more time; somebody has to reach it meanwhile.
    for round in 0..5 {
        if suspects.is_empty() {
            break;
        }
        if round > 0 {
            thread::sleep(BEAT_EVERY);
        }
        for name in std::mem::take(&mut suspects) {
            // An error means that it has ended.
            match observer.reap_expired(&name).and_then(|()| show(server, &name)) {
                Ok(_) => suspects.push(name),
                Err(_) => {
                    observer.forget(&name)?;
                    deleted.push(name);
                }
            }
        }
    }
    Ok(deleted)
}

/// Returns the names of the queues without a name, all of whose processes are like this.
fn temporary(server: &Server, are: impl Fn(&MemberInfo) -> bool) -> Result<Vec<String>> {
    let is_such = |queue: &QueueInfo| queue.is_temporary && queue.members.iter().all(&are);
    Ok(list(server)?.into_iter().filter(is_such).map(|queue| queue.name).collect())
}

/// Looks at queues without being a member of them.
struct Observer<'s> {
    server: &'s Server,
    connection: Connection,
}

impl<'s> Observer<'s> {
    fn new(server: &'s Server) -> Self {
        Observer { server, connection: Connection::new(Arc::new(server.clone())) }
    }

    fn run(&mut self, script: &'static Script, name: &str, arguments: impl Fn(&mut Cmd)) -> Result<Answer> {
        let meta = format!("ipcq:{{{name}}}:meta");
        unless_gone(self.server, name, self.connection.run(script, &meta, self.server.timeout, arguments)?)
    }

    fn show(&mut self, name: &str) -> Result<QueueInfo> {
        let answer = self.run_on(&script::SHOW, name)?;
        shown(self.server, name, answer)
    }

    /// Runs a script that takes the version, and may find a foreign key.
    fn run_on(&mut self, script: &'static Script, name: &str) -> Result<std::vec::IntoIter<Value>> {
        match self.run(script, name, |command| _ = command.arg(VERSION))? {
            (-5, mut rest) => {
                let key = text(self.server, rest.next())?;
                Err(RedisError::ForeignKey { server: self.server.address(), key }.into())
            }
            (_, rest) => Ok(rest),
        }
    }

    /// Removes a name from the list of all.
    fn forget(&mut self, name: &str) -> Result<()> {
        self.connection.index(redis::cmd("SREM").arg(INDEX).arg(name), self.server.timeout).map(drop)
    }

    /// Declares those dead that have expired.
    fn reap_expired(&mut self, name: &str) -> Result<()> {
        let (_, expired) = self.run(&script::BEAT, name, |command| _ = command.arg(LIFE_MS).arg(""))?;
        for id in expired.skip(1) {
            let id = text(self.server, Some(id))?;
            // The queue may end with it.
            while leases_left(self.run(&script::REAP, name, |command| _ = command.arg(&id).arg(0)))? > 0 {}
        }
        Ok(())
    }
}

/// Returns how many leases are left to be returned; 0 if the queue has ended.
fn leases_left(outcome: Result<Answer>) -> Result<i64> {
    match outcome {
        Err(Error::Redis(error)) if matches!(*error, RedisError::NoQueue { .. }) => Ok(0),
        outcome => outcome.map(|(left, _)| left),
    }
}
