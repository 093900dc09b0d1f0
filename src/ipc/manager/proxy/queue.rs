//! Proxies of queues.

use std::time::Duration;

use super::{Later, methods, proxy};
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::client::Object;
use crate::ipc::manager::data::Variant;
use crate::ipc::manager::store::{Method, Reply};

proxy! {
    /// A queue in a manager.
    ///
    /// # Death
    /// An item belongs to its consumer from the moment it leaves the queue; one that could not be delivered, because
    /// its consumer was gone, goes to another. An item that a dead process still waited to put was never put. A
    /// consumer waits on even if every producer is dead, since others may come: `shutdown` ends the wait. `join` waits
    /// forever for an item that a dead consumer has not reported; tasks that others depend on belong in a
    /// [`JoinableQueue`].
    ///
    /// # Standard
    /// Python's `SyncManager.Queue(maxsize)`.
    Queue
}

proxy! {
    /// A queue in a manager whose items are leased: an item whose consumer dies before it is done goes to another.
    ///
    /// # Standard
    /// Python's `JoinableQueue`, in a manager. Differs: tasks of dead workers are not lost, and do not keep
    /// [`join`](Self::join) waiting forever.
    JoinableQueue
}

methods! { [Queue JoinableQueue] {
    /// Puts an item at the end if there is room. Returns `false` if the queue is full.
    try_put(item: Variant) -> bool = Put;
    /// Returns the number of items.
    qsize() -> usize = Qsize;
    /// Returns whether there are no items.
    is_empty() -> bool = Empty;
    /// Returns whether the queue is full.
    is_full() -> bool = Full;
    /// Shuts the queue down: every put fails, and so does every get once the queue is empty. `at_once` drops the items
    /// still in it.
    ///
    /// # Standard
    /// Python 3.13's `queue.Queue.shutdown`.
    shutdown(at_once: bool) -> () = Shutdown;
} }

methods! { [Queue] {
    /// Removes and returns the first item if there is one.
    try_get() -> Option<Variant> = Get;
    /// Marks an item from this queue as done, for [`join`](Self::join).
    ///
    /// # Errors
    /// [`Error::Managed`] if more items were done than put.
    task_done() -> () = TaskDone;
} }

methods! { [JoinableQueue] {
    /// Returns how many items are not done: queued and leased ones.
    unfinished() -> usize = Unfinished;
    /// Returns the items that were delivered as often as the queue allows, and never done.
    dead_letters() -> Vec<Variant> = DeadLetters;
} }

/// Defines the methods that may block, for both kinds of queues.
macro_rules! blocking {
    ($($name:ident)+) => {$(
        impl $name {
            /// Puts an item at the end, blocking while the queue is full.
            ///
            /// # Errors
            /// [`Error::Managed`] if the queue is shut down.
            pub fn put(&self, item: impl Into<Variant>) -> Result<()> {
                self.object.ask_within(None, Method::Put, vec![item.into()])
            }

            /// Puts an item at the end, blocking at most `timeout` while the queue is full. Returns `false` on timeout.
            pub fn put_timeout(&self, item: impl Into<Variant>, timeout: Duration) -> Result<bool> {
                self.object.ask_within(Some(timeout), Method::Put, vec![item.into()])
            }

            /// Blocks until every item that was put is done.
            pub fn join(&self) -> Result<()> {
                self.object.ask_within(None, Method::Join, vec![])
            }

            /// As [`join`](Self::join), at most `timeout`. Returns `false` on timeout.
            pub fn join_timeout(&self, timeout: Duration) -> Result<bool> {
                self.object.ask_within(Some(timeout), Method::Join, vec![])
            }
        }
    )+};
}
blocking!(Queue JoinableQueue);

impl Queue {
    /// Removes and returns the first item, blocking while there is none.
    ///
    /// # Errors
    /// [`Error::Managed`] if the queue is shut down and empty.
    pub fn get(&self) -> Result<Variant> {
        self.object.ask_within(None, Method::Get, vec![])
    }

    /// Removes and returns the first item, blocking at most `timeout`.
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<Variant>> {
        self.object.ask_within(Some(timeout), Method::Get, vec![])
    }

    /// As [`put`](Self::put) on a queue that always has room, without waiting for the answer.
    ///
    /// # Errors
    /// [`Error::ManagerGone`] if it cannot be sent.
    pub fn put_later(&self, item: impl Into<Variant>) -> Result<Later<()>> {
        self.object.later(Method::Put, vec![item.into()])
    }
}

impl JoinableQueue {
    /// Leases the first item, blocking while there is none.
    ///
    /// # Errors
    /// [`Error::Managed`] if the queue is shut down and empty.
    pub fn get(&self) -> Result<Task> {
        self.lease(None)?.ok_or_else(Error::manager_gone)
    }

    /// Leases the first item, blocking at most `timeout`.
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<Task>> {
        self.lease(Some(timeout))
    }

    /// Leases the first item if there is one.
    pub fn try_get(&self) -> Result<Option<Task>> {
        self.lease(Some(Duration::ZERO))
    }

    fn lease(&self, timeout: Option<Duration>) -> Result<Option<Task>> {
        match self.object.call(Method::Get, vec![], timeout)? {
            Reply::Leased { lease, deliveries, item } => {
                Ok(Some(Task { object: self.object.clone(), lease, deliveries, item }))
            }
            Reply::NotInTime => Ok(None),
            _ => Err(Error::manager_gone()),
        }
    }
}

/// An item of a joinable queue, leased to this process until marked as done.
#[derive(Debug)]
#[must_use = "an item that is never done is given to another when this process ends"]
pub struct Task {
    object: Object,
    lease: u64,
    deliveries: u32,
    item: Variant,
}

impl Task {
    /// The item.
    pub fn item(&self) -> &Variant {
        &self.item
    }

    /// Returns how often it was delivered, this time included: more than once if an earlier consumer died with it.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Marks the item as done and returns it.
    ///
    /// # Standard
    /// Python's `JoinableQueue.task_done`.
    pub fn task_done(self) -> Result<Variant> {
        self.object.ask::<()>(Method::TaskDone, vec![self.lease.into()])?;
        Ok(self.item)
    }
}
