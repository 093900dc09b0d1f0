//! Pipes and connections for messages.
//!
//! [`pipe()`] makes the two typed ends of a one-way pipe, [`Receiver`] and [`Sender`]; [`duplex()`] makes two
//! [`Connection`]s that both send and receive; [`datagrams()`] takes whole messages from many senders to one receiver.
//! [`wait()`] waits for several ends at once.
//!
//! The kernel copies each message twice: into the pipe and out of it. To write and read long messages in place, use a
//! queue of bytes: [`Queue::reserve`](crate::Queue::reserve) and [`Queue::get_ref`](crate::Queue::get_ref).

// The files: `ends` are the typed ends of a pipe; `connection` is one end, `incoming` and `outgoing` are its halves, and
// `frame` is the framing.

pub(crate) mod connection;
pub(crate) mod datagram;
pub(crate) mod ends;
pub(crate) mod frame;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod wait;

pub use connection::{Connection, MESSAGE_LIMIT};
#[cfg(feature = "cli")]
pub(crate) use datagram::unscheduled_datagrams;
pub use datagram::{DATAGRAM_LIMIT, DatagramReceiver, DatagramSender, datagrams};
pub use ends::{Receiver, Sender, duplex, pipe};
pub use wait::{Waitable, wait};
