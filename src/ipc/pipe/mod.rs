//! Pipes and connections for messages.
//!
//! | file | what it is |
//! |---|---|
//! | `ends` | the two typed ends of a pipe |
//! | `connection` | one end; `incoming` and `outgoing` are its halves, `frame` is the framing |
//! | `datagram` | whole messages from many senders to one receiver |
//! | `wait` | waiting for several ends at once |

pub(crate) mod connection;
pub(crate) mod datagram;
pub(crate) mod ends;
pub(crate) mod frame;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod wait;
