//! Synchronisation: locks and all other objects that processes wait for.
//!
//! | file | what it is |
//! |---|---|
//! | `lock`, `rlock` | locks; what they share is `mutex` |
//! | `holder`, `waits`, `deadlock` | the holder of a lock, the threads waiting for it, and deadlock detection |
//! | `semaphore`, `owned_semaphore` | counting semaphores; the second recovers permits of dead processes |
//! | `event`, `condition` | a flag; a condition variable |
//! | `barrier`, `break_cause` | a barrier, and why it is broken |

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
