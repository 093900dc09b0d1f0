//! The worker's side of a pool.
//!
//! # Death
//! Killed before a slot is RUNNING, a worker has done nothing with its task; killed after it is DONE, it has left the
//! result. In between, the slot says which task died with it.

use std::thread;

use serde::{Deserialize, Serialize};

use super::output::{Output, OutputMemory};
use super::table::{Area, AreaState, INLINE_INPUT, Plan, Run, Table, TableState};
use super::task::Task;
use super::word::{State, Word};
use crate::ipc::buffer::Buffer;
use crate::ipc::codec::{self, CodecError, Sink};
use crate::ipc::deadline::LIVENESS_CHECK_NS;
use crate::ipc::error::chain;
use crate::ipc::process::boot;
use crate::ipc::spin::Spin;
use crate::process::{FailureKind, Role, RoleResult, WorkerFailure};
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;
use crate::sys::shm::Mapping;

/// The first byte of a result: an output follows.
pub(super) const OUTPUT: u8 = 0;
/// A [`WorkerFailure`] follows.
pub(super) const FAILURE: u8 = 1;
/// The reason follows why the input could not be read.
pub(super) const INPUT_REFUSED: u8 = 2;
/// The reason follows why the output could not be written.
pub(super) const OUTPUT_REFUSED: u8 = 3;

/// The role of a pool's worker.
#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Task")]
pub(super) struct PoolWorker<T: Task> {
    pub(super) task: T,
    pub(super) table: Mapping<TableState>,
    pub(super) area: Mapping<AreaState>,
    pub(super) plan: Plan,
    /// The worker's number in the words of slots.
    pub(super) number: u32,
    /// How many tasks it runs before it ends.
    pub(super) tasks: Option<u64>,
    /// Whether it notes when a task begins.
    pub(super) is_timed: bool,
}

impl<T: Task> Role for PoolWorker<T> {
    const NAME: &'static str = T::NAME;

    fn run(self) -> RoleResult {
        let table = Table::of(self.table, self.plan);
        let mut worker = Worker {
            table: &table,
            area: Area::of(self.area, self.plan),
            number: self.number,
            is_timed: self.is_timed,
            outputs: OutputMemory::default(),
            unreported: 0,
            spin: Spin::default(),
        };
        let mut task = self.task.clone();
        task.set_up()?;
        worker.area.set_ready();
        let mut tasks_left = self.tasks.unwrap_or(u64::MAX);
        while tasks_left > 0
            && let Some(run) = worker.next()
        {
            let result = boot::guarded(|| worker.attempt(&mut task, &run));
            let has_panicked = result.as_ref().is_err_and(|failure| failure.kind == FailureKind::Panic);
            if let Err(failure) = result {
                worker.refuse(&run, FAILURE, &failure);
            }
            worker.finish(&run);
            if has_panicked {
                // What a panic left behind may also panic when it is dropped.
                let _ = boot::guarded(|| {
                    task = self.task.clone();
                    Ok(())
                });
                task.set_up()?;
            }
            tasks_left -= 1;
        }
        Ok(())
    }
}

struct Worker<'t> {
    table: &'t Table,
    area: Area,
    number: u32,
    is_timed: bool,
    outputs: OutputMemory,
    /// Results since the callers were last woken.
    unreported: u32,
    spin: Spin,
}

impl Run<'_> {
    /// The word with which the task has ended.
    pub(super) fn done(&self) -> Word {
        self.word.to(State::Done, self.word.worker())
    }
}

