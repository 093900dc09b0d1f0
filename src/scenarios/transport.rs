//! One queue of numbers, implemented in two ways, so that both can be run and compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::queue::{PipeQueue, PutError};
use crate::{Consumer, Error, Producer, Queue, Result};

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

/// A queue in the hands of the runner, or of a worker: with the ends that it may use.
#[derive(Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a process has one of them")]
pub(super) enum Line {
    Shm {
        putting: Option<Producer<u64>>,
        getting: Option<Consumer<u64>>,
    },
    /// Every holder may put and get.
    Pipe(PipeQueue<u64>),
}

impl Line {
    pub(super) fn new(transport: Transport, capacity: u32) -> Result<Self> {
        let capacity = capacity as usize;
        Ok(match transport {
            Transport::Shm => {
                let queue = Queue::bounded(capacity)?;
                Line::Shm { putting: Some(queue.producer()), getting: Some(queue.consumer()) }
            }
            Transport::Pipe => Line::Pipe(PipeQueue::bounded(capacity)?),
        })
    }

    /// Returns the same queue for a worker that may use this side.
    pub(super) fn share(&self, side: Side) -> Line {
        match self {
            Line::Shm { putting, getting } => Line::Shm {
                putting: putting.as_ref().filter(|_| side != Side::Gets).cloned(),
                getting: getting.as_ref().filter(|_| side != Side::Puts).cloned(),
            },
            Line::Pipe(queue) => Line::Pipe(queue.clone()),
        }
    }

    /// Leaves the queue to the workers: if the runner could put or get, the loss of the others would go unnoticed.
    pub(super) fn retire(&mut self) {
        match self {
            Line::Shm { putting, getting } => {
                putting.iter().for_each(Queue::close);
                *getting = None;
            }
            Line::Pipe(queue) => queue.close(),
        }
    }

    pub(super) fn put(&self, number: u64) -> Result<()> {
        match self {
            Line::Shm { putting, .. } => Ok(putting.as_ref().ok_or(Error::Closed)?.put(number)?),
            Line::Pipe(queue) => Ok(queue.put(number)?),
        }
    }

    /// Returns `false` if the queue is full.
    pub(super) fn try_put(&self, number: u64) -> Result<bool> {
        let outcome = match self {
            Line::Shm { putting, .. } => putting.as_ref().ok_or(Error::Closed)?.try_put(number),
            Line::Pipe(queue) => queue.try_put(number),
        };
        match outcome {
            Ok(()) => Ok(true),
            // A full queue without other consumers is still a full queue.
            Err(PutError::Full(_) | PutError::Failed(_, Error::Disconnected)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns `None` when the queue is empty and no producer is left.
    pub(super) fn get(&self) -> Result<Option<u64>> {
        let outcome = match self {
            Line::Shm { getting, .. } => getting.as_ref().ok_or(Error::Closed)?.get(),
            Line::Pipe(queue) => queue.get(),
        };
        unless_disconnected(outcome.map(Some))
    }

    /// Returns `None` if no item came in time, or none can come any more.
    pub(super) fn get_timeout(&self, timeout: Duration) -> Result<Option<u64>> {
        unless_disconnected(match self {
            Line::Shm { getting, .. } => getting.as_ref().ok_or(Error::Closed)?.get_timeout(timeout),
            Line::Pipe(queue) => queue.get_timeout(timeout),
        })
    }

    pub(super) fn qsize(&self) -> u64 {
        match self {
            Line::Shm { putting, getting } => {
                let size = putting.as_ref().map(Queue::qsize).or_else(|| getting.as_ref().map(Queue::qsize));
                size.unwrap_or(0) as u64
            }
            Line::Pipe(queue) => queue.qsize() as u64,
        }
    }
}

/// Treats an empty queue without other producers as an empty queue.
fn unless_disconnected(outcome: Result<Option<u64>>) -> Result<Option<u64>> {
    match outcome {
        Err(Error::Disconnected) => Ok(None),
        outcome => outcome,
    }
}
