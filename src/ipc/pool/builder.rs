//! The builder of a pool.

use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Pool;
use super::state::State;
use super::supervisor::{Inner, Starter, Supervisor, WorkerEvent};
use super::table::{Plan, Table};
use super::task::Task;
use super::worker::PoolWorker;
use crate::Process;
use crate::ipc::error::{Error, Result, check_range, os};
use crate::ipc::process::{boot, scheduler, table};
use crate::process::{self, Fd};
use crate::sys::epoll::Epoll;

/// Default of [`Builder::in_flight`].
pub const DEFAULT_IN_FLIGHT: usize = 4096;
/// Default of [`Builder::in_flight_bytes`]: 256 MiB. This is address space; memory is allocated only as needed.
pub const DEFAULT_IN_FLIGHT_BYTES: u64 = 256 << 20;
/// The maximum of [`Builder::in_flight`].
const MOST_IN_FLIGHT: u64 = 1 << 20;
/// The longest input or output: its length has 32 bits.
const MOST_BYTES: u64 = u32::MAX as u64 - 8;

/// Options of a new pool.
#[must_use]
pub struct Builder {
    workers: Option<usize>,
    retries: u32,
    time_limit: Option<Duration>,
    tasks_per_worker: Option<u64>,
    in_flight: usize,
    in_flight_bytes: u64,
    process: process::Builder<'static>,
    stdout: Option<Fd>,
    on_worker: Option<Box<dyn Fn(WorkerEvent) + Send>>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            workers: None,
            retries: 1,
            time_limit: None,
            tasks_per_worker: None,
            in_flight: DEFAULT_IN_FLIGHT,
            in_flight_bytes: DEFAULT_IN_FLIGHT_BYTES,
            process: Process::builder(),
            stdout: None,
            on_worker: None,
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("retries", &self.retries)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets the number of workers; [`available_parallelism`](std::thread::available_parallelism) if not set.
    ///
    /// While tasks take less than about 350 ns each, from input to result, only as many workers take them as there are
    /// processors besides the caller's: more would take time from the caller.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets how many more times a task is tried whose worker died; 1 if not set. With 0, a task is run at most once;
    /// otherwise what it does besides returning an output may happen again. An error and a panic are results, and not
    /// tried again.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Limits how long a task may run, in wall time: a process that is stopped or waits for a processor counts as
    /// running. Then its worker is killed, and the result is [`TaskError::TimedOut`](super::TaskError::TimedOut).
    /// [`Task::set_up`] is not limited.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Replaces each worker after it has run this many tasks, for tasks that leave something behind.
    pub fn tasks_per_worker(mut self, tasks: u64) -> Self {
        self.tasks_per_worker = Some(tasks);
        self
    }

    /// Limits how many tasks are under way: submitted and without a result; [`DEFAULT_IN_FLIGHT`] if not set.
    pub fn in_flight(mut self, tasks: usize) -> Self {
        self.in_flight = tasks;
        self
    }

    /// Limits the bytes of the serialised inputs under way, and of the outputs under way of each worker;
    /// [`DEFAULT_IN_FLIGHT_BYTES`] if not set. None can be longer. What a task's slot has room for does not count: an input
    /// of up to 40 serialised bytes, and an output of up to 39 if its input has at most 8.
    pub fn in_flight_bytes(mut self, bytes: u64) -> Self {
        self.in_flight_bytes = bytes;
        self
    }

    /// Starts another program for the workers; see [`process::Builder::program`](crate::process::Builder::program).
    pub fn program(mut self, program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        self.process = self.process.program(program, arguments);
        self
    }

    /// Gives the workers this standard output instead of the parent's.
    pub fn stdout(mut self, stdout: Fd) -> Self {
        self.stdout = Some(stdout);
        self
    }

    /// As [`process::Builder::inherit_ignored_signals`](crate::process::Builder::inherit_ignored_signals).
    pub fn inherit_ignored_signals(mut self) -> Self {
        self.process = self.process.inherit_ignored_signals();
        self
    }

    /// Calls `on_worker` when a worker was started, and when one has ended: in [`build`](Self::build) for the first workers,
    /// then in the pool's own thread. It must neither block nor panic.
    pub fn on_worker(mut self, on_worker: impl Fn(WorkerEvent) + Send + 'static) -> Self {
        self.on_worker = Some(Box::new(on_worker));
        self
    }

