//! The bounded semaphore of the textbook queue: as many permits as the queue has room.
//!
//! # State
//! The number of free permits, one word that its sleepers sleep on while it is 0.
//!
//! # Ordering
//! None: the items go through the kernel.
//!
//! # Death
//! A permit belongs to nobody, as in every counting semaphore: what a killed process had taken stays taken.
//!
//! # Standard
//! Python `multiprocessing.BoundedSemaphore`. Its place is for the family's own, whose calls these are.

use std::time::Duration;

use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Result, os};
use crate::ipc::share::{Adopted, Parcel, Share};
use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sys::futex;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    struct SlotsState = b"slots   " { free: AtomicU32, bound: AtomicU32 }
}

#[derive(Debug)]
pub(crate) struct Slots {
    state: Mapping<SlotsState>,
}

impl Slots {
    pub(crate) fn new(value: u32) -> Result<Self> {
        let init = |state: &SlotsState| {
            state.free.store(value, Relaxed);
            state.bound.store(value, Relaxed);
            Ok(())
        };
        Ok(Slots { state: Mapping::create(0, init).map_err(os("make the slots of a queue"))? })
    }

    pub(crate) fn try_acquire(&self) -> bool {
        self.state.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    pub(crate) fn acquire_timeout(&self, timeout: Duration) -> bool {
        let deadline = Deadline::after(timeout);
        while !self.try_acquire() {
            if !futex::wait(&self.state.free, 0, deadline.at_ns()) {
                return self.try_acquire();
            }
        }
        true
    }

    /// Gives a permit back. One too many has no place and is not counted.
    pub(crate) fn release(&self) -> Result<()> {
        if self.state.free.load(Relaxed) < self.state.bound.load(Relaxed) {
            futex::add_one_and_wake_all(&self.state.free);
        }
        Ok(())
    }

    pub(crate) fn get_value(&self) -> u32 {
        self.state.free.load(Relaxed)
    }
}

impl Share for Slots {
    const KIND: &'static str = "slots";

    fn lend(&self, parcel: &mut Parcel) -> Result<()> {
        parcel.add(self.state.memfd())
    }

    fn adopt(parcel: &mut Adopted) -> Result<Self> {
        Ok(Slots { state: Mapping::open(parcel.descriptor()?).map_err(os("open the slots of a queue"))? })
    }
}
