//! The pool.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::builder::Builder;
use super::caller::{Caller, Inputs, TaskHandle};
use super::iter::{self, Imap, ImapUnordered};
use super::state::Phase;
use super::supervisor::Inner;
use super::task::{Task, TaskError, check_not_forked};
use crate::ipc::deadline::Deadline;

/// A pool of worker processes that run a [`Task`].
///
/// Several threads may use it at once. Dropping it kills the workers, as [`terminate`](Self::terminate) does, and waits
/// for their end.
///
/// # Death
/// If a worker dies, the task that it was running is run again by another worker, as often as [`Builder::retries`] says, and then has the result [`TaskError::WorkerDied`]. Any exit from within a task is a death.
/// Results that were finished are kept, tasks that wait are run by others, and the worker is replaced. One that cannot
/// run tasks ([`Task::set_up`] fails, or the program does not [`enter`](crate::enter)) is replaced after a moment; after
/// three in a row, while no other worker can run tasks, each task has the result [`TaskError::NoWorkers`]. A worker that
/// is stopped (SIGSTOP) keeps its task, unless there is a [`Builder::time_limit`]; the others go on.
///
/// The workers are killed when this process ends in any way. A process that is forked from it cannot use the pool: methods
/// that return a result fail with [`TaskError::Forked`]; all others do nothing.
///
/// # Standard
/// Python `multiprocessing.Pool` and `concurrent.futures.ProcessPoolExecutor`. Differs: a worker's death is survived, and
/// there is no chunk size to choose.
///
/// # System calls
/// None for a task, while workers and callers are busy; `futex` to sleep and to wake.
pub struct Pool<T> {
    pub(super) inner: Arc<Inner>,
    /// Only joined, when this is dropped.
    pub(super) supervisor: Option<AssertUnwindSafe<JoinHandle<()>>>,
    pub(super) task: PhantomData<fn() -> T>,
}

impl Pool<()> {
    /// Returns a builder for a pool.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl<T: Task> Pool<T> {
    /// Runs a task for each input, and returns all results in the order of the inputs.
    ///
    /// Inputs are drawn by this thread, as there is room for them. A pool that is closed or cannot run tasks gives each
    /// its error.
    pub fn map<I: IntoIterator<Item = T::Input>>(&self, inputs: I) -> Vec<Result<T::Output, TaskError>> {
        iter::map::<T>(&self.inner, inputs.into_iter())
    }

