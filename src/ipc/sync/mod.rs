//! Waiting for each other: locks, and everything else that processes wait at.
//!
//! | file | what it is |
//! |---|---|
//! | `lock`, `rlock` | locks; what they share is `mutex` |
//! | `holder`, `waits`, `deadlock` | who holds a lock, who waits for it, and who waits in a ring |
//! | `semaphore`, `owned_semaphore` | permits; those of the second come back from the dead |
//! | `event`, `condition` | a flag; a change of something |
//! | `barrier`, `cause` | a place to meet, and why it is broken |

pub(crate) mod barrier;
pub(crate) mod break_cause;
pub(crate) mod condition;
pub(crate) mod deadlock;
pub(crate) mod event;
pub(crate) mod holder;
pub(crate) mod lock;
pub(crate) mod mutex;
pub(crate) mod owned_semaphore;
pub(crate) mod rlock;
pub(crate) mod semaphore;
pub(crate) mod waits;
