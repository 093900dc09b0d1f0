//! Everything that needs real processes, through the public interface and the real binary.
//!
//! This program is also the worker program of its own library tests: see [`worker_entry`].
//!
//! | module | what it shows |
//! |---|---|
//! | `harness`, `roles` | how the tests start workers and the binary; the roles that only tests use |
//! | `schema` | the JSON Lines form of every event, apart from the program's own types |
//! | `process` | start, join, exit status, failures, and which processes end together |
//! | `inheritance` | a worker has exactly the descriptors of the handles in its role |
//! | `transfer` | handles in roles: where they may appear, how they are counted, and failed starts |
//! | `semaphore`, `condition`, `event`, `barrier`, `rlock` | the other primitives between processes, also killed |
//! | `value` | shared numbers: no update is lost or partial |
//! | `deadlock` | cycles of waiters are found, whatever their length, and nothing else is |
//! | `queue_cases` | what every queue does, written once |
//! | `queue_remote` | the ends of a queue in other processes, for the same cases |
//! | `queue`, `joinable_queue` | the same cases on each, and the effects of killed workers |
//! | `stopped` | a worker stopped by SIGSTOP in the middle of everything: not dead, only blocking others |
//! | `queue_stress` | many workers, random kills, every item accounted for |
//! | `crash_points` | a worker killed at every instruction of a queue's operations |
//! | `lock` | exclusion between processes, and the lock of a killed holder |
//! | `chaos` | the proof: kills at every instruction, and the faults that it has to find |
//! | `cli` | bad input, exit codes, a closed stdout, stop requests; completions and the manual page |
//! | `scenarios` | each scenario through the real binary: its events, and the effects of kills |
//! | `pictures` | `--timeline` and `--trace` of every scenario, and files that cannot be written |
//! | `bench` | every kind of workload, the comparison with Python, charts; and that nothing is left however it ends |
//! | `pipe` | pipes and connections, killed senders, ends that are shared, Python as the peer |
//! | `pipe_queue` | the same cases on the textbook queue, its weaknesses, and the effects of a kill |
//! | `manager` | clients of a manager that wait for each other, and that are killed; a manager that is killed |
//! | `manager_barrier` | parties of a manager's barrier that are killed on their way to it, or leave in order |
//! | `manager_sharing` | a manager's objects given to workers and put into each other, and their lifetimes |
//! | `manager_listener` | clients rejected by a manager, without effect on others; TCP; many at once |
//! | `manager_hosts` | `manager --serve`, `--connect` and `--call`: from other shells, and between two hosts |

mod barrier;
mod bench;
mod chaos;
mod cli;
mod condition;
mod crash_points;
mod deadlock;
mod event;
mod harness;
mod inheritance;
mod joinable_queue;
mod lock;
mod manager;
mod manager_barrier;
mod manager_hosts;
mod manager_listener;
mod manager_sharing;
mod pictures;
mod pipe;
mod pipe_queue;
mod process;
mod queue;
mod queue_cases;
mod queue_remote;
mod queue_stress;
mod rlock;
mod roles;
mod scenarios;
mod schema;
mod semaphore;
mod stopped;
mod transfer;
mod value;
/// The unit tests' requirements for pictures of handmade runs also apply to those of real runs.
#[path = "../../src/report/tests/well_formed.rs"]
mod well_formed;

/// The entry of a worker in these tests: [`harness::worker`] starts this program with this test's name.
#[test]
#[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
fn worker_entry() {
    if let Some(code) = ipc_demo::enter(roles::ROLES) {
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}
