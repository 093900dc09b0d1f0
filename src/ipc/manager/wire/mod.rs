//! This library's own protocol, independent of the connection that carries it.
//!
//! | file | what it is |
//! |---|---|
//! | `frame` | frames, with limits that apply before anything is allocated |
//! | `key`, `handshake` | the key, and mutual authentication |
//! | `seal` | encrypted and authenticated frames |
//! | `message` | requests and answers |

mod frame;
mod handshake;
mod key;
mod message;
mod seal;

pub(crate) use frame::{Broken, HANDSHAKE_LIMIT, HEADER, Inbox};
pub use handshake::HandshakeError;
pub(crate) use handshake::{Refused, Transport, Welcome, answer, initiate};
pub(crate) use key::random;
pub use key::{AuthKey, EmptyKey};
pub(crate) use message::{ToClient, ToServer, decode, encode};
pub(crate) use seal::FrameKey;
