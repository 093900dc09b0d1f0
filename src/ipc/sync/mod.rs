//! Synchronisation: locks and all other objects that processes wait for.
//!
//! Every handle here is `Clone`, and a clone in a worker's role refers to the same object. A lock whose holder is killed
//! goes to the next in line, whose guard says that it was [`Abandoned`]. [`find_deadlock`] finds a cycle of waiters and
//! holders.

// The files: `lock_state` is a lock in shared memory, with its guard; `holder` is the holder of a lock; `deadlock` is
// the search for a deadlock; `break_cause` is why a barrier is broken.

pub(crate) mod barrier;
pub(crate) mod break_cause;
pub(crate) mod condition;
pub(crate) mod deadlock;
pub(crate) mod event;
pub(crate) mod holder;
pub(crate) mod lock;
pub(crate) mod lock_state;
pub(crate) mod owned_semaphore;
pub(crate) mod semaphore;

pub use barrier::Barrier;
pub use break_cause::BreakCause;
pub use condition::Condition;
pub use deadlock::{LockId, Wait, find_deadlock};
pub use event::Event;
pub use holder::Holder;
pub use lock::{GenericLock, Lock, RLock};
pub use lock_state::{Abandoned, LockGuard};
pub use owned_semaphore::{OwnedSemaphore, Permit};
pub use semaphore::{BoundedSemaphore, GenericSemaphore, Semaphore};
