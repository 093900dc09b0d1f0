//! Items through a queue between processes.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Case;
use super::load::Load;
use crate::bench::start_barrier::{Participant, StartBarrier};
use crate::bench::workload::Sample;
use crate::{Consumer, Process, Producer, Queue, Role, RoleResult};

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Puts<T> {
    start: Participant,
    queue: Producer<T>,
    items: u64,
    bytes: usize,
    batch: usize,
}

impl<T: Load> Role for Puts<T> {
    const NAME: &'static str = T::PUTS;
    fn run(self) -> RoleResult {
        let queue = self.queue;
        self.start.wait()?;
        if self.batch == 1 {
            for number in 0..self.items {
                queue.put(T::make(number, self.bytes)).map_err(crate::Error::from)?;
            }
            return Ok(());
        }
        let mut number = 0;
        let mut batch = Vec::with_capacity(self.batch);
        while number < self.items {
            batch.clear();
            let end = self.items.min(number + self.batch as u64);
            batch.extend((number..end).map(|number| T::make(number, self.bytes)));
            queue.put_many(&batch)?;
            number = end;
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Gets<T> {
    start: Participant,
    queue: Consumer<T>,
    batch: usize,
}

impl<T: Load> Role for Gets<T> {
    const NAME: &'static str = T::GETS;
    fn run(self) -> RoleResult {
        let queue = self.queue;
        let mut report = self.start.wait()?;
        let (mut items, mut sum) = (0_u64, 0_u64);
        if self.batch == 1 {
            for item in queue.iter() {
                (items, sum) = (items + 1, sum.wrapping_add(item?.sum()));
            }
        } else {
            loop {
                match queue.get_many(self.batch) {
                    Ok(batch) => {
                        items += batch.len() as u64;
                        for item in batch {
                            sum = sum.wrapping_add(item?.sum());
                        }
                    }
                    Err(crate::Error::Disconnected) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let mut bytes = items.to_le_bytes().to_vec();
        bytes.extend_from_slice(&sum.to_le_bytes());
        report.write_all(&bytes)?;
        Ok(())
    }
}

/// Measures an item's time through the queue, between processes.
pub(super) fn processes<T: Load>(case: Case, items: u64) -> Result<Sample> {
    let queue = Queue::<T>::bounded(case.capacity)?;
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let start = StartBarrier::new()?;
    let each = items.div_ceil(case.producers);
    let mut workers = Vec::new();
    for number in 0..case.consumers {
        workers.push(Process::spawn(
            &format!("getter-{number}"),
            Gets::<T> { start: start.participant(), queue: consumer.clone(), batch: case.batch },
        )?);
    }
    for number in 0..case.producers {
        workers.push(Process::spawn(
            &format!("putter-{number}"),
            Puts::<T> {
                start: start.participant(),
                queue: producer.clone(),
                items: each,
                bytes: case.bytes,
                batch: case.batch,
            },
        )?);
    }
    drop((producer, consumer));
    let (begun, mut reports) = start.open(workers.len())?;
    let (mut got, mut sum) = (0, 0_u64);
    for _ in 0..case.consumers {
        let mut report = [0; 16];
        reports.read_exact(&mut report).context("the getters report")?;
        let [items, added] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|byte| report[at + byte])));
        (got, sum) = (got + items, sum.wrapping_add(added));
    }
    let sample = Sample::since(begun, got);
    for mut worker in workers {
        ensure!(worker.join()?.is_success(), "{:?}", worker.ended());
    }
    let expected = (0..each).fold(0_u64, |sum, number| sum.wrapping_add(T::make(number, case.bytes).sum()));
    ensure!(got == each * case.producers, "{got} of {} items arrived", each * case.producers);
    ensure!(sum == expected.wrapping_mul(case.producers), "other items arrived than were put");
    Ok(sample)
}
