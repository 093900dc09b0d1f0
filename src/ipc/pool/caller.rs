//! The tasks of one caller: how they are submitted, and how the caller waits for their results.
//!
//! # State
//! A caller that waits takes the results of all tasks out of the table, those of others too, so that no other thread has
//! to run for it. First it sleeps for a millisecond at most, or until workers have many results or run out of tasks;
//! if nothing has come in that time, until the next result.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::Task;
use super::outcome::{Outcome, Reader};
use super::supervisor::Inner;
use super::task::{TaskError, check_not_forked, too_long};
use crate::ipc::codec::CodecError;
use crate::ipc::deadline::{Deadline, LOOK_EVERY};
use crate::ipc::error::Error;
use crate::ipc::queue::batch::{HEADER_BYTES, Items};
use crate::ipc::queue::encoding;
use crate::ipc::queue::item::Item;
use crate::sys::futex;

/// The batch number of a caller in a forked child. It is never used.
const NO_BATCH: usize = usize::MAX;

/// How many results of one worker are worth a wake-up.
const MANY: u32 = 128;
/// How long results may wait until a caller takes them.
const BATCH_WAIT: Duration = Duration::from_millis(1);

/// Inputs that are serialised, and not in the table yet.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    batch: Vec<u8>,
    /// How much of it is in the table.
    taken: usize,
}

