//! Proxies of queues.

use std::time::Duration;

use super::{AT_ONCE, Later, nothing, proxy};
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::client::Object;
use crate::ipc::manager::data::Variant;
use crate::ipc::manager::store::{Method, Reply};

/// What both kinds of queues have.
macro_rules! queue {
    ($name:ident) => {
        impl $name {
            /// Puts an item at the end, waiting as long as there is no room.
            ///
            /// # Errors
            /// [`Error::Managed`] if the queue is shut down.
            pub fn put(&self, item: impl Into<Variant>) -> Result<()> {
                self.object.call_patiently(Method::Put, vec![item.into()], None, 0).map(drop)
            }

            /// Puts an item at the end, waiting at most `timeout` for room. `false` if there was none: it was not put.
            pub fn put_timeout(&self, item: impl Into<Variant>, timeout: Duration) -> Result<bool> {
                is_in_time(self.object.call_patiently(Method::Put, vec![item.into()], Some(timeout), 0))
            }

            /// Puts an item at the end if there is room. `false` if there is none: it was not put.
            pub fn try_put(&self, item: impl Into<Variant>) -> Result<bool> {
                is_in_time(self.object.call(Method::Put, vec![item.into()]))
            }

            /// How many items there are.
            pub fn qsize(&self) -> Result<usize> {
                self.object.get_number(Method::Qsize)
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> Result<bool> {
                self.object.get_bool(Method::Empty, vec![])
            }

            /// Whether there is no room for more.
            pub fn is_full(&self) -> Result<bool> {
                self.object.get_bool(Method::Full, vec![])
            }

            /// Waits until every item that was put is done.
            pub fn join(&self) -> Result<()> {
                self.object.call_patiently(Method::Join, vec![], None, 0).map(drop)
            }

            /// As [`join`](Self::join), at most `timeout`. `false` if that passed first.
            pub fn join_timeout(&self, timeout: Duration) -> Result<bool> {
                is_in_time(self.object.call_patiently(Method::Join, vec![], Some(timeout), 0))
            }

            /// Lets nothing more in: who puts gets an error, and so does who gets once it is empty. `at_once` drops what is
            /// in it.
            ///
            /// # Standard
            /// Python 3.13's `queue.Queue.shutdown`.
            pub fn shutdown(&self, at_once: bool) -> Result<()> {
                self.object.tell(Method::Shutdown, vec![at_once.into()])
            }
        }
    };
}

proxy! {
    /// A queue in a manager.
    ///
    /// # Death
    /// An item is its taker's from the moment of taking; one that could not be handed over, because its taker was gone,
    /// goes to another. What a dead process still waited to put was never put. A getter waits on when every putter is dead,
    /// since others may come: `shutdown` ends it. `join` waits for what a dead taker has not reported, for ever; tasks that
    /// others depend on belong into a [`JoinableQueue`].
    ///
    /// # Standard
    /// Python's `SyncManager.Queue(maxsize)`.
    Queue
}
queue!(Queue);

impl Queue {
    /// Takes the first item, waiting as long as there is none.
    ///
    /// # Errors
    /// [`Error::Managed`] if the queue is shut down and empty.
    pub fn get(&self) -> Result<Variant> {
        self.get_at_most(None)?.ok_or_else(Error::manager_gone)
    }

    /// Takes the first item, waiting at most `timeout` for one.
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<Variant>> {
        self.get_at_most(Some(timeout))
    }

    /// Takes the first item if there is one.
    pub fn try_get(&self) -> Result<Option<Variant>> {
        self.get_at_most(AT_ONCE)
    }

    /// As [`put`](Self::put) where there is always room, without waiting for the answer.
    ///
    /// # Errors
    /// [`Error::ManagerGone`] if it cannot be sent.
    pub fn put_later(&self, item: impl Into<Variant>) -> Result<Later<()>> {
        self.object.later(Method::Put, vec![item.into()], nothing)
    }

    /// Says that an item that was taken is done, for those who [`join`](Self::join).
    ///
    /// # Errors
    /// [`Error::Managed`] if more were done than put.
    pub fn task_done(&self) -> Result<()> {
        self.object.tell(Method::TaskDone, vec![])
    }

    fn get_at_most(&self, timeout: Option<Duration>) -> Result<Option<Variant>> {
        match self.object.call_patiently(Method::Get, vec![], timeout, 0)? {
            Reply::Item(item) => Ok(Some(item)),
            Reply::NotInTime => Ok(None),
            _ => Err(Error::manager_gone()),
        }
    }
}

proxy! {
    /// A queue in a manager whose items are lent: an item whose taker dies before it is done goes to another.
    ///
    /// # Standard
    /// Python's `JoinableQueue`, in a manager. Differs: tasks of dead workers are not lost, and do not keep
    /// [`join`](Self::join) waiting for ever.
    JoinableQueue
}
queue!(JoinableQueue);

impl JoinableQueue {
    /// Takes the first item, waiting as long as there is none.
    ///
    /// # Errors
    /// [`Error::Managed`] if the queue is shut down and empty.
    pub fn get(&self) -> Result<Task> {
        self.get_at_most(None)?.ok_or_else(Error::manager_gone)
    }

    /// Takes the first item, waiting at most `timeout` for one.
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<Task>> {
        self.get_at_most(Some(timeout))
    }

    /// Takes the first item if there is one.
    pub fn try_get(&self) -> Result<Option<Task>> {
        self.get_at_most(AT_ONCE)
    }

    /// How many items are not done: those that wait, and those that are lent.
    pub fn unfinished(&self) -> Result<usize> {
        self.object.get_number(Method::Unfinished)
    }

    /// The items that were delivered as often as the queue allows, and never done.
    pub fn dead_letters(&self) -> Result<Vec<Variant>> {
        self.object.get_list(Method::DeadLetters, vec![])
    }

    fn get_at_most(&self, timeout: Option<Duration>) -> Result<Option<Task>> {
        match self.object.call_patiently(Method::Get, vec![], timeout, 0)? {
            Reply::Leased { lease, deliveries, item } => {
                Ok(Some(Task { object: self.object.clone(), lease, deliveries, item }))
            }
            Reply::NotInTime => Ok(None),
            _ => Err(Error::manager_gone()),
        }
    }
}

/// An item of a joinable queue, lent to this process until it says that it is done.
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

    /// How often it was lent, this time included: more than once if a taker before died with it.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Says that it is done, and gives the item.
    ///
    /// # Standard
    /// Python's `JoinableQueue.task_done`.
    pub fn task_done(self) -> Result<Variant> {
        self.object.tell(Method::TaskDone, vec![self.lease.into()])?;
        Ok(self.item)
    }
}

fn is_in_time(answer: Result<Reply>) -> Result<bool> {
    Ok(answer? != Reply::NotInTime)
}
