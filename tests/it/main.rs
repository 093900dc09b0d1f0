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
//! | `cli` | bad input, exit codes, a closed stdout, being asked to stop; completions and the manual page |
//! | `scenarios` | each scenario by the real binary: what its events say, and what kills do to it |
//! | `pictures` | `--timeline` and `--trace` of every scenario, and files that cannot be written |
//! | `pipe` | pipes and connections, killed senders, ends that are shared, Python as the peer |

mod cli;
mod harness;
mod inheritance;
mod lock;
mod pictures;
mod pipe;
mod process;
mod roles;
mod scenarios;
/// What the unit tests demand of pictures of runs by hand is demanded of those of real runs too.
#[path = "../../src/report/tests/well_formed.rs"]
mod well_formed;

/// Where a worker of these tests begins: [`harness::worker`] starts this program with this test's name.
#[test]
#[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
fn worker_entry() {
    if let Some(code) = ipc_demo::enter(roles::ROLES) {
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}
