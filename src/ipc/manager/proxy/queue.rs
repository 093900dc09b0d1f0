//! Proxies of queues.

use super::{Answer, Later, Method, Object, Reply, Result, Variant, methods, proxy};

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
    /// Puts an item at the end, blocking while the queue is full.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the queue is shut down.
    put(item: Variant) -> () = Put blocking;
    /// Puts an item at the end, blocking at most `timeout` while the queue is full. Returns `false` on timeout.
    put_timeout(item: Variant; timeout) -> bool = Put;
    /// Blocks until every item that was put is done.
    join() -> () = Join blocking;
    /// As [`join`](Self::join), at most `timeout`. Returns `false` on timeout.
    join_timeout(; timeout) -> bool = Join;
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
    /// Removes and returns the first item, blocking while there is none.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the queue is shut down and empty.
    get() -> Variant = Get blocking;
    /// Removes and returns the first item, blocking at most `timeout`.
    get_timeout(; timeout) -> Option<Variant> = Get;
    /// Removes and returns the first item if there is one.
    try_get() -> Option<Variant> = Get;
    /// Marks an item from this queue as done, for [`join`](Self::join).
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if more items were marked done than were put.
    task_done() -> () = TaskDone;
} }

methods! { [JoinableQueue] {
    /// Leases the first item, blocking while there is none.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the queue is shut down and empty.
    get() -> Task = Get blocking;
    /// Leases the first item, blocking at most `timeout`.
    get_timeout(; timeout) -> Option<Task> = Get;
    /// Leases the first item if there is one.
    try_get() -> Option<Task> = Get;
    /// Returns how many items are not done: queued and leased ones.
    unfinished() -> usize = Unfinished;
    /// Returns the items that were delivered as often as the queue allows, and never done.
    dead_letters() -> Vec<Variant> = DeadLetters;
} }

impl Queue {
    /// As [`put`](Self::put) on a queue that always has room, without waiting for the answer.
    ///
    /// # Errors
    /// [`ManagerError::Gone`](crate::manager::ManagerError::Gone) if it cannot be sent.
    pub fn put_later(&self, item: impl Into<Variant>) -> Result<Later<()>> {
        self.object.later(Method::Put, vec![item.into()])
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

impl Answer<'_> for Task {
    fn from_reply(object: &Object, reply: Reply) -> Option<Self> {
        let Reply::Leased { lease, deliveries, item } = reply else { return None };
        Some(Task { object: object.clone(), lease, deliveries, item })
    }
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
