//! Deadlock detection: finds threads that wait for each other in a cycle.
//!
//! # State
//! Every waiter's record names the lock it waits for and the thread that held it when the waiter last looked (at least
//! every 100 ms). A cycle of such records is a deadlock if each holder began its own wait before the look that saw it
//! holding, and all still wait: a waiting thread releases nothing, so everything seen holds at one moment, now. A cycle
//! with older looks may be a deadlock or not; the next look decides.
//!
//! # Death
//! A dead process waits for nothing: its records do not count.
//!
//! # Standard
//! Python has no counterpart. The wait-for graph is that of E. G. Coffman, M. Elphick and A. Shoshani, "System
//! Deadlocks", 1971; with one lock per waiter it has one edge per node, so a cycle of any length is found in linear
//! time.

use std::collections::HashMap;
use std::fmt;

use super::holder::Holder;
use crate::ipc::error::Result;
use crate::ipc::operation::ObjectId;
use crate::ipc::process::table::ProcessTable;
use crate::ipc::process::wait_record::{Record, WaitState};

/// A lock, identified by the number that it has in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockId(pub(crate) ObjectId);

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {}", self.0)
    }
}

/// One link of a deadlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The waiting thread.
    pub waiter: Holder,
    /// The lock it holds, for which the previous one in the cycle waits.
    pub holds: LockId,
    /// The lock it waits for.
    pub waits_for: LockId,
    /// The holder of that lock: the next waiter in the cycle.
    pub held_by: Holder,
}

/// Looks for a deadlock among all processes of the process table: a cycle of waiters of [`Lock`](crate::Lock)s and
/// [`RLock`](crate::RLock)s, each waiting for a lock that the next one holds. Does not block.
///
/// A deadlock is found at most 100 ms after it arises, and what is found was one at the time of the call. It remains
/// one until one of its waits times out or one of its processes ends.
///
/// # Errors
/// The error that kept this process from joining a process table.
pub fn find_deadlock() -> Result<Option<Vec<Wait>>> {
    let process_table = ProcessTable::ours()?;
    let is_alive = |record: &Record| process_table.is_living(record.slot());
    let read = |wait: &'static WaitState| Some((wait, wait.read().filter(is_alive)?));
    let (waits, records): (Vec<&WaitState>, Vec<Record>) = process_table.waits().iter().filter_map(read).unzip();
    // A thread that still waits now has waited ever since its record was read, so the whole cycle existed at one
    // moment.
    let still_waits = |&link: &usize| waits[link].read().is_some_and(|now| now.is_same_wait(&records[link]));
    let ring = ring_among(&records).filter(|ring| ring.iter().all(still_waits));
    Ok(ring.map(|ring| describe(&records, &ring)))
}

/// Returns the indices of records that form a cycle, in its order.
fn ring_among(records: &[Record]) -> Option<Vec<usize>> {
    let by_thread: HashMap<u32, usize> = records.iter().enumerate().map(|(at, record)| (record.thread(), at)).collect();
    let next = |at: usize| {
        let next = *by_thread.get(&records[at].holder)?;
        (records[next].begun_ns <= records[at].looked_ns).then_some(next)
    };
    // Marks which walk visited a record: a walk that meets its own mark has found a cycle.
    let mut walked = vec![None; records.len()];
    for first in 0..records.len() {
        let mut at = first;
        while walked[at].is_none() {
            walked[at] = Some(first);
            match next(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        if walked[at] == Some(first) && next(at).is_some() {
            let behind = std::iter::successors(next(at), |&link| next(link));
            return Some(std::iter::once(at).chain(behind.take_while(|&link| link != at)).collect());
        }
    }
    None
}

fn describe(records: &[Record], ring: &[usize]) -> Vec<Wait> {
    let links: Vec<&Record> = ring.iter().map(|&at| &records[at]).collect();
    let who = |record: &Record| Holder { pid: record.pid, thread: record.thread() };
    let link = |at: usize| {
        let (before, next) = (links[(at + links.len() - 1) % links.len()], links[(at + 1) % links.len()]);
        Wait {
            waiter: who(links[at]),
            holds: LockId(before.lock),
            waits_for: LockId(links[at].lock),
            held_by: who(next),
        }
    };
    (0..links.len()).map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(number: u32) -> ObjectId {
        ObjectId::from_word(number.into())
    }

    /// Thread `thread` waits since `begun_ns` for the lock of the same number, and saw `holder` hold it at `looked_ns`.
    fn record(thread: u32, holder: u32, begun_ns: u64, looked_ns: u64) -> Record {
        Record { owner: 1 << 32 | u64::from(thread), pid: thread, begun_ns, lock: lock(thread), holder, looked_ns }
    }

    fn ring(records: &[Record]) -> Option<Vec<u32>> {
        ring_among(records).map(|ring| ring.iter().map(|&at| records[at].thread()).collect())
    }

    #[test]
    fn chain_is_no_ring() {
        assert_eq!(ring(&[]), None);
        assert_eq!(ring(&[record(1, 2, 1, 9), record(2, 3, 1, 9)]), None);
    }

    #[test]
    fn rings_of_any_length_are_found() {
        for length in [2, 3, 10, 1000] {
            let records: Vec<_> = (1..=length).map(|thread| record(thread, thread % length + 1, 1, 9)).collect();
            assert_eq!(ring(&records), Some((1..=length).collect()));
        }
    }

    #[test]
    fn ring_behind_a_chain_is_found_without_the_chain() {
        let records = [record(7, 5, 1, 9), record(5, 6, 1, 9), record(6, 5, 1, 9), record(8, 7, 1, 9)];
        assert_eq!(ring(&records), Some(vec![5, 6]));
    }

    #[test]
    fn look_from_before_the_holder_waited_proves_nothing() {
        // 2 began to wait at 5, after 1 had looked: by then it may have released what 1 saw it hold.
        assert_eq!(ring(&[record(1, 2, 1, 4), record(2, 1, 5, 6)]), None);
        assert_eq!(ring(&[record(1, 2, 1, 5), record(2, 1, 5, 6)]), Some(vec![1, 2]));
    }

    #[test]
    fn every_link_names_what_it_holds_and_waits_for() {
        let records = [record(1, 2, 1, 9), record(2, 3, 1, 9), record(3, 1, 1, 9)];
        let links = describe(&records, &[0, 1, 2]);
        let ids = |wait: &Wait| (wait.waiter.pid, wait.holds.0, wait.waits_for.0, wait.held_by.pid);
        assert_eq!(
            links.iter().map(ids).collect::<Vec<_>>(),
            [(1, lock(3), lock(1), 2), (2, lock(1), lock(2), 3), (3, lock(2), lock(3), 1)]
        );
    }
}