impl Inputs {
    /// Serialises another input. If that fails, nothing stands in its place.
    pub(super) fn add<I: Item>(&mut self, input: &I, longest: usize) -> Result<(), TaskError> {
        if self.is_empty() {
            self.batch.clear();
            self.taken = 0;
        }
        let len = self.batch.len();
        encoding::append(input, longest, &mut self.batch).map_err(|error| {
            self.batch.truncate(len);
            self.batch.extend_from_slice(&[0; HEADER_BYTES]);
            TaskError::Input(Box::new(match error {
                Error::Codec { source, .. } => source,
                Error::TooLong { bytes, limit } => too_long(bytes, limit),
                error => CodecError::Refused(error.to_string()),
            }))
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        self.batch.len() - self.taken
    }
}

/// A caller of a pool.
pub(super) struct Caller {
    pub(super) inner: Arc<Inner>,
    pub(super) batch: usize,
    /// Results that were taken out of the table.
    pub(super) results: Vec<(u64, Outcome)>,
    /// The number of the next input for the table.
    next: u64,
    /// No result came during the last sleep.
    is_quiet: bool,
    /// Whether it submits many tasks: it reads their results as soon as it takes them, and they are withdrawn when it is
    /// dropped.
    is_feed: bool,
}

impl Caller {
    pub(super) fn new(inner: &Arc<Inner>, is_feed: bool) -> Self {
        let batch = inner.lock_unless_forked().map_or(NO_BATCH, |mut state| state.add_batch(&inner.table));
        Caller { inner: Arc::clone(inner), batch, results: Vec::new(), next: 0, is_quiet: false, is_feed }
    }

    /// The next input has this result already.
    pub(super) fn refuse(&mut self, index: u64, error: TaskError) {
        self.results.push((index, Outcome::failed(error)));
    }

    /// Moves as many inputs to the table as there is room for. Returns whether that were any.
    pub(super) fn submit(&mut self, inputs: &mut Inputs) -> bool {
        if inputs.is_empty() {
            return false;
        }
        let (before, inner, mut state) = (self.next, &self.inner, self.inner.lock());
        let refusal = state.refusal();
        for input in Items::of(&inputs.batch[inputs.taken..]) {
            let submitted = match &refusal {
                // It has a result.
                _ if input.is_empty() => Ok(true),
                Some(error) => Err(error.clone()),
                None => state.submit(&inner.table, self.batch, self.next, input).map_err(|error| {
                    TaskError::Input(CodecError::Refused(format!("there is no memory for it: {error}")).into())
                }),
            };
            match submitted {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.results.push((self.next, Outcome::failed(error))),
            }
            self.next += 1;
            inputs.taken += HEADER_BYTES + input.len();
        }
        state.publish(&inner.table);
        inner.supervise(&mut state);
        self.next != before
    }

    /// Returns why the first input was not accepted.
    pub(super) fn refused(&mut self) -> Option<TaskError> {
        match self.results.pop() {
            Some((_, Outcome::Failed(error))) => Some(*error),
            _ => None,
        }
    }

    /// Takes the results that are there. Returns how many the pool had so far.
    pub(super) fn look(&mut self) -> u64 {
        let (inner, before) = (&self.inner, self.results.len());
        let mut state = inner.lock();
        let reader = self.is_feed.then_some(Reader { inner, batch: self.batch });
        let collected = state.collect(&inner.table, reader);
        state.take_results(self.batch, &mut self.results);
        let all = state.collected;
        drop(state);
        if collected > (self.results.len() - before) as u64 {
            // Other callers wait for the rest.
            inner.table.wake_callers();
        }
        all
    }

    /// Blocks until `is_done`, which is called now and whenever something may have happened. Returns `false` on timeout.
    ///
    /// `has_more` says that the caller has more tasks as soon as there is room.
    pub(super) fn wait_until(
        &mut self,
        has_more: bool,
        until: Deadline,
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let inner = Arc::clone(&self.inner);
        let (table, results) = (&inner.table, inner.table.results());
        loop {
            if is_done(self) {
                return true;
            }
            if until.has_passed() {
                return false;
            }
            let (after, longest) = if self.is_quiet { (1, LOOK_EVERY) } else { (MANY, BATCH_WAIT) };
            table.report_after(after, if has_more { (table.waiting() / 2) as u32 } else { 0 });
            let (word, value) = results.announce_sleeper();
            let before = self.look();
            if is_done(self) {
                table.report_after(1, 0);
                let state = inner.lock();
                // Another caller may sleep on the same word.
                if state.batches() == 1 {
                    results.retract_sleeper(value)
                } else {
                    table.wake_callers()
                }
                return true;
            }
            futex::wait(word, value, until.or_after(longest).at_ns());
            table.report_after(1, 0);
            self.is_quiet = self.look() == before;
            if self.is_quiet {
                inner.lock().activate_all(table);
            }
        }
    }

    /// Blocks until there are results. Returns `false` on timeout.
    pub(super) fn wait(&mut self, has_more: bool, until: Deadline) -> bool {
        self.wait_until(has_more, until, |caller| {
            caller.look();
            !caller.results.is_empty()
        })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let Ok(mut state) = self.inner.lock_unless_forked() else { return };
        if self.is_feed {
            state.withdraw(&self.inner.table, self.batch);
        }
        state.abandon(self.batch);
    }
}

/// A task that was submitted by [`Pool::submit`](super::Pool::submit). Dropping it lets the task go on, without anybody
/// to take its result.
#[must_use = "the result of the task is what `wait` returns"]
pub struct TaskHandle<T> {
    caller: Caller,
    outcome: Option<Outcome>,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> TaskHandle<T> {
    pub(super) fn of(caller: Caller) -> Self {
        TaskHandle { caller, outcome: None, task: PhantomData }
    }

    /// Blocks until the task has its result, and returns it. May be repeated.
    ///
    /// # Errors
    /// Why the task has no output.
    pub fn wait(&mut self) -> Result<T::Output, TaskError> {
        self.take(Deadline::NEVER).expect("a wait without end ends with the result")
    }

    /// Blocks until the task has its result, for at most `timeout`. Returns `None` on timeout: the task goes on, and
    /// may be waited for again, or [cancelled](Self::cancel). `Duration::ZERO` only checks.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T::Output, TaskError>> {
        self.take(Deadline::after(timeout))
    }

    fn take(&mut self, until: Deadline) -> Option<Result<T::Output, TaskError>> {
        if self.outcome.is_none() {
            if let Err(error) = check_not_forked() {
                return Some(Err(error));
            }
            if !self.caller.wait(false, until) {
                return None;
            }
            self.outcome = self.caller.results.pop().map(|(_, outcome)| outcome);
        }
        self.outcome.as_ref().map(Outcome::read)
    }

    /// Cancels the task, also while it runs: then its worker is killed, and replaced. Returns `true` if the result is
    /// [`TaskError::Cancelled`] now, and `false` if the task had another result before, or in a process forked from this one.
    pub fn cancel(&self) -> bool {
        if let Some(outcome) = &self.outcome {
            return matches!(outcome, Outcome::Failed(error) if **error == TaskError::Cancelled);
        }
        let inner = &self.caller.inner;
        let Ok(mut state) = inner.lock_unless_forked() else { return false };
        let is_cancelled = state.cancel(&inner.table, self.caller.batch);
        drop(state);
        inner.table.wake_callers();
        is_cancelled
    }
}

impl<T> std::fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskHandle").field("has_result", &self.outcome.is_some()).finish_non_exhaustive()
    }
}
