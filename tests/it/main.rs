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
//! | `manager` | clients of a manager that wait for each other, and that are killed; a manager that is killed |
//! | `manager_sharing` | a manager's objects given to workers and put into each other, and how long they live |
//! | `manager_entrance` | who is turned away by a manager, and that nobody else notices; TCP; many at once |

mod harness;
mod inheritance;
mod lock;
mod manager;
mod manager_entrance;
mod manager_sharing;
mod process;
mod roles;

/// Where a worker of these tests begins: [`harness::worker`] starts this program with this test's name.
#[test]
#[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
fn worker_entry() {
    if let Some(code) = ipc_demo::enter(roles::ROLES) {
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}