impl<'t> Worker<'t> {
    /// Waits for a task and takes it. Returns `None` when the pool needs this worker no more.
    fn next(&mut self) -> Option<Run<'t>> {
        if let Some(run) = self.take() {
            return Some(run);
        }
        if self.unreported > 0 {
            self.table.wake_callers();
            self.unreported = 0;
        }
        let mut taken = None;
        if self.is_active()
            && self.spin.until(self.area.finished(), || {
                taken = self.take();
                taken.is_some()
            })
        {
            return taken;
        }
        loop {
            let (word, value) = self.area.tasks().announce_sleeper();
            let is_closing = self.table.is_closing();
            if let Some(run) = self.take() {
                self.area.tasks().retract_sleeper(value);
                return Some(run);
            }
            if is_closing {
                return None;
            }
            let asleep_ns = monotonic_ns();
            futex::wait(word, value, Some(asleep_ns + LIVENESS_CHECK_NS));
            self.spin.slept(monotonic_ns() - asleep_ns);
            if let Some(run) = self.take() {
                return Some(run);
            }
        }
    }

    #[inline]
    fn is_active(&self) -> bool {
        self.number < self.table.active()
    }

    /// Takes the first task of the ring.
    #[inline]
    fn take(&self) -> Option<Run<'t>> {
        while self.is_active()
            && let Some(number) = self.table.take_entry()
        {
            let Some(slot) = self.table.slot(number) else { continue };
            let word = Word::load(slot.word());
            if word.state() != Some(State::Ready) {
                continue;
            }
            if self.is_timed {
                self.area.set_current(number, monotonic_ns());
            }
            let running = word.to(State::Running, self.number);
            if word.replace(slot.word(), running) {
                return Some(Run { number, slot, word: running });
            }
        }
        None
    }

    /// Runs a task and writes its output.
    fn attempt<T: Task>(&mut self, task: &mut T, run: &Run<'_>) -> Result<(), WorkerFailure> {
        let input = match self.input::<T>(run) {
            Ok(input) => input,
            Err(error) => {
                self.refuse(run, INPUT_REFUSED, &error.to_string());
                return Ok(());
            }
        };
        let output = task.run(input).map_err(|error| WorkerFailure::new(FailureKind::Error, chain(&*error)))?;
        let encode = |sink: &mut Output<'_>| {
            sink.put(&[OUTPUT]);
            codec::write(&output, sink)
        };
        if let Err(error) = self.outputs.write(self.table, &self.area, run, encode) {
            self.refuse(run, OUTPUT_REFUSED, &error.to_string());
        }
        Ok(())
    }

    #[inline]
    fn input<T: Task>(&self, run: &Run<'_>) -> Result<T::Input, CodecError> {
        let (len, place) = run.slot.input();
        let Some(place) = place else {
            let mut short = [0; INLINE_INPUT];
            run.slot.copy_input(&mut short[..len]);
            return codec::from_slice(&short[..len]);
        };
        let mut buffer = Buffer::borrow();
        buffer.resize(len, 0);
        self.table.read_input(place, &mut buffer);
        codec::from_slice(&buffer)
    }

    /// Writes why a task has no output.
    #[cold]
    fn refuse(&mut self, run: &Run<'_>, kind: u8, reason: &impl Serialize) {
        let mut write = |kind: u8, reason: &dyn Fn(&mut Output<'_>) -> Result<(), CodecError>| {
            self.outputs.write(self.table, &self.area, run, |sink| {
                sink.put(&[kind]);
                reason(sink)
            })
        };
        if let Err(error) = write(kind, &|sink| codec::write(reason, sink)) {
            // The reason is too long.
            let error = error.to_string();
            if write(OUTPUT_REFUSED, &|sink| codec::write(&error, sink)).is_err() {
                // There is no memory. The slot has room for this, and must not keep the output of an earlier task.
                run.slot.set_output(&[kind]);
            }
        }
    }

    /// Publishes the result of a task.
    #[inline]
    fn finish(&mut self, run: &Run<'_>) {
        if !run.word.replace(run.slot.word(), run.done()) {
            // Condemned: the parent has given the task a result, and is about to kill this process.
            loop {
                thread::park();
            }
        }
        self.area.finish(run.number);
        self.unreported += 1;
        if self.table.report(self.unreported) {
            self.unreported = 0;
        }
    }
}
