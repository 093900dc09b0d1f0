//! What goes over a connection of this library's own protocol, without the connection.
//!
//! | file | what it is |
//! |---|---|
//! | `frame` | bytes into frames and back, with limits that hold before anything is allocated |
//! | `key`, `handshake` | the key, and the proof of each side that it has it |
//! | `seal` | frames that nobody on the way can read or change |
//! | `message` | requests and answers |

mod frame;
mod handshake;
mod key;
mod message;
mod seal;

pub(crate) use frame::{Broken, GREETING_LIMIT, Inbox, finish_frame, start_frame};
pub use handshake::HandshakeError;
pub(crate) use handshake::{Initiator, Keys, Next, Refused, Responder, Transport, Welcome};
pub(crate) use key::random;
pub use key::{AuthKey, EmptyKey};
pub(crate) use message::{ToClient, ToServer, decode, encode, longest_answer};
pub(crate) use seal::{OpeningKey, SealingKey};
