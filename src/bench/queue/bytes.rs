//! Bytes through a queue between processes, copied in and out, or written and read in place.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Case;
use super::load::sum_of;
use super::processes::{Count, measured};
use crate::bench::start_barrier::Participant;
use crate::bench::workload::Sample;
use crate::{Consumer, Process, Producer, Queue, Role, RoleResult};

/// How bytes get into the queue and out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// Through buffers that are used again.
    Copied,
    /// Written and read where they are.
    InPlace,
    /// Likewise, but only the first and the last byte.
    Ends,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PutsBytes {
    start: Participant,
    queue: Producer<[u8]>,
    case: Case,
    way: Way,
    items: u64,
}

impl Role for PutsBytes {
    const NAME: &'static str = "bench.puts-bytes";

    fn run(self) -> RoleResult {
        let PutsBytes { queue, case, way, .. } = self;
        let mut buffer = vec![0; if way == Way::Copied { case.bytes } else { 0 }];
        self.start.wait()?;
        for number in 0..self.items {
            if way == Way::Copied {
                write(&mut buffer, number, way);
                queue.put_bytes(&buffer)?;
            } else {
                let mut place = queue.reserve(case.bytes)?;
                write(&mut place, number, way);
                place.commit()?;
            }
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct GetsBytes {
    start: Participant,
    queue: Consumer<[u8]>,
    way: Way,
}

impl Role for GetsBytes {
    const NAME: &'static str = "bench.gets-bytes";

    fn run(self) -> RoleResult {
        let GetsBytes { start, queue, way } = self;
        Count::report(start, |count| {
            let mut buffer = Vec::new();
            loop {
                if way == Way::Copied {
                    queue.get_into(&mut buffer)?;
                    count.add(read(&buffer, way));
                } else {
                    count.add(read(&queue.get_ref()?, way));
                }
            }
        })
    }
}

fn write(place: &mut [u8], number: u64, way: Way) {
    match place {
        [first, .., last] if way == Way::Ends => (*first, *last) = (number as u8, number as u8),
        place => place.fill(number as u8),
    }
}

fn read(place: &[u8], way: Way) -> u64 {
    match place {
        [first, .., last] if way == Way::Ends => u64::from(*first) + u64::from(*last),
        place => sum_of(place),
    }
}

/// Measures an item's time through a queue of bytes, between processes.
pub(super) fn bytes(case: Case, way: Way, items: u64) -> Result<Sample> {
    let queue = Queue::<[u8]>::bounded(case.capacity)?;
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let gets = move |name: &str, start| Process::spawn(name, GetsBytes { start, queue: consumer.clone(), way });
    let puts = move |name: &str, start, items| {
        Process::spawn(name, PutsBytes { start, queue: producer.clone(), case, way, items })
    };
    let mut expected = vec![0; case.bytes];
    measured(case, items, gets, puts, |number| {
        write(&mut expected, number, way);
        read(&expected, way)
    })
}
