//! A manager's counters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Counters of a manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Clients connected now.
    pub clients: u64,
    /// Clients that have authenticated since the start.
    pub clients_ever: u64,
    /// Objects that exist now.
    pub objects: u64,
    /// Objects with a name.
    pub names: u64,
    /// Calls waiting now.
    pub waiting: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Connections that the server refused or ended, by reason.
    pub refused: Refusals,
}

/// Connections that a manager refused or ended, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusals {
    /// Failed to prove that they have the key.
    pub wrong_key: u64,
    /// Sent an invalid handshake, or disconnected in the middle of it.
    // The published name in the JSON of `manager --call status`.
    #[serde(rename = "no_greeting")]
    pub bad_handshake: u64,
    /// Did not finish the handshake in time.
    pub too_slow: u64,
    /// Belong to another user of this machine.
    pub other_user: u64,
    /// Connected when the client limit was reached.
    pub too_many: u64,
    /// Sent a frame that is too long, has a wrong MAC or holds no message, after authentication.
    pub broken: u64,
    /// Did not read their answers in time.
    pub not_reading: u64,
    /// Sent no request for too long.
    pub idle: u64,
}

/// Returns the counter of a reason.
pub(super) type Refusal = fn(&mut Refusals) -> &mut u64;

impl Refusals {
    /// Returns the sum over all reasons.
    pub fn total(&self) -> u64 {
        let Refusals { wrong_key, bad_handshake, too_slow, other_user, too_many, broken, not_reading, idle } = *self;
        wrong_key + bad_handshake + too_slow + other_user + too_many + broken + not_reading + idle
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { clients_ever, objects, requests, refused, .. } = self;
        write!(f, "{clients_ever} clients, {objects} objects, {requests} requests, {} refused", refused.total())
    }
}
