//! The lock, uncontended: taking it and giving it back.

use std::time::Instant;

use super::{Side, Workload};
use crate::ipc::Lock;
use crate::sys::robust::RobustMutex;
use crate::sys::shm::{Mapping, shared_layout};

const PAIRS: u32 = 1_000_000;

pub(super) static UNCONTENDED: Workload = Workload {
    name: "lock",
    about: "take and give back a lock that nobody else wants",
    sides: &[
        Side { name: "Lock", ns_per_operation: ours },
        Side { name: "robust pthread mutex", ns_per_operation: bare },
    ],
};

shared_layout! {
    struct Bare = b"bare    " { mutex: RobustMutex }
}

fn ours() -> anyhow::Result<f64> {
    let lock = Lock::new()?;
    let begun = Instant::now();
    for _ in 0..PAIRS {
        drop(lock.acquire()?);
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(PAIRS))
}

fn bare() -> anyhow::Result<f64> {
    let bare = Mapping::create(0, |bare: &Bare| bare.mutex.init())?;
    let begun = Instant::now();
    for _ in 0..PAIRS {
        bare.mutex.lock(None);
        bare.mutex.unlock();
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(PAIRS))
}
