//! Queues: in shared memory, and as the textbook has them.
//!
//! | file | what it is |
//! |---|---|
//! | `queue` | first in, first out |
//! | `joinable_queue` | the same for tasks; `lease`, `leasing`, `joining` and `unacked` are its parts |
//! | `channel` | what both have in common |
//! | `ring` | the shared memory itself |
//! | `item`, `encoding`, `put_error` | what can be an item; items as bytes; items that come back |
//! | `participants`, `event_count` | who may still put and get, and how they are woken |
//! | `pipe_queue` | the textbook queue |

pub(crate) mod channel;
pub(crate) mod encoding;
pub(crate) mod event_count;
pub(crate) mod item;
pub(crate) mod joinable_queue;
pub(crate) mod joining;
pub(crate) mod lease;
pub(crate) mod leasing;
pub(crate) mod participants;
pub(crate) mod pipe_queue;
pub(crate) mod put_error;
pub(crate) mod ring;
pub(crate) mod shm_queue;
pub(crate) mod unacked;
