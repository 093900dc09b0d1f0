//! The machine of the measurement: without it, a number is meaningless.

use std::fs;
use std::thread;

use serde::Serialize;

/// What a result depends on most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: cpu(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }

    /// Returns it as one line.
    pub(super) fn line(&self) -> String {
        let Machine { cpu, cores, kernel } = self;
        format!("{cpu} · {cores} {} · Linux {kernel}", if *cores == 1 { "core" } else { "cores" })
    }
}

/// Returns the processor's name from `/proc/cpuinfo`, or its architecture if none is listed, as on ARM.
fn cpu(info: &str) -> String {
    let fields = info.lines().filter_map(|line| line.split_once(':'));
    let mut named = fields.filter(|(field, _)| field.trim() == "model name").map(|(_, name)| name.trim().to_owned());
    named.next().filter(|name| !name.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_has_a_name() {
        assert_eq!(cpu("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags: a b\n"), "Some CPU @ 2 GHz");
        assert_eq!(cpu("processor\t: 0\nBogoMIPS\t: 50.00\n"), std::env::consts::ARCH);
        assert_eq!(cpu(""), std::env::consts::ARCH);
    }

    #[test]
    fn machine_is_one_line() {
        let machine = Machine { cpu: "Some CPU".to_owned(), cores: 2, kernel: "6.1.0".to_owned() };
        assert_eq!(machine.line(), "Some CPU · 2 cores · Linux 6.1.0");
        assert!(!Machine::here().line().contains('\n'));
    }
}
