//! How much a server takes from its clients.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much a manager takes from its clients before it turns them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// The longest request, and about the longest answer, in bytes. An answer that takes something out of an object is
    /// sent whatever its length.
    pub frame: usize,
    /// How many clients there may be at once. Each has a thread of the manager.
    pub clients: usize,
    /// How many may be in the middle of their greeting at once, at each entrance; the others wait outside.
    pub handshake: usize,
    /// How long the whole greeting may take.
    pub greeting_time: Duration,
    /// How long a client may take none of its answers while some wait for it. The kernel tells of what it takes in large
    /// pieces, of about a quarter of the socket's buffer: who takes less than that in this time counts as taking none.
    pub unread_time: Duration,
    /// How long a client may ask for nothing while it waits for nothing; no limit by default.
    pub idle_time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: 16 << 20,
            clients: 4096,
            handshake: 64,
            greeting_time: Duration::from_secs(2),
            unread_time: Duration::from_secs(10),
            idle_time: None,
        }
    }
}
