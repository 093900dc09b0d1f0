//! Page size, the memory available to this process, and memory for it alone.
//!
//! # Standard
//! `sysconf(3)`; `proc_meminfo(5)` `MemAvailable`; `cgroups(7)`: `memory.max` and `memory.current` of version 2,
//! `memory.limit_in_bytes` and `memory.usage_in_bytes` of version 1; `sysinfo(2)` where there is no `/proc`.

use std::fs;
use std::io;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc;
use nix::sys::sysinfo::sysinfo;
use nix::unistd::{SysconfVar, sysconf};

/// Returns the size of a memory page: a power of two that differs between machines.
pub(crate) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        let asked = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        asked.and_then(|bytes| usize::try_from(bytes).ok()).expect("POSIX requires a page size")
    })
}

/// Maps `bytes` zeroed bytes for this process alone. A page of them takes no memory before it is written.
pub(super) fn map_private(bytes: usize) -> io::Result<NonNull<libc::c_void>> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping, placed by the kernel.
    let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(Errno::last().into());
    }
    Ok(NonNull::new(memory).expect("mmap never returns null without MAP_FIXED"))
}

/// Checks that the kernel can give this process `bytes` more without killing processes to do so.
///
/// `fallocate` and page faults do not check: they use what there is and let the kernel kill processes, possibly this
/// one.
///
/// # Errors
/// `ENOMEM` if less is available.
pub(crate) fn check_available(bytes: u64) -> io::Result<()> {
    let sources = Sources { proc: Path::new("/proc"), cgroups: Path::new("/sys/fs/cgroup") };
    // The machine's total memory, if no source reports how much is available.
    let available = sources.available_bytes().or_else(|| sysinfo().ok().map(|machine| machine.ram_total()));
    if available.is_some_and(|available| available < bytes) { Err(Errno::ENOMEM.into()) } else { Ok(()) }
}

/// The files that report memory.
struct Sources<'a> {
    proc: &'a Path,
    cgroups: &'a Path,
}

/// File names of one version of control groups.
struct Hierarchy {
    limit: &'static str,
    used: &'static str,
    /// Fields of `memory.stat` for memory that is used but reclaimed before a process is killed.
    reclaimable: [&'static str; 2],
}

const VERSION_1: Hierarchy = Hierarchy {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: ["total_inactive_file", "total_active_file"],
};
const VERSION_2: Hierarchy =
    Hierarchy { limit: "memory.max", used: "memory.current", reclaimable: ["inactive_file", "active_file"] };

impl Sources<'_> {
    /// Returns the minimum of what is left on the machine and in each control group of this process; `None` if none
    /// reports it.
    fn available_bytes(&self) -> Option<u64> {
        // Without `/proc` the group is unknown; inside a container its own group is the root of the mounted hierarchy.
        let groups =
            fs::read_to_string(self.proc.join("self/cgroup")).unwrap_or_else(|_| "0::/\n0:memory:/".to_owned());
        let in_groups = groups.lines().flat_map(|line| self.rooms_of(line));
        self.of_the_machine().into_iter().chain(in_groups).min()
    }

    fn of_the_machine(&self) -> Option<u64> {
        let text = fs::read_to_string(self.proc.join("meminfo")).ok()?;
        Some(field(&text, "MemAvailable:")? * 1024)
    }

    /// Returns what is left in the group of a line of `/proc/self/cgroup`, and in its ancestors.
    fn rooms_of(&self, line: &str) -> Vec<u64> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (mounts, files): (&[&str], _) = match controllers {
            "" => (&["", "unified"], &VERSION_2),
            controllers if controllers.split(',').any(|name| name == "memory") => (&["memory"], &VERSION_1),
            _ => return Vec::new(),
        };
        let around = || Path::new(path).ancestors().filter_map(|group| group.strip_prefix("/").ok());
        let groups = mounts.iter().flat_map(|mount| around().map(move |group| self.cgroups.join(mount).join(group)));
        groups.filter_map(|group| files.room_in(&group)).collect()
    }
}

