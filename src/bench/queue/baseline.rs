//! The same work without a queue between processes: a channel between threads, or only copying.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use anyhow::Result;

use super::Case;
use super::load::{Block, Load};
use crate::bench::workload::Sample;

/// Measures an item's time through a `sync_channel`, between threads. Its batches are single items.
pub(super) fn threads<T: Load>(case: Case, items: u64) -> Result<Sample> {
    let (sender, receiver) = mpsc::sync_channel(case.capacity);
    // A std channel has one receiver: two consumers have to share it.
    let receiver = Mutex::new(receiver);
    let each = items.div_ceil(case.producers);
    let begun = Instant::now();
    let items: u64 = thread::scope(|scope| {
        for _ in 0..case.producers {
            let sender = sender.clone();
            scope.spawn(move || {
                for number in 0..each {
                    if sender.send(T::make(number, case.bytes)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let count = || {
            let (mut items, mut sum) = (0_u64, 0_u64);
            let mut add = |item: T| (items, sum) = (items + 1, sum.wrapping_add(item.sum()));
            if case.consumers == 1 {
                receiver.lock().expect("no thread panics").iter().for_each(&mut add);
            } else {
                loop {
                    let next = receiver.lock().expect("no thread panics").recv();
                    let Ok(item) = next else { break };
                    add(item);
                }
            }
            std::hint::black_box(sum);
            items
        };
        let getters: Vec<_> = (0..case.consumers).map(|_| scope.spawn(count)).collect();
        getters.into_iter().map(|getter| getter.join().expect("no panic")).sum()
    });
    Ok(Sample::since(begun, items))
}

/// Copies blocks into a buffer and out of it again: the cost of moving them without any waiting.
pub(super) fn copies(bytes: usize, items: u64) -> Sample {
    let mut place = vec![0; bytes];
    let mut sum = 0_u64;
    let begun = Instant::now();
    for number in 0..items {
        place.copy_from_slice(&Block::make(number, bytes).0);
        let copy = Block(std::hint::black_box(&place).clone());
        sum = sum.wrapping_add(copy.sum());
    }
    let sample = Sample::since(begun, items);
    std::hint::black_box(sum);
    sample
}
