//! The queue of a scenario, over the transport that was chosen on the command line.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::ipc::Result;
use crate::ipc::queue::{Consumer, GetEnd, Item, Pipe, PipeQueue, Producer, PutEnd, SharedMemory, Transport as _};

/// What a queue is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// A ring in shared memory; survives every kill
    Shm,
    /// A pipe, two locks, a semaphore and a feeder thread: the textbook's
    Pipe,
}

/// An end in a role: what is the same for all transports is found by dereferencing it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum End<S, P> {
    Shm(S),
    Pipe(P),
}

/// The end of a worker that puts.
pub(super) type Putting<T> = End<Producer<T>, PipeQueue<T>>;
/// The end of a worker that gets.
pub(super) type Getting<T> = End<Consumer<T>, PipeQueue<T>>;

impl<T: Item + 'static> Deref for Putting<T> {
    type Target = dyn PutEnd<T>;
    fn deref(&self) -> &Self::Target {
        match self {
            End::Shm(end) => end,
            End::Pipe(end) => end,
        }
    }
}

impl<T: Item + 'static> Deref for Getting<T> {
    type Target = dyn GetEnd<T>;
    fn deref(&self) -> &Self::Target {
        match self {
            End::Shm(end) => end,
            End::Pipe(end) => end,
        }
    }
}

impl Transport {
    /// Opens a queue of at most `capacity_items` items.
    pub(super) fn open<T: Item>(self, capacity_items: u32) -> Result<(Putting<T>, Getting<T>)> {
        let capacity_items = Some(capacity_items as usize);
        Ok(match self {
            Transport::Shm => {
                let (put, get) = SharedMemory.open(capacity_items)?;
                (End::Shm(put), End::Shm(get))
            }
            Transport::Pipe => {
                let (put, get) = Pipe.open(capacity_items)?;
                (End::Pipe(put), End::Pipe(get))
            }
        })
    }
}
