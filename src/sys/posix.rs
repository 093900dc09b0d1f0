//! The POSIX counterparts, as a baseline for benchmarks. Not part of the library.

use std::cell::UnsafeCell;

use nix::libc;

use super::shm::{Shared, sign};

/// A process-shared `sem_t`.
#[repr(transparent)]
pub(crate) struct PosixSemaphore(UnsafeCell<libc::sem_t>);

// SAFETY: a process-shared semaphore is made to be used by many threads at once.
unsafe impl Sync for PosixSemaphore {}

// SAFETY: `sem_t` is `repr(C)`, made for shared memory and without drop glue; `init` runs before it is used.
unsafe impl Shared for PosixSemaphore {
    const SIGNATURE: u64 = sign(0, "sem_t");
}

impl PosixSemaphore {
    pub(crate) fn init(&self, value: u32) {
        // SAFETY: the memory is mapped, writable and not shared yet.
        let code = unsafe { libc::sem_init(self.0.get(), 1, value) };
        assert_eq!(code, 0, "a semaphore can be made");
    }

    pub(crate) fn wait(&self) {
        // SAFETY: initialised.
        while unsafe { libc::sem_wait(self.0.get()) } != 0 {}
    }

    pub(crate) fn post(&self) {
        // SAFETY: initialised.
        let code = unsafe { libc::sem_post(self.0.get()) };
        assert_eq!(code, 0, "far from its limit");
    }
}

/// A process-shared `pthread_barrier_t`.
#[repr(transparent)]
pub(crate) struct PosixBarrier(UnsafeCell<libc::pthread_barrier_t>);

// SAFETY: a process-shared barrier is made to be used by many threads at once.
unsafe impl Sync for PosixBarrier {}

// SAFETY: as for `PosixSemaphore`.
unsafe impl Shared for PosixBarrier {
    const SIGNATURE: u64 = sign(0, "pthread_barrier_t");
}

impl PosixBarrier {
    pub(crate) fn init(&self, parties: u32) {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: initialises the attributes that the pointer names, on our stack.
        unsafe { libc::pthread_barrierattr_init(attributes.as_mut_ptr()) };
        let shared = libc::PTHREAD_PROCESS_SHARED;
        // SAFETY: initialised by the line above.
        unsafe { libc::pthread_barrierattr_setpshared(attributes.as_mut_ptr(), shared) };
        // SAFETY: the memory is mapped, writable and not shared yet.
        let code = unsafe { libc::pthread_barrier_init(self.0.get(), attributes.as_ptr(), parties) };
        assert_eq!(code, 0, "a barrier can be made");
    }

    pub(crate) fn wait(&self) {
        // SAFETY: initialised.
        unsafe { libc::pthread_barrier_wait(self.0.get()) };
    }
}
