//! Linux, and nothing but Linux: shared mappings, futexes, robust mutexes, descriptors, process start and signals.
//!
//! The only place with `unsafe`. Every module here offers a safe face over one facility of the kernel or of glibc, and
//! knows nothing of locks, queues or workers. Errors are [`std::io::Error`]: what the call was for is known one floor up.
//!
//! Needs Linux 5.16 or later on a 64-bit machine and glibc 2.34 or later (robust process-shared mutexes with
//! `pthread_mutex_clocklock`, `posix_spawn_file_actions_addclosefrom_np`).
#![allow(unsafe_code, reason = "this is the one floor that talks to the kernel")]

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
compile_error!(
    "ipc_demo needs 64-bit Linux with glibc: its crash safety rests on the kernel's robust futexes and glibc's robust mutexes"
);

pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod exec;
pub(crate) mod fd;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod life;
pub(crate) mod posix;
pub(crate) mod robust;
#[cfg(debug_assertions)]
pub(crate) mod sabotage;
pub(crate) mod shm;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod task;
pub(crate) mod trace;
