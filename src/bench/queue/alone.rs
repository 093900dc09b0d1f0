//! A put and a get by the same thread: the cost of the operations without contention.

use std::sync::mpsc;

use anyhow::{Result, ensure};

use super::CAPACITY;
use crate::Queue;
use crate::bench::workload::Sample;

fn times(pairs: u64, mut round: impl FnMut(u64) -> Result<u64>) -> Result<Sample> {
    let mut number = 0;
    Sample::of(pairs, || {
        number += 1;
        ensure!(round(number)? == number, "the wrong number came back");
        Ok(())
    })
}

pub(super) fn with_queue(pairs: u64) -> Result<Sample> {
    let queue = Queue::<u64>::bounded(CAPACITY)?;
    times(pairs, |number| {
        queue.put(number).map_err(crate::Error::from)?;
        Ok(queue.get()?)
    })
}

pub(super) fn with_channel(pairs: u64) -> Result<Sample> {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    times(pairs, |number| {
        sender.send(number)?;
        Ok(receiver.recv()?)
    })
}
