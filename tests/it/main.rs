//! Everything that needs real processes, through the public interface and the real binary.
//!
//! This program is also the worker program of its own library tests: see [`worker_entry`].
//!
//! | module | what it shows |
//! |---|---|
//! | `harness`, `roles` | how the tests start workers and the binary; the roles that only tests use |
//! | `process` | start, join, exit status, failures, and who dies with whom |
//! | `inheritance` | a worker has exactly the descriptors of the handles in its role |
//! | `transfer` | handles in roles: where they may stand, what they count, and starts that fail |
//! | `semaphore`, `condition`, `event`, `barrier`, `rlock` | the other primitives between processes, some of them killed |
//! | `value` | shared numbers: no update is lost and none is half done |
//! | `deadlock` | who waits for whom is found, in rings of any length, and nothing else is |
//! | `queue_cases` | what every queue does, written once |
//! | `queue_remote` | the ends of a queue in other processes, for the same cases |
//! | `queue`, `joinable_queue` | the same cases on each, and what becomes of them when workers are killed |
//! | `stopped` | a worker stopped by SIGSTOP in the middle of everything: not dead, only in the way |
//! | `queue_stress` | many workers, random kills, every item accounted for |
//! | `crash_points` | a worker killed at every instruction of a queue's operations |
//! | `lock` | exclusion between processes, and what becomes of a killed holder's lock |
//! | `chaos` | the proof: kills at every instruction, and the faults that it has to find |
//! | `cli` | bad input, exit codes, a closed stdout, being asked to stop; completions and the manual page |
//! | `scenarios` | each scenario by the real binary: what its events say, and what kills do to it |
//! | `pictures` | `--timeline` and `--trace` of every scenario, and files that cannot be written |
//! | `bench` | every kind of workload, Python beside it, charts; and that nothing is left however it ends |
//! | `pipe` | pipes and connections, killed senders, ends that are shared, Python as the peer |
//! | `pipe_queue` | the same cases on the textbook queue, its weaknesses, and what a kill does to it |
//! | `manager` | clients of a manager that wait for each other, and that are killed; a manager that is killed |
//! | `manager_barrier` | parties of a manager's barrier that are killed on their way to it, or leave in order |
//! | `manager_sharing` | a manager's objects given to workers and put into each other, and how long they live |
//! | `manager_entrance` | who is turned away by a manager, and that nobody else notices; TCP; many at once |
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
mod semaphore;
mod stopped;
mod transfer;
mod value;
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
