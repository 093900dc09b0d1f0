//! Items that make round trips one at a time: put and got by the same thread, or echoed by another process or thread.

use std::sync::mpsc;
use std::thread;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::CAPACITY;
use crate::bench::start_barrier::join_all;
use crate::bench::workload::Sample;
use crate::{Consumer, Error, Process, Producer, Queue, Role, RoleResult};

/// Gets a number and puts it into the other queue.
#[derive(Serialize, Deserialize)]
pub(super) struct Echoes {
    from: Consumer<u64>,
    to: Producer<u64>,
}

impl Role for Echoes {
    const NAME: &'static str = "bench.echoes";

    fn run(self) -> RoleResult {
        self.from.iter().try_for_each(|item| Ok(self.to.put(item?).map_err(Error::from)?))
    }
}

/// Returns an operation that sends the next number, and checks that the same number comes back.
fn numbered(mut pass: impl FnMut(u64) -> Result<u64>) -> impl FnMut() -> Result<()> {
    let mut number = 0;
    move || {
        number += 1;
        ensure!(pass(number)? == number, "the wrong number came back");
        Ok(())
    }
}

/// Times round trips through another process.
pub(super) fn through_process(round_trips: u64) -> Result<Sample> {
    let (there, back) = (Queue::<u64>::bounded(CAPACITY)?, Queue::<u64>::bounded(CAPACITY)?);
    let (put, get) = (there.producer(), back.consumer());
    let echo = Process::spawn("echo", Echoes { from: there.consumer(), to: back.producer() })?;
    drop((there, back));
    // Owns the ends of the queues, so that the echo ends with the measurement.
    let pass = move |number| {
        put.put(number).map_err(Error::from)?;
        Ok(get.get()?)
    };
    let sample = Sample::of_each(round_trips, numbered(pass))?;
    join_all([echo])?;
    Ok(sample)
}

/// Times round trips through another thread.
pub(super) fn through_thread(round_trips: u64) -> Result<Sample> {
    let (put, from) = mpsc::sync_channel(CAPACITY);
    let (to, get) = mpsc::sync_channel(CAPACITY);
    thread::scope(|scope| {
        scope.spawn(move || from.iter().all(|number| to.send(number).is_ok()));
        // Owns the ends of the channels, so that the echo ends with the measurement.
        let pass = move |number| {
            put.send(number)?;
            Ok(get.recv()?)
        };
        Sample::of_each(round_trips, numbered(pass))
    })
}

/// Times a put and a get by one thread: the cost of the operations without contention.
pub(super) fn alone(pairs: u64) -> Result<Sample> {
    let queue = Queue::<u64>::bounded(CAPACITY)?;
    let pass = |number| {
        queue.put(number).map_err(Error::from)?;
        Ok(queue.get()?)
    };
    Sample::of(pairs, numbered(pass))
}

/// Times a send and a receive by one thread.
pub(super) fn alone_with_channel(pairs: u64) -> Result<Sample> {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    let pass = |number| {
        sender.send(number)?;
        Ok(receiver.recv()?)
    };
    Sample::of(pairs, numbered(pass))
}