    /// Starts the workers of a pool that runs `task`.
    ///
    /// Returns once their processes exist. A worker that fails later is replaced: see [`Pool`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a number of workers, of tasks or of bytes that is 0 or too large, and for a time limit
    /// of 0. [`Error::NotEntered`] and [`Error::NoSuchRole`] if `task` is not in the table that this program gave to
    /// [`enter`](crate::enter). Those of [`Process::spawn`] if the workers cannot be started, also because there would be
    /// too many processes. [`Error::Schedule`] in an [exploration](crate::explore). In each case nothing is left.
    pub fn build<T: Task>(self, task: T) -> Result<Pool<T>> {
        let (mut pool, supervisor) = self.build_unsupervised(task)?;
        let thread = thread::Builder::new().name("pool".into()).spawn(move || supervisor.run());
        let thread = thread.map_err(os("start the thread of a pool"))?;
        pool.supervisor = Some(AssertUnwindSafe(thread));
        Ok(pool)
    }

    /// As [`build`](Self::build), but leaves the supervisor's thread to the caller.
    pub(crate) fn build_unsupervised<T: Task>(self, task: T) -> Result<(Pool<T>, Supervisor)> {
        let workers = match self.workers {
            Some(workers) => workers,
            // Where it cannot be found out.
            None => thread::available_parallelism().map_or(1, usize::from),
        };
        let (slots, bytes) = (self.in_flight as u64, self.in_flight_bytes);
        check_range("the number of workers", workers as u64, 1..=table::SLOTS as u64 - 1)?;
        check_range("the number of tasks in flight", slots, 1..=MOST_IN_FLIGHT)?;
        check_range("the number of bytes in flight", bytes, 1..=MOST_BYTES)?;
        check_range("the number of tasks of a worker", self.tasks_per_worker.unwrap_or(1), 1..=u64::MAX)?;
        let limit_ns = self.time_limit.map(|limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        check_range("a time limit in nanoseconds", limit_ns.unwrap_or(1), 1..=u64::MAX)?;
        if scheduler::current().is_some() {
            return Err(Error::Schedule { reason: "a pool cannot be part of an exploration".to_owned() });
        }
        if self.process.program.is_none() {
            boot::check_known(T::NAME)?;
        }
        let plan = Plan { slots: slots.next_power_of_two() as u32, bytes: bytes as usize };
        let table = Table::create(plan).map_err(os("make a pool"))?;
        let state = State::new(&table, workers, slots as u32, self.retries);
        let inner = Inner::new(table, state)?;
        let epoll = Epoll::new().map_err(os("make a pool"))?;
        epoll.add(&inner.wakeup, u64::MAX).map_err(os("make a pool"))?;
        let spawn = spawner(task, limit_ns.is_some(), self.tasks_per_worker, self.process, self.stdout);
        let mut starter = Starter { spawn, on_worker: self.on_worker, started: 0, epoll };
        for number in 0..workers {
            let member = starter.start(&inner.table, number)?;
            inner.lock().add_member(number, member);
        }
        let inner = Arc::new(inner);
        let supervisor = Supervisor { inner: Arc::clone(&inner), starter, limit_ns, not_before_ns: 0 };
        Ok((Pool { inner, supervisor: None, task: PhantomData }, supervisor))
    }
}

/// Returns what starts the process of a worker.
#[expect(clippy::type_complexity, reason = "a closure is spelt out once")]
fn spawner<T: Task>(
    task: T,
    is_timed: bool,
    tasks: Option<u64>,
    process: process::Builder<'static>,
    stdout: Option<Fd>,
) -> Box<dyn Fn(&str, u32, &Table, &super::table::Area) -> Result<Process> + Send> {
    Box::new(move |name, number, table, area| {
        let mut builder = process.clone();
        if let Some(stdout) = &stdout {
            builder = builder.stdout(stdout.as_fd());
        }
        let role = PoolWorker {
            task: task.clone(),
            table: table.shared.clone(),
            area: area.shared.clone(),
            plan: table.plan,
            number,
            tasks,
            is_timed,
        };
        builder.spawn(name, role)
    })
}
