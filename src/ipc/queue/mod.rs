//! Queues in shared memory, and Python's pipe-based queue.
//!
//! | file | what it is |
//! |---|---|
//! | `shm_queue` | first-in first-out queue |
//! | `joinable_queue` | queue of tasks; `lease`, `leasing`, `joining` and `unacked` are its parts |
//! | `channel` | what the two have in common |
//! | `ring` | the ring in shared memory |
//! | `item`, `encoding`, `put_error` | requirements on items; serialisation; errors that return the item |
//! | `participants`, `event_count` | which processes can still put and get; how they are woken |
//! | `pipe_queue` | queue on a pipe, as in Python |

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
