//! One queue of numbers, made in one of two ways, so that both can be played and compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ipc::{Consumer, Error, Give, Inherited, PipeQueue, Producer, PutError, Queue, Result, Slot};

/// What a queue is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// A ring in shared memory; survives every kill
    Shm,
    /// A pipe, two locks, a semaphore and a feeder thread: the textbook's
    Pipe,
}

/// What a worker may do with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Puts,
    Gets,
    Both,
}

/// A queue in the hands of the runner, until the workers have theirs.
#[expect(clippy::large_enum_variant, reason = "a process has one of them")]
pub(super) enum Line {
    Shm { putting: Producer<u64>, getting: Option<Consumer<u64>> },
    Pipe(PipeQueue<u64>),
}

/// A queue in a role.
#[derive(Serialize, Deserialize)]
pub(super) enum LineSlot {
    Shm {
        putting: Option<Slot<Producer<u64>>>,
        getting: Option<Slot<Consumer<u64>>>,
    },
    /// Whoever has it may put and get.
    Pipe(Slot<PipeQueue<u64>>),
}

/// A queue in the hands of a worker.
#[expect(clippy::large_enum_variant, reason = "a process has one of them")]
pub(super) enum LineEnd {
    Shm { putting: Option<Producer<u64>>, getting: Option<Consumer<u64>> },
    Pipe(PipeQueue<u64>),
}

impl Line {
    pub(super) fn new(transport: Transport, capacity: u32) -> Result<Self> {
        let capacity = capacity as usize;
        Ok(match transport {
            Transport::Shm => {
                let queue = Queue::bounded(capacity)?;
                Line::Shm { putting: queue.producer()?, getting: Some(queue.consumer()?) }
            }
            Transport::Pipe => Line::Pipe(PipeQueue::bounded(capacity)?),
        })
    }

    pub(super) fn share(&self, give: &mut Give, side: Side) -> LineSlot {
        let (puts, gets) = (side != Side::Gets, side != Side::Puts);
        match self {
            Line::Shm { putting, getting } => LineSlot::Shm {
                putting: puts.then(|| give.share(putting)),
                getting: getting.as_ref().filter(|_| gets).map(|getting| give.share(getting)),
            },
            Line::Pipe(queue) => LineSlot::Pipe(give.share(queue)),
        }
    }

    /// Leaves the queue to the workers: as long as the runner could put or get, nobody would know that the others are gone.
    pub(super) fn retire(&mut self) {
        match self {
            Line::Shm { putting, getting } => {
                putting.close();
                *getting = None;
            }
            Line::Pipe(queue) => queue.close(),
        }
    }

    pub(super) fn qsize(&self) -> u64 {
        match self {
            Line::Shm { putting, .. } => putting.qsize() as u64,
            Line::Pipe(queue) => queue.qsize() as u64,
        }
    }
}

impl LineSlot {
    pub(super) fn open(self, inherited: &mut Inherited) -> Result<LineEnd> {
        Ok(match self {
            LineSlot::Shm { putting, getting } => LineEnd::Shm {
                putting: putting.map(|slot| inherited.take(slot)).transpose()?,
                getting: getting.map(|slot| inherited.take(slot)).transpose()?,
            },
            LineSlot::Pipe(queue) => LineEnd::Pipe(inherited.take(queue)?),
        })
    }
}

impl LineEnd {
    pub(super) fn put(&self, number: u64) -> Result<()> {
        match self {
            LineEnd::Shm { putting, .. } => Ok(putting.as_ref().ok_or(Error::Closed)?.put(number)?),
            LineEnd::Pipe(queue) => Ok(queue.put(number)?),
        }
    }

    /// `false` if there is no room.
    pub(super) fn try_put(&self, number: u64) -> Result<bool> {
        let outcome = match self {
            LineEnd::Shm { putting, .. } => putting.as_ref().ok_or(Error::Closed)?.try_put(number),
            LineEnd::Pipe(queue) => queue.try_put(number),
        };
        match outcome {
            Ok(()) => Ok(true),
            // A full queue that nobody else is left to empty is a full queue.
            Err(PutError::Full(_) | PutError::Failed(_, Error::Disconnected)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// `None` when the queue is empty and nobody is left who could put.
    pub(super) fn get(&self) -> Result<Option<u64>> {
        let outcome = match self {
            LineEnd::Shm { getting, .. } => getting.as_ref().ok_or(Error::Closed)?.get(),
            LineEnd::Pipe(queue) => queue.get(),
        };
        unless_disconnected(outcome.map(Some))
    }

    /// `None` if nothing came in time, or nothing can come any more.
    pub(super) fn get_timeout(&self, timeout: Duration) -> Result<Option<u64>> {
        unless_disconnected(match self {
            LineEnd::Shm { getting, .. } => getting.as_ref().ok_or(Error::Closed)?.get_timeout(timeout),
            LineEnd::Pipe(queue) => queue.get_timeout(timeout),
        })
    }

    pub(super) fn qsize(&self) -> u64 {
        match self {
            LineEnd::Shm { putting, getting } => {
                let size = putting.as_ref().map(Queue::qsize).or_else(|| getting.as_ref().map(Queue::qsize));
                size.unwrap_or(0) as u64
            }
            LineEnd::Pipe(queue) => queue.qsize() as u64,
        }
    }
}

/// An empty queue that nobody else is left to fill is an empty queue.
fn unless_disconnected(outcome: Result<Option<u64>>) -> Result<Option<u64>> {
    match outcome {
        Err(Error::Disconnected) => Ok(None),
        outcome => outcome,
    }
}
