//! A connection that outlives restarts of its server.

use std::borrow::Borrow;
use std::iter;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, ConnectionLike, Value};

use super::error::RedisError;
use super::member::INDEX;
use super::script::{Commands, Request, Script};
use super::server::{Server, told};
use crate::ipc::error::{Error, Result};

/// The longest wait on the server in one request.
pub(super) const SLICE: Duration = Duration::from_secs(1);
/// How long an answer may take: longer means that the connection, the network or the server has failed.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// The least that is waited for a reply, however little time is left.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
/// The pauses between attempts to reach a server: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// Room for the arguments and bytes of most requests: their memory is allocated once.
const ARGUMENTS: usize = 16;
const BYTES: usize = 512;

/// Commands are sent whenever more than this many bytes have been collected: reusing memory that is in the processor's cache
/// is faster than writing them all to new memory.
const SENT_TOGETHER: usize = 1 << 20;

/// What a script answers: a number, and values after it. Where there is no number, it is that of the values.
pub(super) type Answer = (i64, std::vec::IntoIter<Value>);

/// A connection to a server, made when it is needed and again when it is lost.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    connection: Option<redis::Connection>,
    /// How long to wait for a reply.
    patience: Duration,
    /// The timeout that the connection was last given.
    set_patience: Duration,
}

