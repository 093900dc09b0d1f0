//! A number to another process and back, timed per round trip.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::CAPACITY;
use crate::bench::workload::{RoundTrips, Sample};
use crate::{Consumer, Process, Producer, Queue, Role, RoleResult};

/// Gets a number and puts it into the other queue.
#[derive(Serialize, Deserialize)]
pub(super) struct Echoes {
    from: Consumer<u64>,
    to: Producer<u64>,
}

impl Role for Echoes {
    const NAME: &'static str = "bench.echoes";
    fn run(self) -> RoleResult {
        let (from, to) = (self.from, self.to);
        for item in from.iter() {
            to.put(item?).map_err(crate::Error::from)?;
        }
        Ok(())
    }
}

/// Times round trips one by one.
fn times(round_trips: u64, mut round: impl FnMut(u64) -> Result<u64>) -> Result<Sample> {
    let mut took = Vec::with_capacity(round_trips as usize);
    let begun = Instant::now();
    for number in 0..round_trips {
        let start = Instant::now();
        ensure!(round(number)? == number, "the wrong number came back");
        took.push(start.elapsed());
    }
    let sample = Sample::since(begun, round_trips);
    Ok(Sample { round_trips: RoundTrips::of(took), ..sample })
}

pub(super) fn processes(round_trips: u64) -> Result<Sample> {
    let (there, back) = (Queue::<u64>::bounded(CAPACITY)?, Queue::<u64>::bounded(CAPACITY)?);
    let (put, get) = (there.producer(), back.consumer());
    let mut echo = Process::spawn("echo", Echoes { from: there.consumer(), to: back.producer() })?;
    drop((there, back));
    let sample = times(round_trips, |number| {
        put.put(number).map_err(crate::Error::from)?;
        Ok(get.get()?)
    })?;
    drop(put);
    ensure!(echo.join()?.is_success(), "{:?}", echo.ended());
    Ok(sample)
}

pub(super) fn threads(round_trips: u64) -> Result<Sample> {
    let (put, from) = mpsc::sync_channel(CAPACITY);
    let (to, get) = mpsc::sync_channel(CAPACITY);
    thread::scope(|scope| {
        scope.spawn(move || from.iter().all(|number| to.send(number).is_ok()));
        let put = put;
        times(round_trips, |number| {
            put.send(number)?;
            Ok(get.recv()?)
        })
    })
}
