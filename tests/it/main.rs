//! Everything that needs real processes, through the public interface and the real binary.
//!
//! This program is also the worker program of its own library tests: see [`worker_entry`].
//!
//! | module | what it shows |
//! |---|---|
//! | `harness`, `roles` | how the tests start workers and the binary; the roles that only tests use |
//! | `process` | start, join, exit status, failures, and who dies with whom |
//! | `inheritance` | a worker has exactly the descriptors that its role names |
//! | `lock` | exclusion between processes, and what becomes of a killed holder's lock |
//! | `cli` | bad input, exit codes, a closed stdout, being asked to stop |
//! | `scenarios` | each scenario by the real binary: what its events say, and what kills do to it |
//! | `pipe` | pipes and connections, killed senders, ends that are shared, Python as the peer |
//! | `pipe_queue` | the textbook queue, and what a kill does to it |

mod cli;
mod harness;
mod inheritance;
mod lock;
mod pipe;
mod pipe_queue;
mod process;
mod roles;
mod scenarios;

/// Where a worker of these tests begins: [`harness::worker`] starts this program with this test's name.
#[test]
#[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
fn worker_entry() {
    if let Some(code) = ipc_demo::enter(roles::ROLES) {
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}
