//! The record of a thread's wait for a lock, in the process table; see `process::wait_record`.

use crate::ipc::operation::ObjectId;
use crate::ipc::process::table::ProcessTable;
use crate::ipc::process::wait_record::{FILLING, PLACES, WaitState};
use crate::sys::atomic::Ordering::{AcqRel, Relaxed, Release};
use crate::sys::clock::monotonic_ns;
use crate::sys::robust::{RobustMutex, own_tid};

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
