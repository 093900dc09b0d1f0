//! Linux, and only Linux: shared mappings, futexes, robust mutexes, descriptors, process start and signals.
//!
//! The only place with `unsafe`. Every module here is a safe interface to one facility of the kernel or of glibc (`same_type`:
//! of the compiler), and knows nothing of locks, queues or workers. Errors are [`std::io::Error`]; callers add what the call was for.
//!
//! Needs Linux 5.14 or later on a 64-bit machine and glibc 2.34 or later (robust process-shared mutexes with
//! `pthread_mutex_clocklock`, `posix_spawn_file_actions_addclosefrom_np`).
#![allow(unsafe_code, reason = "this is the one floor that talks to the kernel")]

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
compile_error!(
    "ipc_demo needs 64-bit Linux with glibc: its crash safety rests on the kernel's robust futexes and glibc's robust mutexes"
);

/// The types of error numbers, signals and process ids in this layer's interface.
pub(crate) use nix::{errno::Errno, sys::signal::Signal, unistd::Pid};

pub(crate) mod affinity;
pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod exec;
#[cfg(all(debug_assertions, feature = "cli"))]
pub(crate) mod failpoint;
pub(crate) mod fd;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod group;
pub(crate) mod life;
pub(crate) mod membarrier;
pub(crate) mod memfd;
pub(crate) mod memory;
pub(crate) mod number;
pub(crate) mod posix;
mod retry;
pub(crate) mod robust;
pub(crate) mod same_type;
pub(crate) mod shm;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod task;
#[cfg(feature = "cli")]
pub(crate) mod terminal;
#[cfg(feature = "cli")]
pub(crate) mod trace;

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Returns all files of a folder and of those in it.
    pub(crate) fn sources_in(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.flat_map(|path| if path.is_dir() { sources_in(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn nothing_else_names_the_kernels_calls() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let names_them = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().any(|line| line.contains("nix::") && !line.contains("os::unix::"))
        };
        let elsewhere = sources_in(&src).into_iter().filter(|path| !path.starts_with(src.join("sys")));
        let found: Vec<PathBuf> = elsewhere.filter(names_them).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
