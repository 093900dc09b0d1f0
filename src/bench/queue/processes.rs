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
        let Gets { start, queue, case } = self;
        Count::report(start, |count| get_all(&queue, case.batch, |item: T| count.add(item.sum())))
    }
}

/// What a getter has got.
#[derive(Default)]
pub(super) struct Count {
    items: u64,
    sum: u64,
}

impl Count {
    /// Counts one item more.
    pub(super) fn add(&mut self, sum: u64) {
        (self.items, self.sum) = (self.items + 1, self.sum.wrapping_add(sum));
    }

    /// Calls `get_all` from the start until the queue ends, which is an error, and reports what it has counted.
    pub(super) fn report(start: Participant, get_all: impl FnOnce(&mut Count) -> crate::Result<()>) -> RoleResult {
        let mut report = start.wait()?;
        let mut count = Count::default();
        match get_all(&mut count) {
            Err(Error::Disconnected) => {}
            ended => ended?,
        }
        report.write_all([count.items, count.sum].map(u64::to_le_bytes).as_flattened())?;
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
    let gets = move |name: &str, start| Process::spawn(name, Gets { start, queue: consumer.clone(), case });
    let puts =
        move |name: &str, start, items| Process::spawn(name, Puts { start, queue: producer.clone(), case, items });
    measured(case, items, gets, puts, |number| T::make(number, case.bytes).sum())
}

/// Measures an item's time between processes that `gets` and `puts` start, which have the only handles of the queue.
/// `sum_of` returns what a getter counts for an item.
pub(super) fn measured(
    case: Case,
    items: u64,
    gets: impl Fn(&str, Participant) -> crate::Result<Process>,
    puts: impl Fn(&str, Participant, u64) -> crate::Result<Process>,
    mut sum_of: impl FnMut(u64) -> u64,
) -> Result<Sample> {
    let start = StartBarrier::new()?;
    let each = items.div_ceil(case.producers);
    let mut workers = Vec::new();
    for number in 0..case.consumers {
        workers.push(gets(&format!("getter-{number}"), start.participant())?);
    }
    for number in 0..case.producers {
        workers.push(puts(&format!("putter-{number}"), start.participant(), each)?);
    }
    drop((gets, puts));
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
    let expected = (0..each).fold(0_u64, |sum, number| sum.wrapping_add(sum_of(number)));
    ensure!(got == each * case.producers, "{got} of {} items arrived", each * case.producers);
    ensure!(sum == expected.wrapping_mul(case.producers), "other items arrived than were put");
    Ok(sample)
}
