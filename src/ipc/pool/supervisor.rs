//! The thread of a pool that notices deaths, replaces workers and applies time limits, whether or not anybody waits for
//! results.

use std::sync::{Arc, Mutex, MutexGuard};

use super::state::{Member, Phase, State};
use super::table::{Area, Table};
use super::task::{TaskError, check_not_forked};
use crate::Process;
use crate::ipc::deadline::LIVENESS_CHECK_NS;
use crate::ipc::error::{Result, chain, os};
use crate::process::{Ended, ExitStatus, WorkerFailure};
use crate::sys::clock::monotonic_ns;
use crate::sys::epoll::{Epoll, Wakeup};

/// How long a worker is not replaced that could not run tasks; twice as long after each further one.
const BACK_OFF_NS: u64 = 10_000_000;
const MOST_BACK_OFF_NS: u64 = 1_000_000_000;

/// What all threads with a pool share.
pub(super) struct Inner {
    pub(super) table: Table,
    state: Mutex<State>,
    pub(super) wakeup: Wakeup,
}

impl Inner {
    pub(super) fn new(table: Table, state: State) -> Result<Self> {
        let wakeup = Wakeup::new().map_err(os("make a pool"))?;
        Ok(Inner { table, state: Mutex::new(state), wakeup })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// As [`lock`](Self::lock); an error in a forked child, where another thread may have held the lock.
    pub(super) fn lock_unless_forked(&self) -> std::result::Result<MutexGuard<'_, State>, TaskError> {
        check_not_forked().map(|()| self.lock())
    }

    /// Lets the supervisor know that there are tasks, if it does not look by itself.
    pub(super) fn supervise(&self, state: &mut State) {
        if std::mem::take(&mut state.is_unsupervised) {
            self.wakeup.wake();
        }
    }

    /// Kills all workers and ends all tasks. Does nothing in a forked child: they are its parent's.
    pub(super) fn stop(&self) {
        let Ok(mut state) = self.lock_unless_forked() else { return };
        state.stop(&self.table);
        drop(state);
        self.wakeup.wake();
        self.table.wake_callers();
    }
}

/// A change among the workers of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// A worker was started.
    Started {
        /// Its name: `worker-1`, `worker-2`, ...; each that replaces another has a number of its own.
        name: String,
        /// Its process id.
        pid: u32,
    },
    /// A worker has ended.
    Ended {
        /// Its name.
        name: String,
        /// What its process id was.
        pid: u32,
        /// How it ended, and why.
        ended: Ended,
    },
}

/// Starts the workers of a pool.
pub(super) struct Starter {
    /// Starts the process of a worker with this name, number and area.
    #[expect(clippy::type_complexity, reason = "a closure is spelt out once")]
    pub(super) spawn: Box<dyn Fn(&str, u32, &Table, &Area) -> Result<Process> + Send>,
    pub(super) on_worker: Option<Box<dyn Fn(WorkerEvent) + Send>>,
    pub(super) started: u32,
    pub(super) epoll: Epoll,
}

impl Starter {
    /// Starts a worker.
    pub(super) fn start(&mut self, table: &Table, number: usize) -> Result<Member> {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let area = Area::create(table.plan).map_err(os("make the memory of a worker"))?;
        let process = (self.spawn)(&name, number as u32, table, &area)?;
        self.epoll.add(process.sentinel(), number as u64).map_err(os("watch a worker"))?;
        self.report(|| WorkerEvent::Started { name: name.clone(), pid: process.pid() });
        Ok(Member::new(name, process, area))
    }

    fn report(&self, event: impl FnOnce() -> WorkerEvent) {
        if let Some(on_worker) = &self.on_worker {
            on_worker(event());
        }
    }
}

/// The work of the supervising thread, until all workers have ended.
pub(crate) struct Supervisor {
    pub(super) inner: Arc<Inner>,
    pub(super) starter: Starter,
    pub(super) limit_ns: Option<u64>,
    /// When a worker that could not run tasks may be replaced.
    pub(super) not_before_ns: u64,
}

