//! What there is on a server: its queues, and the processes that use them.

use std::time::Duration;

use redis::Value;

use super::error::RedisError;
use super::link::{BEAT_EVERY, INDEX, Observer, VERSION, text, value};
use super::script;
use super::server::Server;
use crate::ipc::error::Result;

/// A process that has less time left than this has missed a beat.
const LATE: Duration = Duration::from_millis(900);

/// A queue without a name that has not been used for this long is deleted by the next process that uses the server.
const FORGOTTEN: Duration = Duration::from_secs(60);

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
    /// Items that can be got or are leased. In a queue that is not joinable, leased means on the way to the process.
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
    /// The time after which it is dead unless it is heard of, or since when it is.
    pub expires_in: std::result::Result<Duration, Duration>,
}

/// Returns the names of the queues on a server, sorted.
///
/// # Errors
/// [`Error::Redis`](crate::Error::Redis).
pub fn list(server: &Server) -> Result<Vec<String>> {
    let mut observer = Observer::new(server);
    let answer = observer.wire.command(redis::cmd("SMEMBERS").arg(INDEX), server.patience())?;
    let mut names: Vec<String> = value(server, answer)?;
    names.sort_unstable();
    // What was deleted by another program than this.
    let mut live = Vec::new();
    for name in names {
        let answer =
            observer.wire.command(redis::cmd("EXISTS").arg(format!("ipcq:{{{name}}}:meta")), server.patience())?;
        if answer == Value::Int(1) {
            live.push(name);
        } else {
            observer.forget(&name)?;
        }
    }
    Ok(live)
}

/// Returns the state of a queue.
///
/// # Errors
/// [`RedisError::NoQueue`], and other [`Error::Redis`](crate::Error::Redis).
pub fn show(server: &Server, name: &str) -> Result<QueueInfo> {
    let mut observer = Observer::new(server);
    let mut rest = observer.run(&script::SHOW, name, |_| {})?.1;
    let kind = rest.next().map(text).transpose()?.unwrap_or_default();
    let mut number = || match rest.next() {
        Some(Value::Int(number)) => Ok(number),
        other => Err(server.nonsense(&other)),
    };
    let (capacity, temporary, queued) = (number()? as u64, number()?, number()? as u64);
    let (unfinished, dead_letters, bytes) = (number()? as u64, number()? as u64, number()? as u64);
    let members: Vec<Value> = rest.collect();
    let members = members.chunks_exact(4).map(|member| {
        let [id, rights, leases, expires] = member else { return Err(server.nonsense(&member)) };
        let (Value::Int(leases), Value::Int(expires_ms)) = (leases, expires) else {
            return Err(server.nonsense(&member));
        };
        let (rights, time) = (text(rights.clone())?, Duration::from_millis(expires_ms.unsigned_abs()));
        Ok(MemberInfo {
            id: text(id.clone())?,
            puts: rights.contains('p'),
            gets: rights.contains('g'),
            leases: *leases as u64,
            expires_in: if *expires_ms > 0 { Ok(time) } else { Err(time) },
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
    let (outcome, mut rest) = observer.run(&script::DELETE, name, |command| _ = command.arg(VERSION))?;
    if outcome == -5 {
        let key = rest.next().map(text).transpose()?.unwrap_or_default();
        return Err(RedisError::ForeignKey { server: server.address(), key }.into());
    }
    observer.forget(name)
}

/// Deletes queues without a name whose processes are all dead, and returns their names: at once those that nobody has used
/// for a minute, and `patiently`, in up to 2 s, those whose processes died just now.
///
/// # Errors
/// [`Error::Redis`](crate::Error::Redis).
pub fn collect(server: &Server, patiently: bool) -> Result<Vec<String>> {
    // While the server was away, nobody could use them.
    let is_long_up = server.check()?.uptime > FORGOTTEN;
    let mut observer = Observer::new(server);
    let mut deleted = Vec::new();
    let mut suspects = Vec::new();
    for name in list(server)? {
        let Some(info) = show(server, &name).ok().filter(|info| info.is_temporary) else { continue };
        let are_all = |is_dead: fn(&MemberInfo) -> bool| info.members.iter().all(is_dead);
        if is_long_up && are_all(|member| member.expires_in.is_err_and(|since| since > FORGOTTEN)) {
            delete(server, &name)?;
            deleted.push(name);
        } else if patiently && are_all(|member| member.expires_in.map_or(true, |left| left < LATE)) {
            suspects.push(name);
        }
    }
    // If nobody has reached a queue for a second, its processes are given more time; somebody has to reach it meanwhile.
    for round in 0..5 {
        if suspects.is_empty() {
            break;
        }
        if round > 0 {
            std::thread::sleep(BEAT_EVERY);
        }
        for name in std::mem::take(&mut suspects) {
            // An error means that it has ended.
            match observer.collect(&name).and_then(|()| show(server, &name)) {
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
