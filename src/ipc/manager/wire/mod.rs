//! What goes over a connection of this library's own protocol, without the connection.
//!
//! | file | what it is |
//! |---|---|
//! | `frame` | bytes into frames and back, with limits that hold before anything is allocated |
//! | `key`, `auth` | the key, and the proof of each side that it has it |
//! | `seal` | a code on every frame of a connection that others could write into |
//! | `message` | requests and answers |

mod auth;
mod frame;
mod key;
mod message;
mod seal;

pub use auth::Unwelcome;
pub(crate) use auth::{Answering, Asking, Next, Refused, Transport, Welcome};
pub(crate) use frame::{Broken, GREETING_LIMIT, Inbox, finish_frame, start_frame};
pub(crate) use key::random;
pub use key::{AuthKey, EmptyKey};
pub(crate) use message::{ToClient, ToServer, decode, encode, longest_answer};
pub(crate) use seal::Seal;
