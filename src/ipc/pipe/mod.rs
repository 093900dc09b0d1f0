//! Messages from one end to another.
//!
//! | file | what it is |
//! |---|---|
//! | `pipe` | two ends of a type |
//! | `connection` | one end; `incoming` and `outgoing` are its halves, `frame` is what goes over it |
//! | `datagram` | whole messages from many to one |
//! | `wait` | for several ends at once |

pub(crate) mod connection;
pub(crate) mod datagram;
pub(crate) mod ends;
pub(crate) mod frame;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod wait;
