//! The library: Python's `multiprocessing` in Rust, processes and the objects they share.

pub(crate) mod buffer;
pub(crate) mod codec;
pub(crate) mod deadline;
mod error;
pub(crate) mod event_count;
pub mod explore;
#[cfg(feature = "manager")]
pub mod manager;
pub(crate) mod operation;
pub mod pipe;
pub mod pool;
pub mod process;
pub mod queue;
pub mod shared;
pub(crate) mod spin;
pub mod sync;
#[cfg(test)]
pub(crate) mod test_util;

pub use error::{Error, Result};

#[cfg(test)]
mod tests {
    use crate::pipe::{Connection, DatagramReceiver, DatagramSender, Receiver, Sender};
    use crate::pool::{Pool, Stopper, TaskHandle};
    use crate::process::StopSignals;
    use crate::sync::{LockGuard, OwnedSemaphore, Permit};
    use crate::{Array, Barrier, BoundedSemaphore, Condition, Event, Lock, Process, RLock, Semaphore, Value};
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
        is_free::<Pool<()>>();
        is_free::<TaskHandle<()>>();
        is_free::<Stopper>();
    }

    #[test]
    fn guards_go_through_catch_unwind() {
        fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
        is_unwind_safe::<LockGuard<'_>>();
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
