//! The errors of a queue on a Redis server.

/// Why an operation on a Redis server failed. Servers are named without their passwords.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The URL of a server cannot be used.
    #[error("cannot use the URL of a Redis server: {reason} (expected redis://[USER[:PASSWORD]@]HOST[:PORT][/DB])")]
    Url {
        /// The reason.
        reason: String,
    },
    /// The URL asks for TLS, and this library was built without it.
    #[error("rediss:// needs TLS: build with the feature redis-tls")]
    NoTls,
    /// The name of a queue is empty, too long, or contains a brace, white space or a control character.
    #[error("{name:?} cannot be the name of a queue: 1 to 200 characters, no braces, no white space")]
    Name {
        /// The name.
        name: String,
    },
    /// The server did not answer for as long as the caller was willing to wait.
    #[error("no answer from {server} for {seconds} s{}", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Unreachable {
        /// The server.
        server: String,
        /// For how long it was tried.
        seconds: f64,
        /// The last failure, unless that was a reply that did not come in time.
        reason: Option<String>,
    },
    /// What answers is not a Redis server.
    #[error("no Redis server at {server}: {reason}")]
    NotRedis {
        /// The server.
        server: String,
        /// The reason.
        reason: String,
    },
    /// The server needs a password, or another one, or the user may not do this.
    #[error("{server} refuses access: {reason}")]
    Access {
        /// The server.
        server: String,
        /// The reason, and what to do.
        reason: String,
    },
    /// The server has no such database.
    #[error("{server} has no such database; the default is /0")]
    NoDatabase {
        /// The server.
        server: String,
    },
    /// The server is too old.
    #[error("{server} is Redis {version}; queues need 6.2 or later, or Valkey")]
    TooOld {
        /// The server.
        server: String,
        /// Its version.
        version: String,
    },
    /// The server deletes data of its own accord when its memory is full.
    #[error(
        "{server} may evict items: its maxmemory-policy is {policy}; queues need noeviction or one of the volatile policies"
    )]
    Evicts {
        /// The server.
        server: String,
        /// Its policy.
        policy: String,
    },
    /// The server is a replica, which refuses changes.
    #[error("{server} is a read-only replica; use the primary")]
    ReadOnly {
        /// The server.
        server: String,
    },
    /// The server's memory is full. Nothing was changed.
    #[error("the memory of {server} is full (maxmemory); get items, or give it more")]
    OutOfMemory {
        /// The server.
        server: String,
    },
    /// The server cannot write to its disk, and refuses changes.
    #[error("{server} cannot write to its disk and refuses changes; see its log")]
    DiskFailed {
        /// The server.
        server: String,
    },
    /// A key that a queue of this name would use has another purpose. It was left alone.
    #[error("{server} has a key {key} that belongs to no queue of this version; it is left alone: use another name")]
    ForeignKey {
        /// The server.
        server: String,
        /// The key.
        key: String,
    },
    /// The queue of this name is of the other kind.
    #[error("the queue {queue:?} on {server} is a {found} queue, not a {wanted} one")]
    OtherKind {
        /// The server.
        server: String,
        /// The queue.
        queue: String,
        /// What it is.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// There is no queue of this name, or it was deleted while it was in use.
    #[error("there is no queue {queue:?} on {server}: it was deleted, or never made")]
    NoQueue {
        /// The server.
        server: String,
        /// The queue.
        queue: String,
    },
    /// The server refused a request for another reason.
    #[error("{server} refuses a request: {reason}")]
    Refused {
        /// The server.
        server: String,
        /// The reason.
        reason: String,
    },
    /// The server's reply is none of those that the library's scripts give.
    #[error("unexpected reply of {server}: {reply}")]
    UnexpectedReply {
        /// The server.
        server: String,
        /// The reply.
        reply: String,
    },
}

impl RedisError {
    /// Returns whether the machinery failed. Otherwise other arguments or another configuration would help.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only the program has exit codes"))]
    pub(crate) fn is_machinery(&self) -> bool {
        use RedisError::{DiskFailed, OutOfMemory, Refused, UnexpectedReply, Unreachable};
        matches!(
            self,
            Unreachable { .. } | OutOfMemory { .. } | DiskFailed { .. } | Refused { .. } | UnexpectedReply { .. }
        )
    }
}
