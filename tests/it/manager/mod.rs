//! A manager and its clients, in processes of their own.

pub(crate) mod barrier;
pub(crate) mod client;
pub(crate) mod hosts;
mod listener;
pub(crate) mod sharing;

use std::fs::File;
use std::os::fd::AsFd;

use ipc_demo::Process;
use ipc_demo::manager::{Manager, ManagerBuilder};

/// Starts a manager as the tests start all workers.
pub(crate) fn start_manager(options: impl FnOnce(ManagerBuilder<'_>) -> ManagerBuilder<'_>) -> Manager {
    // The worker's test harness writes to stdout.
    let null = File::options().write(true).open("/dev/null").expect("there is a null device");
    let process = Process::builder().program("/proc/self/exe", &["worker_entry", "--exact", "--test-threads=1"]);
    options(Manager::builder().process(process.stdout(null.as_fd()))).start().expect("the manager starts")
}
