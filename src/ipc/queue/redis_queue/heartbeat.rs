//! The heartbeat of a member, and the death of others.
//!
//! A thread of its own, with a connection of its own, prolongs the member's life on the server every half second. A member
//! that is not prolonged for 1.5 s is declared dead by the process that notices. A process that was declared dead and lives
//! (it was stopped) becomes another member. The sender of a handle sees the death of its child within 100 ms, and declares
//! the child's members dead.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use redis::Value;

use super::answer::{text, value};
use super::connection::Connection;
use super::member::Member;
use super::script;
use crate::ipc::deadline::LOOK_EVERY;
use crate::ipc::error::Result;
use crate::ipc::queue::participants::Rights;
use crate::sys::task::InternalThread;

pub(super) const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How long a member lives without being prolonged.
pub(super) const LIFE_MS: u64 = 1500;

impl Member {
    /// Tells the server that this process lives, finds those that do not, and watches the children.
    pub(super) fn beat_while_used(&self) {
        let _internal = InternalThread::count();
        let mut connection = self.connection();
        let mut next_beat = Instant::now();
        loop {
            let mut state = self.state();
            if state.handles == 0 {
                state.has_heartbeat = false;
                return;
            }
            let dead = state.dead_children();
            let wait = next_beat.saturating_duration_since(Instant::now());
            if dead.is_empty() && !wait.is_zero() {
                let wait = if state.children.is_empty() { wait } else { wait.min(LOOK_EVERY) };
                drop(self.changed.wait_timeout(state, wait));
                continue;
            }
            drop(state);
            let next = self
                .beat(&mut connection)
                .and_then(|next| self.declare_dead(&mut connection, &dead, Duration::ZERO).map(|()| next));
            match next {
                Ok(next) => {
                    next_beat = Instant::now() + next;
                    self.state().children.retain(|child| !dead.contains(&child.token));
                }
                // It is asked again soon.
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Declares the members of children that have ended dead.
    pub(super) fn declare_dead(&self, connection: &mut Connection, tokens: &[String], timeout: Duration) -> Result<()> {
        if tokens.is_empty() {
            return Ok(());
        }
        let everybody = redis::cmd("ZRANGE").arg(self.key("live")).arg(0).arg(-1).to_owned();
        let everybody: Vec<String> = value(self.server(), connection.command(&everybody, timeout)?)?;
        let token_of = |id: &str| {
            id.rsplit_once('-').and_then(|(base, _)| base.rsplit_once(':')).map(|(_, token)| token.to_owned())
        };
        for id in everybody {
            if token_of(&id).is_some_and(|token| tokens.contains(&token)) {
                self.reap(connection, &id, true, timeout)?;
            }
        }
        Ok(())
    }

    fn reap(&self, connection: &mut Connection, id: &str, is_known: bool, timeout: Duration) -> Result<()> {
        loop {
            let (left, _) = self.run(connection, &script::REAP, timeout, |command| {
                command.arg(id).arg(u8::from(is_known));
            })?;
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Returns in what time the next beat is due.
    fn beat(&self, connection: &mut Connection) -> Result<Duration> {
        let id = self.id();
        let arrived = self.sessions().arrived();
        let (is_member, mut rest) = self.run(connection, &script::BEAT, Duration::ZERO, |command| {
            command.arg(LIFE_MS).arg(&*id);
            for (session, request) in &arrived {
                command.arg(session).arg(request);
            }
        })?;
        let next_ms = rest.next();
        for expired in rest {
            self.reap(connection, &text(self.server(), Some(expired))?, false, Duration::ZERO)?;
        }
        if is_member == 0 {
            self.rejoin(connection, &id, Duration::ZERO)?;
        }
        // A little later than the next one expires, to find it expired.
        Ok(match next_ms {
            Some(Value::Int(ms @ 0..)) => BEAT_EVERY.min(Duration::from_millis(ms as u64 + 1)),
            _ => BEAT_EVERY,
        })
    }

    /// Becomes another member after the one with this id was declared dead, unless that has happened.
    pub(super) fn rejoin(&self, connection: &mut Connection, lost: &str, timeout: Duration) -> Result<()> {
        let mut state = self.state();
        if &*state.id != lost || state.handles == 0 {
            return Ok(());
        }
        let id: Arc<str> = format!("{}-{}", self.base, state.generation + 1).into();
        let rights = Rights::of(state.puts > 0, state.gets > 0);
        self.enter(connection, &id, rights, LIFE_MS, timeout)?;
        state.generation += 1;
        state.id = id;
        Ok(())
    }
}
