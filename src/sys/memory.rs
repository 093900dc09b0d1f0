//! How much memory there is: of a page, and for this process.
//!
//! # Standard
//! `sysconf(3)`; `proc_meminfo(5)` `MemAvailable`; `cgroups(7)`: `memory.max` and `memory.current` of version 2,
//! `memory.limit_in_bytes` and `memory.usage_in_bytes` of version 1; `sysinfo(2)` where there is no `/proc`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::sysinfo::sysinfo;
use nix::unistd::{SysconfVar, sysconf};

/// Size of a page of memory: a power of two, and not the same on every machine.
pub(crate) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        let asked = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        asked.and_then(|bytes| usize::try_from(bytes).ok()).expect("POSIX requires a page size")
    })
}

/// Checks that the kernel can give this process `bytes` more without ending processes for it.
///
/// `fallocate` and page faults do not ask: they take what there is and let the kernel end processes, this one perhaps.
///
/// # Errors
/// `ENOMEM` if there are fewer.
pub(crate) fn check_available(bytes: u64) -> io::Result<()> {
    let sources = Sources { proc: Path::new("/proc"), cgroups: Path::new("/sys/fs/cgroup") };
    // What the machine has at all, where nothing says how much of it is free.
    let available = sources.available_bytes().or_else(|| sysinfo().ok().map(|machine| machine.ram_total()));
    if available.is_some_and(|available| available < bytes) { Err(Errno::ENOMEM.into()) } else { Ok(()) }
}

/// The files that tell of memory.
struct Sources<'a> {
    proc: &'a Path,
    cgroups: &'a Path,
}

/// How one version of control groups names its files.
struct Hierarchy {
    limit: &'static str,
    used: &'static str,
    /// Fields of `memory.stat` that are used, and given up before a process is ended.
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
    /// The least of what the machine and every control group of this process still have; `None` if none of them says.
    fn available_bytes(&self) -> Option<u64> {
        // Without `/proc` the group is not known; inside a container its own is the root of what is mounted.
        let groups =
            fs::read_to_string(self.proc.join("self/cgroup")).unwrap_or_else(|_| "0::/\n0:memory:/".to_owned());
        let in_groups = groups.lines().flat_map(|line| self.rooms_of(line));
        self.of_the_machine().into_iter().chain(in_groups).min()
    }

    fn of_the_machine(&self) -> Option<u64> {
        let text = fs::read_to_string(self.proc.join("meminfo")).ok()?;
        Some(field(&text, "MemAvailable:")? * 1024)
    }

    /// What is left in the group of a line of `/proc/self/cgroup`, and in those around it.
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
    /// How many bytes the group may still take; `None` if it has no limit, or is not there.
    fn room_in(&self, group: &Path) -> Option<u64> {
        let number = |file| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
        // "max" is no number, and the first version's highest is more than any machine has.
        let limit = number(self.limit).filter(|limit| *limit < 1 << 60)?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let reclaimable: u64 = self.reclaimable.iter().filter_map(|name| field(&stat, name)).sum();
        Some(limit.saturating_sub(number(self.used)?.saturating_sub(reclaimable)))
    }
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| if words.next() == Some(name) { words.next()?.parse().ok() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// What a machine with these files has for a process.
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