impl Hierarchy {
    /// Returns how many more bytes the group may use; `None` if it has no limit or does not exist.
    fn room_in(&self, group: &Path) -> Option<u64> {
        let number = |file| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
        // "max" is not a number, and version 1's maximum exceeds any machine's memory.
        let limit = number(self.limit).filter(|limit| *limit < 1 << 60)?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let reclaimable: u64 = self.reclaimable.iter().filter_map(|name| field(&stat, name)).sum();
        Some(limit.saturating_sub(number(self.used)?.saturating_sub(reclaimable)))
    }
}

/// Returns the number after `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| if words.next() == Some(name) { words.next()?.parse().ok() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// Returns what is available to a process on a machine with these files.
    fn available(files: &[(&str, &str)]) -> Option<u64> {
        let root = TempDir::new().expect("a directory");
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it lies in a directory")).expect("made");
            fs::write(path, content).expect("written");
        }
        Sources { proc: &root.path().join("proc"), cgroups: &root.path().join("cgroup") }.available_bytes()
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    1000 kB\n");
    const MACHINE_HAS: u64 = 1000 * 1024;

    #[test]
    fn machine_without_groups_gives_what_is_available() {
        assert_eq!(available(&[MACHINE]), Some(MACHINE_HAS));
    }

    #[test]
    fn machine_that_says_nothing_refuses_nothing() {
        assert_eq!(available(&[]), None);
        assert_eq!(available(&[("proc/meminfo", "MemTotal: 9 kB\n"), ("proc/self/cgroup", "nonsense\n0::\n")]), None);
    }

    #[test]
    fn tightest_group_around_the_process_counts() {
        let groups = [
            MACHINE,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("cgroup/memory.stat", "anon 5\n"),
            ("cgroup/outer/memory.max", "5000\n"),
            ("cgroup/outer/memory.current", "4000\n"),
            ("cgroup/outer/memory.stat", "anon 3000\nfile 900\ninactive_file 300\nactive_file 200\n"),
            ("cgroup/outer/inner/memory.max", "max\n"),
            ("cgroup/outer/inner/memory.current", "4000\n"),
        ];
        assert_eq!(available(&groups), Some(5000 - (4000 - 500)), "files that were read are given up first");
    }

    #[test]
    fn groups_of_the_first_version_count_as_well() {
        let lines = "9:cpu,cpuacct:/slow\n4:hugetlb,memory:/docker/17\n0::/\n";
        let group = |place: &'static str| {
            [
                MACHINE,
                ("proc/self/cgroup", lines),
                (
                    if place == "root" {
                        "cgroup/memory/memory.limit_in_bytes"
                    } else {
                        "cgroup/memory/docker/17/memory.limit_in_bytes"
                    },
                    "700",
                ),
                (
                    if place == "root" {
                        "cgroup/memory/memory.usage_in_bytes"
                    } else {
                        "cgroup/memory/docker/17/memory.usage_in_bytes"
                    },
                    "650",
                ),
                ("cgroup/memory/docker/memory.limit_in_bytes", "9223372036854771712\n"),
            ]
        };
        assert_eq!(available(&group("group")), Some(50));
        assert_eq!(available(&group("root")), Some(50), "a container whose own group is mounted as the root");
    }

    #[test]
    fn group_is_found_without_proc() {
        assert_eq!(available(&[("cgroup/memory.max", "90"), ("cgroup/memory.current", "80")]), Some(10));
        let first = [("cgroup/memory/memory.limit_in_bytes", "90"), ("cgroup/memory/memory.usage_in_bytes", "95")];
        assert_eq!(available(&first), Some(0));
    }

    #[test]
    fn this_machine_has_a_page_and_no_exabyte() {
        assert!(page_bytes().is_power_of_two());
        check_available(page_bytes() as u64).expect("one more page");
        assert_eq!(check_available(1 << 60).expect_err("too much").raw_os_error(), Some(Errno::ENOMEM as i32));
    }
}
