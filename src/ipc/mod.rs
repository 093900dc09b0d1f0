//! Python's `multiprocessing` in Rust: processes and the objects they share.
//!
//! | Python | here | in |
//! |---|---|---|
//! | `Process` | [`Process`], with a [`Role`] instead of a target function | `process` |
//! | arguments of a process | a role's fields, handles included | `process` |
//! | `freeze_support` | [`enter`] | `process` |
//! | `KeyboardInterrupt` | [`StopSignals`] | `process` |
//! | `Queue`, `SimpleQueue` | [`Queue`], and one-sided [`Producer`] and [`Consumer`] | `queue` |
//! | `JoinableQueue` | [`JoinableQueue`], with a [`Lease`] on every item | `queue` |
//! | `Queue`, as Python makes it | [`PipeQueue`] | `queue` |
//! | `Pipe(False)`, `Pipe(True)` | [`pipe`], [`duplex`] | `pipe` |
//! | `connection.Connection` | [`Connection`], or a [`Receiver`] or [`Sender`] of one type | `pipe` |
//! | `connection.wait` | [`wait`] | `pipe` |
//! | `Lock`, `RLock` | [`Lock`], [`RLock`] | `sync` |
//! | `Semaphore`, `BoundedSemaphore` | [`Semaphore`], [`BoundedSemaphore`] | `sync` |
//! | - | [`OwnedSemaphore`]: a semaphore that recovers the permits of a dead process | `sync` |
//! | `Condition` | [`Condition`] | `sync` |
//! | `Event` | [`Event`] | `sync` |
//! | `Barrier` | [`Barrier`] | `sync` |
//! | `Value`, `Array` | [`Value`], [`Array`] of any [`Plain`] number | `shared` |
//! | - | [`find_deadlock`]: finds a cycle of waiters and holders | `sync` |
//! | `Manager` | [`manager::Manager`], and proxies for fourteen types of objects | `manager` |
//! | - | [`datagrams`]: whole messages from many senders to one receiver | `pipe` |

mod deadline;
mod error;
pub mod manager;
mod operation;
mod pipe;
pub(crate) mod process;
mod queue;
mod shared;
mod sync;
#[cfg(test)]
pub(crate) mod test_util;

pub use error::{Error, Result};
pub use pipe::connection::{Connection, MESSAGE_LIMIT};
pub use pipe::datagram::{DATAGRAM_LIMIT, DatagramReceiver, DatagramSender, datagrams};
pub use pipe::ends::{Receiver, Sender, duplex, pipe};
pub use pipe::wait::{Waitable, wait};
pub use process::boot::enter;
pub use process::child::{Builder, Ended, ExitStatus, FailureKind, Process, WorkerFailure};
pub use process::codec::CodecError;
pub use process::role::{Role, RoleEntry, RoleResult};
pub use process::stop::{StopSignal, StopSignals};
pub use process::transfer::Fd;
pub use queue::channel::{Access, Both, GetOnly, Gets, PutOnly, Puts};
pub use queue::item::Item;
pub use queue::joinable_queue::{
    DEFAULT_REDELIVERIES, DeadLetter, JoinableConsumer, JoinableProducer, JoinableQueue, JoinableQueueBuilder,
    MOST_LEASES,
};
pub use queue::lease::Lease;
pub use queue::leasing::OnConsumerDeath;
pub use queue::pipe_queue::PipeQueue;
pub use queue::put_error::PutError;
pub use queue::shm_queue::{Consumer, DEFAULT_BYTE_LIMIT, Producer, Queue, QueueBuilder};
pub use shared::array::Array;
pub use shared::plain::Plain;
pub use shared::value::Value;
pub use shared::value_lock::{AnyLock, ValueGuard};
pub use sync::barrier::Barrier;
pub use sync::break_cause::BreakCause;
pub use sync::condition::Condition;
pub use sync::deadlock::{LockId, Wait, find_deadlock};
pub use sync::event::Event;
pub use sync::holder::Holder;
pub use sync::lock::{Lock, LockGuard};
pub use sync::mutex::{Abandoned, Guard};
pub use sync::owned_semaphore::{OwnedSemaphore, Permit};
pub use sync::rlock::{RLock, RLockGuard};
pub use sync::semaphore::{BoundedSemaphore, Semaphore};

/// Returns the time of the monotonic clock in nanoseconds. All processes of a machine share this clock, so timestamps
/// of different workers are comparable.
pub fn monotonic_ns() -> u64 {
    crate::sys::clock::monotonic_ns()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{RefUnwindSafe, UnwindSafe};

    /// Compiles only if `T` can be shared between threads and used across `catch_unwind`.
    fn is_free<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}

    #[test]
    fn every_handle_goes_to_other_threads_and_through_catch_unwind() {
        is_free::<Lock>();
        is_free::<RLock>();
        is_free::<Semaphore>();
        is_free::<BoundedSemaphore>();
        is_free::<OwnedSemaphore>();
        is_free::<Permit<'_>>();
        is_free::<Condition>();
        is_free::<Event>();
        is_free::<Barrier>();
        is_free::<Value<u64>>();
        is_free::<Array<f64>>();
        is_free::<Connection>();
        is_free::<Receiver<String>>();
        is_free::<Sender<String>>();
        is_free::<DatagramReceiver<String>>();
        is_free::<DatagramSender<String>>();
        is_free::<Process>();
        is_free::<StopSignals>();
    }

    #[test]
    fn guards_go_through_catch_unwind() {
        fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
        is_unwind_safe::<LockGuard<'_>>();
        is_unwind_safe::<RLockGuard<'_>>();
        is_unwind_safe::<ValueGuard<'_>>();
    }

    #[test]
    fn handles_show_their_state() {
        let shown = [
            (format!("{:?}", Event::new()), "Ok(Event { is_set: false, .. })"),
            (format!("{:?}", Semaphore::new(3)), "Ok(Semaphore { value: 3, .. })"),
            (format!("{:?}", BoundedSemaphore::new(2)), "Ok(BoundedSemaphore { value: 2, .. })"),
            (format!("{:?}", OwnedSemaphore::new(4)), "Ok(OwnedSemaphore { value: 4, .. })"),
            (format!("{:?}", Condition::new()), "Ok(Condition { n_waiting: 0, .. })"),
            (format!("{:?}", Barrier::new(2)), "Ok(Barrier { parties: 2, n_waiting: 0, broken: false, .. })"),
            (format!("{:?}", Value::new(-1)), "Ok(Value { value: -1, .. })"),
            (format!("{:?}", Array::new(&[1_u8, 2])), "Ok(Array { len: 2, .. })"),
            (format!("{:?}", Lock::new()), "Ok(Lock { held_by: nobody, .. })"),
        ];
        for (shown, expected) in shown {
            assert_eq!(shown, expected);
        }
    }
}
