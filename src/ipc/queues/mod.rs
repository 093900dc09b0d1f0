//! Queues: in shared memory, and as the textbook has them.
//!
//! | file | what it is |
//! |---|---|
//! | `queue` | first in, first out |
//! | `joinable_queue` | the same for tasks; `lease`, `leasing`, `joining` and `desk` are its parts |
//! | `channel` | what both have in common |
//! | `ring` | the shared memory itself |
//! | `item`, `encoding`, `put_error` | what can be an item; items as bytes; items that come back |
//! | `participants`, `bell` | who may still put and get, and how they are woken |
//! | `pipe_queue` | the textbook queue |

pub(crate) mod bell;
pub(crate) mod channel;
pub(crate) mod desk;
pub(crate) mod encoding;
pub(crate) mod item;
pub(crate) mod joinable_queue;
pub(crate) mod joining;
pub(crate) mod lease;
pub(crate) mod leasing;
pub(crate) mod participants;
pub(crate) mod pipe_queue;
pub(crate) mod put_error;
pub(crate) mod queue;
pub(crate) mod ring;