impl Connection {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Connection { server, connection: None, patience: READ_TIMEOUT, set_patience: Duration::ZERO }
    }

    /// Makes a request on a queue's keys. `arguments` appends the arguments of the script. Repeated until an answer arrives:
    /// for at most `timeout`, but at least once.
    ///
    /// # Errors
    /// [`RedisError::Unreachable`], or why the server refused.
    pub(super) fn run<'r>(
        &mut self,
        request: impl Into<Request<'r>>,
        meta: &str,
        timeout: Duration,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Answer> {
        let Request { script, first } = request.into();
        let outcome = self.until_answered(timeout, |connection| {
            let digest = match script.digest() {
                Some(digest) => digest,
                None => connection.load(script)?,
            };
            let mut command = Cmd::with_capacity(ARGUMENTS, BYTES);
            command.arg("EVALSHA").arg(digest).arg(1).arg(meta);
            arguments(&mut command);
            match connection.attempt_behind(first(), &command) {
                // A server that was restarted, or had its scripts flushed.
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    connection.load(script)?;
                    connection.attempt_behind(first(), &command)
                }
                outcome => outcome,
            }
        })?;
        Ok(match outcome {
            Value::Int(number) => (number, Vec::new().into_iter()),
            Value::Array(values) => {
                let count = values.len() as i64;
                let mut values = values.into_iter();
                match values.as_slice().first() {
                    Some(&Value::Int(number)) => {
                        values.next();
                        (number, values)
                    }
                    _ => (count, values),
                }
            }
            value => (1, vec![value].into_iter()),
        })
    }

    /// As [`run`](Self::run), for a single command that may be repeated.
    pub(super) fn command(&mut self, command: &Cmd, timeout: Duration) -> Result<Value> {
        self.until_answered(timeout, |connection| connection.attempt(command))
    }

    /// As [`command`](Self::command), for several that are sent together.
    pub(super) fn commands(&mut self, commands: &[Cmd], timeout: Duration) -> Result<Vec<Value>> {
        self.until_answered(timeout, |connection| connection.attempt_all(commands.iter()))
    }

    /// As [`command`](Self::command), for one on the set of the names of all queues.
    pub(super) fn index(&mut self, command: &Cmd, timeout: Duration) -> Result<Value> {
        self.command(command, timeout).map_err(|error| match error {
            Error::Redis(error) if is_wrong_type(&error) => {
                RedisError::ForeignKey { server: self.server.address(), key: INDEX.to_owned() }.into()
            }
            error => error,
        })
    }

    /// Blocks until there is a token in a list, for at most `timeout`, and takes it. `None` if the connection was lost
    /// meanwhile, and with it perhaps a token.
    pub(super) fn wait(&mut self, list: &str, timeout: Duration) -> Option<bool> {
        // 0 would be no limit. Redis measures milliseconds.
        let seconds = timeout.max(Duration::from_millis(1)).as_secs_f64();
        self.patience = timeout + self.server.timeout.min(READ_TIMEOUT);
        let answer = self.attempt(redis::cmd("BLPOP").arg(list).arg(format!("{seconds:.3}")));
        answer.ok().map(|answer| answer != Value::Nil)
    }

    fn until_answered<A>(
        &mut self,
        timeout: Duration,
        mut attempt: impl FnMut(&mut Self) -> redis::RedisResult<A>,
    ) -> Result<A> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        // A timeout of zero means one attempt.
        let mut left = if timeout.is_zero() { self.server.timeout } else { timeout };
        loop {
            self.patience = left.clamp(LEAST_PATIENCE, READ_TIMEOUT);
            let error = match attempt(self) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(refused) = self.server.refusal(&error) {
                return Err(refused.into());
            }
            if began.elapsed() >= timeout {
                let (server, seconds) = (self.server.address(), timeout.as_secs_f64());
                let reason = (!error.is_timeout()).then(|| told(&error));
                return Err(RedisError::Unreachable { server, seconds, reason }.into());
            }
            thread::sleep(pause.min(timeout.saturating_sub(began.elapsed())));
            pause = LAST_PAUSE.min(pause * 2);
            left = timeout.saturating_sub(began.elapsed());
        }
    }

    fn load(&mut self, script: &'static Script) -> redis::RedisResult<&'static str> {
        let digest = self.attempt(redis::cmd("SCRIPT").arg("LOAD").arg(script.text()))?;
        script.loaded(redis::from_redis_value(digest)?);
        Ok(script.digest().expect("just stored"))
    }

    /// Sends a command once, in a transaction after the commands of `first` if there are any, and reads its answer.
    fn attempt_behind(&mut self, first: Commands<'_>, command: &Cmd) -> redis::RedisResult<Value> {
        let mut first = first.peekable();
        if first.peek().is_none() {
            return self.attempt(command);
        }
        let (multi, exec) = (redis::cmd("MULTI"), redis::cmd("EXEC"));
        let commands = iter::once(multi).chain(first).chain([command.clone(), exec]);
        let answer = match self.attempt_all(commands)?.pop() {
            Some(Value::Array(mut answers)) => answers.pop(),
            answer => answer,
        };
        Ok(answer.unwrap_or(Value::Nil))
    }

    /// Sends commands once, and reads their answers. Fails with the first error among them.
    fn attempt_all(&mut self, commands: impl Iterator<Item = impl Borrow<Cmd>>) -> redis::RedisResult<Vec<Value>> {
        self.with_connection(|connection| {
            let (mut bytes, mut count) = (Vec::new(), 0);
            for command in commands {
                if bytes.len() > SENT_TOGETHER {
                    connection.send_packed_command(&bytes)?;
                    bytes.clear();
                }
                command.borrow().write_packed_command(&mut bytes);
                count += 1;
            }
            connection.send_packed_command(&bytes)?;
            // Not all at once by the client: it waits for each reply, also after one has timed out.
            let answers = (0..count).map(|_| connection.recv_response()).collect::<redis::RedisResult<Vec<_>>>()?;
            answers.into_iter().map(Value::extract_error).collect()
        })
    }

    /// Sends a command once, and reads its answer.
    fn attempt(&mut self, command: &Cmd) -> redis::RedisResult<Value> {
        self.with_connection(|connection| connection.req_command(command)?.extract_error())
    }

    /// Connects unless that is done, and calls `ask`.
    fn with_connection<A>(
        &mut self,
        ask: impl FnOnce(&mut redis::Connection) -> redis::RedisResult<A>,
    ) -> redis::RedisResult<A> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            connection => {
                self.set_patience = Duration::ZERO;
                connection.insert(self.server.connect(self.patience)?)
            }
        };
        if self.set_patience != self.patience {
            connection.set_read_timeout(Some(self.patience))?;
            connection.set_write_timeout(Some(self.patience))?;
            self.set_patience = self.patience;
        }
        let outcome = ask(connection);
        if outcome.as_ref().is_err_and(|error| error.code().is_none()) {
            // Its late answer must not be taken for that of another request.
            self.connection = None;
        }
        outcome
    }
}

/// Returns whether a key has another type than those of a queue.
pub(super) fn is_wrong_type(error: &RedisError) -> bool {
    matches!(error, RedisError::Refused { reason, .. } if reason.contains("WRONGTYPE"))
}