    /// Runs a task for each input. The iterator gives the results in the order of the inputs; an error of one task does
    /// not end it.
    ///
    /// Inputs are drawn in `next`, by the thread that calls it, and only as far ahead as keeps the workers busy: by two
    /// milliseconds of work, but not by more inputs than have about 1 MiB of results, and not beyond
    /// [`Builder::in_flight`] and [`Builder::in_flight_bytes`]; at least by two inputs for each worker. Results that were
    /// not taken count, so endless inputs need bounded memory.
    pub fn imap<I: IntoIterator<Item = T::Input>>(&self, inputs: I) -> Imap<'_, T, I::IntoIter> {
        Imap::new(&self.inner, inputs.into_iter())
    }

    /// As [`imap`](Self::imap), but gives each result as soon as it is there, with the index of its input.
    pub fn imap_unordered<I: IntoIterator<Item = T::Input>>(&self, inputs: I) -> ImapUnordered<'_, T, I::IntoIter> {
        ImapUnordered::new(&self.inner, inputs.into_iter())
    }

    /// Submits a task, and returns a handle to its result. Blocks while as many tasks, or as many bytes, are under way as
    /// may be.
    ///
    /// # Errors
    /// [`TaskError::Input`] if the input has no serialised form or is too long, [`TaskError::Stopped`] if the pool is
    /// closed, [`TaskError::NoWorkers`], and [`TaskError::Forked`] in a process forked from this one. The task does not run
    /// then.
    pub fn submit(&self, input: T::Input) -> Result<TaskHandle<T>, TaskError> {
        check_not_forked()?;
        let (mut inputs, mut caller) = (Inputs::default(), Caller::new(&self.inner, false));
        inputs.add(&input, self.inner.table.plan.bytes)?;
        caller.wait_until(true, Deadline::NEVER, |caller| {
            // Results of others make room.
            caller.submit(&mut inputs) || {
                caller.look();
                caller.submit(&mut inputs)
            }
        });
        match caller.refused() {
            Some(error) => Err(error),
            None => Ok(TaskHandle::of(caller)),
        }
    }

    /// Accepts no further tasks. The workers end when all tasks have their results.
    pub fn close(&self) {
        let Ok(mut state) = self.inner.lock_unless_forked() else { return };
        if state.phase == Phase::Open {
            state.phase = Phase::Closed;
        }
        drop(state);
        self.inner.wakeup.wake();
    }

    /// [Closes](Self::close) the pool, and blocks until all tasks have their results and all workers have ended.
    pub fn join(&self) {
        if check_not_forked().is_err() {
            return;
        }
        self.close();
        let mut caller = Caller::new(&self.inner, false);
        caller.wait_until(false, Deadline::NEVER, |caller| {
            caller.look();
            caller.inner.lock().phase == Phase::Ended
        });
    }

    /// Kills the workers. Tasks without a result have the result [`TaskError::Stopped`].
    pub fn terminate(&self) {
        self.inner.stop();
    }

    /// Returns a handle that can [terminate](Self::terminate) the pool from another thread, as on Ctrl-C.
    pub fn stopper(&self) -> Stopper {
        Stopper { inner: Arc::clone(&self.inner) }
    }

    /// Returns the names and process ids of the workers that there are now.
    pub fn workers(&self) -> Vec<(String, u32)> {
        let Ok(state) = self.inner.lock_unless_forked() else { return Vec::new() };
        state.members.iter().flatten().map(|member| (member.name.clone(), member.process.pid())).collect()
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        // In a forked child, the workers are the parent's.
        if check_not_forked().is_ok() {
            self.inner.stop();
            if let Some(supervisor) = self.supervisor.take() {
                // It panics only if `on_worker` does, which was printed.
                let _ = supervisor.0.join();
            }
        }
    }
}

impl<T> std::fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut pool = f.debug_struct("Pool");
        if let Ok(state) = self.inner.lock_unless_forked() {
            pool.field("workers", &state.members.len()).field("pending", &state.pending);
        }
        pool.finish_non_exhaustive()
    }
}

/// Terminates a pool from another thread; see [`Pool::stopper`].
#[derive(Clone)]
pub struct Stopper {
    inner: Arc<Inner>,
}

impl Stopper {
    /// Kills the workers. Tasks without a result have the result [`TaskError::Stopped`].
    pub fn stop(&self) {
        self.inner.stop();
    }
}

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stopper").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::watchdog;
    use crate::sys::fork::in_fork;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize)]
    struct Doubles;

    impl Task for Doubles {
        const NAME: &'static str = "doubles";
        type Input = u64;
        type Output = u64;

        fn run(&mut self, number: u64) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
            Ok(2 * number)
        }
    }

    #[test]
    fn forked_child_cannot_use_the_pool_of_its_parent() {
        let _watchdog = watchdog();
        // Its worker takes no task.
        let pool = Pool::<()>::builder().workers(1).program("/bin/sleep", &["600"]).build(Doubles).expect("a pool");
        let mut task = pool.submit(1).expect("room");
        assert!(in_fork(|| {
            let is_refused = |result| matches!(result, Err(TaskError::Forked { .. }));
            let (waited, was_cancelled) = (task.wait(), task.cancel());
            let [inputs, others] = [0..3, 0..3];
            let ordered: Vec<_> = pool.imap(inputs).map(is_refused).collect();
            let unordered: Vec<_> = pool.imap_unordered(others).map(|(_, result)| is_refused(result)).collect();
            let mapped: Vec<_> = pool.map([1, 2]).into_iter().map(is_refused).collect();
            pool.terminate();
            pool.stopper().stop();
            pool.close();
            pool.join();
            is_refused(waited)
                && !was_cancelled
                && matches!(pool.submit(1).err(), Some(TaskError::Forked { .. }))
                && (ordered, unordered, mapped) == (vec![true], vec![true], vec![true, true])
                && pool.workers().is_empty()
        }));
        assert_eq!(pool.workers().len(), 1);
        assert!(task.wait_timeout(std::time::Duration::ZERO).is_none(), "it still waits for a worker");
        assert!(task.cancel());
    }
}
