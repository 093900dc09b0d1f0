//! Items through a queue between processes.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Case;
use super::load::Load;
use crate::bench::start_barrier::{Participant, StartBarrier, join_all};
use crate::bench::workload::Sample;
use crate::queue::{GetEnd, PutEnd};
use crate::{Consumer, Error, Process, Producer, Queue, Role, RoleResult};

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Puts<T> {
    start: Participant,
    queue: Producer<T>,
    case: Case,
    items: u64,
}

impl<T: Load> Role for Puts<T> {
    const NAME: &'static str = T::PUTS;

    fn run(self) -> RoleResult {
        self.start.wait()?;
        Ok(put_all(&self.queue, self.items, self.case)?)
    }
}

fn put_all<T: Load>(queue: &impl PutEnd<T>, items: u64, case: Case) -> crate::Result<()> {
    let Case { bytes, batch, .. } = case;
    if batch == 1 {
        return (0..items).try_for_each(|number| Ok(queue.put(T::make(number, bytes))?));
    }
    let mut together = Vec::with_capacity(batch);
    for first in (0..items).step_by(batch) {
        together.clear();
        together.extend((first..items.min(first + batch as u64)).map(|number| T::make(number, bytes)));
        queue.put_many(&together)?;
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Gets<T> {
    start: Participant,
    queue: Consumer<T>,
    case: Case,
}

impl<T: Load> Role for Gets<T> {
    const NAME: &'static str = T::GETS;

    fn run(self) -> RoleResult {
        let mut report = self.start.wait()?;
        let (mut items, mut sum) = (0_u64, 0_u64);
        match get_all(&self.queue, self.case.batch, |item| (items, sum) = (items + 1, sum.wrapping_add(item.sum()))) {
            Err(Error::Disconnected) => {}
            ended => ended?,
        }
        let mut bytes = items.to_le_bytes().to_vec();
        bytes.extend_from_slice(&sum.to_le_bytes());
        report.write_all(&bytes)?;
        Ok(())
    }
}

/// Gets until the queue ends, which is an error.
fn get_all<T>(queue: &impl GetEnd<T>, batch: usize, mut add: impl FnMut(T)) -> crate::Result<()> {
    loop {
        if batch == 1 {
            add(queue.get()?);
        } else {
            queue.get_many(batch)?.into_iter().try_for_each(|item| item.map(&mut add))?;
        }
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
        let gets = Gets { start: start.participant(), queue: consumer.clone(), case };
        workers.push(Process::spawn(&format!("getter-{number}"), gets)?);
    }
    for number in 0..case.producers {
        let puts = Puts { start: start.participant(), queue: producer.clone(), case, items: each };
        workers.push(Process::spawn(&format!("putter-{number}"), puts)?);
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
    join_all(workers)?;
    let expected = (0..each).fold(0_u64, |sum, number| sum.wrapping_add(T::make(number, case.bytes).sum()));
    ensure!(got == each * case.producers, "{got} of {} items arrived", each * case.producers);
    ensure!(sum == expected.wrapping_mul(case.producers), "other items arrived than were put");
    Ok(sample)
}
