//! Everything that needs real processes, through the public interface and the real binary.
//!
//! This program is also the worker program of its own library tests: see [`worker_entry`]. Ignored tests take long; run
//! one with `cargo test --test it NAME -- --ignored`.
//!
//! | module | what it shows |
//! |---|---|
//! | `harness`, `roles` | how the tests start workers and the binary; the roles that only tests use |
//! | `redis_server`, `browser`, `kept` | a Redis server and a browser of this test program, which die with it |
//! | `process` | start, join, exit status and failures; handles in roles; descriptors; stopped workers |
//! | `sync` | exclusion and waiting between processes, also killed; deadlocks are found, and nothing else is |
//! | `queue` | what every queue does, run on each, also with its ends in other processes; the effects of killed workers |
//! | `pipe` | pipes and connections, killed senders, ends that are shared, Python as the peer |
//! | `pool` | each task has one result, whatever becomes of its worker; nothing is left behind |
//! | `shared` | shared numbers: no update is lost or partial |
//! | `manager` | a manager's clients, shared objects, refused guests, and other hosts; a manager that is killed |
//! | `scenarios` | each scenario through the real binary: its events, and the effects of kills |
//! | `report` | the JSON Lines form of every event; `--timeline`, `--trace` and `--html` of every scenario |
//! | `live` | the live view in the terminal of tmux: keys, kills, and the terminal afterwards |
//! | `bench` | every kind of workload, the comparison with Python, charts; and that nothing is left however it ends |
//! | `chaos` | the proof: kills at every instruction, and the faults that it has to find |
//! | `explore` | every schedule of small programs: their numbers, what fails in which, and that nothing is left |
//! | `tour` | the tour on a terminal and in a pipe |
//! | `cli` | bad input, exit codes, a closed stdout, stop requests; completions and the manual page |

mod bench;
mod browser;
mod chaos;
mod cli;
mod explore;
mod harness;
mod kept;
#[cfg(feature = "live")]
mod live;
mod manager;
mod pipe;
mod pool;
mod process;
mod queue;
mod redis_server;
mod report;
mod roles;
mod scenarios;
mod shared;
mod sync;
mod tour;

/// The entry of a worker in these tests: [`harness::worker`] starts this program with this test's name.
#[test]
#[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
fn worker_entry() {
    if let Some(code) = ipc_demo::enter(roles::ROLES) {
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}