impl Supervisor {
    pub(crate) fn run(mut self) {
        let mut last_audit_ns = 0;
        loop {
            let now_ns = monotonic_ns();
            let is_audit = now_ns.saturating_sub(last_audit_ns) >= LIVENESS_CHECK_NS;
            if is_audit {
                last_audit_ns = now_ns;
            }
            self.reap();
            let Some(until_ns) = self.look(now_ns, is_audit) else { break };
            // If it fails, workers are looked at after a moment.
            let _ = self.starter.epoll.wait(until_ns);
            self.inner.wakeup.clear();
            self.replace();
        }
        self.inner.table.wake_callers();
    }

    /// Removes the workers that have ended: keeps their results, and gives their tasks to others.
    pub(crate) fn reap(&mut self) {
        let mut ends = Vec::new();
        {
            let mut state = self.inner.lock();
            for number in 0..state.members.len() {
                let Some(member) = state.members[number].as_mut() else { continue };
                if member.process.is_alive() {
                    continue;
                }
                let (name, pid) = (member.name.clone(), member.process.pid());
                let unknown = |error| Ended::of(ExitStatus::Unknown, Some(WorkerFailure::startup(chain(&error))));
                let ended = member.process.join().map_or_else(unknown, Ended::clone);
                let was_ready = state.remove_worker(&self.inner.table, number, &ended);
                if !was_ready {
                    self.not_before_ns = back_off(state.failures);
                }
                ends.push(WorkerEvent::Ended { name, pid, ended });
            }
        }
        if !ends.is_empty() {
            self.inner.table.wake_callers();
        }
        ends.into_iter().for_each(|event| self.starter.report(|| event));
    }

    /// Looks at the tasks. Returns when to look again, or `None` if the pool has ended.
    fn look(&mut self, now_ns: u64, is_audit: bool) -> Option<Option<u64>> {
        let (inner, mut until_ns) = (&self.inner, now_ns + LIVENESS_CHECK_NS);
        let mut state = inner.lock();
        let before = state.collected;
        state.record_ready();
        if is_audit {
            state.collect(&inner.table, None);
            state.audit(&inner.table);
        }
        if let Some(limit_ns) = self.limit_ns {
            until_ns = until_ns.min(state.apply_limit(&inner.table, limit_ns, now_ns));
        }
        if state.phase != Phase::Open && state.pending == 0 {
            inner.table.close();
            state.wake_all();
            if state.members.iter().all(Option::is_none) {
                state.phase = Phase::Ended;
                return None;
            }
        }
        let has_results = state.collected != before;
        let has_gap = state.needs_workers() && state.members.iter().any(Option::is_none);
        if has_gap {
            until_ns = until_ns.min(self.not_before_ns.max(now_ns));
        }
        // Nothing can happen that a pidfd does not report.
        state.is_unsupervised =
            state.pending == 0 && !has_gap && state.members.iter().flatten().all(|member| member.was_ready);
        let until_ns = (!state.is_unsupervised).then_some(until_ns);
        drop(state);
        if has_results {
            inner.table.wake_callers();
        }
        Some(until_ns)
    }

    /// Starts a worker for each that has ended, while there is work for it.
    fn replace(&mut self) {
        let numbers: Vec<usize> = {
            let state = self.inner.lock();
            if !state.needs_workers() || monotonic_ns() < self.not_before_ns {
                return;
            }
            (0..state.members.len()).filter(|number| state.members[*number].is_none()).collect()
        };
        for number in numbers {
            // Without the lock: it takes a millisecond.
            let started = self.starter.start(&self.inner.table, number);
            let mut state = self.inner.lock();
            match started {
                Ok(member) => {
                    state.add_member(number, member);
                }
                Err(error) => {
                    state.record_failure(&self.inner.table, chain(&error));
                    self.not_before_ns = back_off(state.failures);
                    drop(state);
                    self.inner.table.wake_callers();
                    return;
                }
            }
        }
    }
}

/// Returns when a worker may be started after this many that could not run tasks.
fn back_off(failures: u32) -> u64 {
    let wait_ns = BACK_OFF_NS << failures.saturating_sub(1).min(10);
    monotonic_ns() + wait_ns.min(MOST_BACK_OFF_NS)
}
