//! Limits on a server's clients.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits on a manager's clients, beyond which it turns them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// The longest request, and about the longest answer, in bytes. An answer that removes something from an object is
    /// sent whatever its length.
    pub frame: usize,
    /// The maximum number of clients. Each has a thread in the manager.
    pub clients: usize,
    /// The maximum number of concurrent handshakes per listener. Each has a thread in the manager; further connections
    /// wait to be accepted.
    pub handshakes: usize,
    /// Time limit for the whole handshake.
    pub handshake_time: Duration,
    /// How long a client may read none of its pending answers. The kernel reports reading only in large pieces, of
    /// about a quarter of the socket's buffer: a client that reads less than that in this time counts as reading
    /// nothing.
    pub unread_time: Duration,
    /// How long a client may send no request while it waits for nothing; no limit by default.
    pub idle_time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: 16 << 20,
            clients: 4096,
            handshakes: 64,
            handshake_time: Duration::from_secs(5),
            unread_time: Duration::from_secs(10),
            idle_time: None,
        }
    }
}
