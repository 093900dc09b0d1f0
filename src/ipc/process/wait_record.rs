//! The records in the process table of threads that wait for locks.
//!
//! # State
//! A place belongs to one waiting thread, from the moment it would sleep until it has the lock or gives up: `owner`
//! goes from 0 (or a dead process's) to FILLING, to the owner, to 0. `looked_ns` is when the waiter last looked at the
//! holder of the lock it waits for, 0 during the look. Only the slow path of a lock comes here.
//!
//! # Ordering
//! `owner` and `looked_ns` frame the other words like the counter of a sequence lock: everything is stored with
//! `Release` and loaded with `Acquire`, and a reader that finds the frame unchanged has read a consistent record.
//!
//! # Death
//! The place of a dead process is ignored and reused.

use super::table::ProcessTable;
use crate::ipc::operation::ObjectId;
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::clock::monotonic_ns;
use crate::sys::robust::{RobustMutex, own_tid};
use crate::sys::shm::shared_layout;

/// Maximum number of threads on record at once.
pub(crate) const PLACES: usize = 4096;

/// Set in an owner whose place is not filled in yet. Thread ids stay far below.
const FILLING: u64 = 1 << 31;

shared_layout! {
    pub(crate) struct WaitState {
        /// The waiter's slot and thread id.
        owner: AtomicU64,
        begun_ns: AtomicU64,
        looked_ns: AtomicU64,
        lock: AtomicU64,
        holder: AtomicU32,
        pid: AtomicU32,
    }
}

/// The content of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: u64,
    pub(crate) pid: u32,
    pub(crate) begun_ns: u64,
    pub(crate) lock: ObjectId,
    pub(crate) holder: u32,
    pub(crate) looked_ns: u64,
}

impl Record {
    /// The kernel's id of the waiting thread.
    pub(crate) fn thread(&self) -> u32 {
        self.owner as u32
    }

    /// Returns the waiting process's slot in the process table, as a word.
    pub(crate) fn slot(&self) -> u32 {
        (self.owner >> 32) as u32
    }

    /// Returns whether `other` is a record of the same wait.
    pub(crate) fn is_same_wait(&self, other: &Record) -> bool {
        (self.owner, self.begun_ns, self.lock) == (other.owner, other.begun_ns, other.lock)
    }
}

impl WaitState {
    /// Reads the place; `None` if it is free, or while it changes.
    pub(crate) fn read(&self) -> Option<Record> {
        let (owner, looked_ns) = (self.owner.load(Acquire), self.looked_ns.load(Acquire));
        if owner == 0 || owner & FILLING != 0 || looked_ns == 0 {
            return None;
        }
        let record = Record {
            owner,
            pid: self.pid.load(Acquire),
            begun_ns: self.begun_ns.load(Acquire),
            lock: ObjectId::from_word(self.lock.load(Acquire)),
            holder: self.holder.load(Acquire),
            looked_ns,
        };
        let unchanged = (self.owner.load(Acquire), self.looked_ns.load(Acquire)) == (owner, looked_ns);
        unchanged.then_some(record)
    }
}

/// The record of this thread's wait for a lock. Dropping it removes the record.
pub(crate) struct Waiting(&'static WaitState);

impl Waiting {
    /// Records this thread's wait. `None` if there is no process table or no place.
    pub(crate) fn begin(lock: ObjectId) -> Option<Self> {
        let process_table = ProcessTable::ours().ok()?;
        let thread = own_tid();
        let owner = u64::from(process_table.me().to_word()) << 32 | u64::from(thread);
        let places = process_table.waits();
        let place = (0..PLACES).map(|step| &places[(thread as usize + step) % PLACES]).find(|place| {
            let now = place.owner.load(Relaxed);
            !process_table.is_living((now >> 32) as u32)
                && place.owner.compare_exchange(now, owner | FILLING, AcqRel, Relaxed).is_ok()
        })?;
        place.begun_ns.store(monotonic_ns(), Release);
        place.looked_ns.store(0, Release);
        place.lock.store(lock.to_word(), Release);
        place.pid.store(std::process::id(), Release);
        place.owner.store(owner, Release);
        Some(Waiting(place))
    }

    /// Records the current holder of the lock.
    pub(crate) fn look_at(&self, mutex: &RobustMutex) {
        // Before the look and not after it: a thread that has waited since before this time has held the lock all
        // along.
        let now_ns = monotonic_ns();
        self.0.looked_ns.store(0, Release);
        self.0.holder.store(mutex.owner_tid().unwrap_or(0), Release);
        self.0.looked_ns.store(now_ns, Release);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.owner.store(0, Release);
    }
}
