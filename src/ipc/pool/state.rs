//! What the parent knows of a pool: which task is in which slot, for whom, and who its workers are.
//!
//! # State
//! A task under way has a [`Job`] in the entry of its slot. Taking the job out of there is its one result: a result that
//! is found for a slot without a job, or for another generation, is none.
//!
//! Nothing here calls code of the user, so no panic leaves it half changed.

use std::io;
use std::sync::Arc;
use std::thread;

use super::inputs::{Extent, InputMemory};
use super::outcome::{Outcome, Reader};
use super::table::{Area, INLINE_INPUT, Slot, Table};
use super::task::TaskError;
use super::word::{State as SlotState, Word};
use crate::Process;
use crate::process::Ended;
use crate::sys::atomic::{Ordering::SeqCst, fence};

/// A task under way.
#[derive(Debug)]
struct Job {
    batch: usize,
    /// Its index in the batch.
    index: u64,
    /// How many workers have died of it.
    deaths: u32,
}

/// What the parent knows of a slot.
#[derive(Debug, Default)]
struct Entry {
    job: Option<Job>,
    generation: u64,
    /// Behind the position at which it was written to the ring last; 0 if it never was.
    after: u64,
    input: Option<Extent>,
}

/// Tasks whose results one caller waits for.
#[derive(Debug, Default)]
struct Batch {
    results: Vec<(u64, Outcome)>,
    /// How many have no result yet.
    pending: usize,
    /// Whether the caller is gone: its results are dropped.
    is_abandoned: bool,
}

/// A worker of the pool.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) process: Process,
    pub(super) area: Arc<Area>,
    /// How many entries of its list were read.
    read: u64,
    pub(super) was_ready: bool,
    /// Whether it was started after others could not run tasks.
    is_replacement: bool,
}

impl Member {
    pub(super) fn new(name: String, process: Process, area: Area) -> Self {
        Member { name, process, area: Arc::new(area), read: 0, was_ready: false, is_replacement: false }
    }
}

/// What a pool still accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No further tasks.
    Closed,
    /// No results either.
    Stopped,
    /// All workers have ended.
    Ended,
}

/// How many slots ahead are fetched while results are collected: each is in the cache of the worker that wrote it.
const PREFETCH: u64 = 4;
/// Deaths in a row of workers that could not run tasks, after which every task fails.
const MOST_FAILURES: u32 = 3;
/// Tasks that take less than this in all are short: a third of it is the caller's own work, which takes many times as long
/// if it is not optimised.
pub(super) const SHORT_NS: u64 = if cfg!(debug_assertions) { 10_000 } else { 350 };

pub(super) struct State {
    entries: Vec<Entry>,
    free: Vec<u32>,
    inputs: InputMemory,
    /// Behind the last entry of the ring.
    tail: u64,
    published: u64,
    /// A position at or before the head's.
    seen_head: u64,
    batches: Vec<Option<Batch>>,
    pub(super) pending: usize,
    /// By their numbers.
    pub(super) members: Vec<Option<Member>>,
    pub(super) phase: Phase,
    retries: u32,
    /// How many processors there are besides the caller's, and at least one.
    spare_processors: u32,
    /// Deaths in a row of workers that were not ready.
    pub(super) failures: u32,
    /// Why no worker can run tasks.
    pub(super) no_workers: Option<String>,
    /// Whose results are collected first.
    next_worker: usize,
    /// How many results were collected.
    pub(super) collected: u64,
    /// Whether the supervisor sleeps until it is woken.
    pub(super) is_unsupervised: bool,
}

impl State {
    pub(super) fn new(table: &Table, workers: usize, slots: u32, retries: u32) -> Self {
        State {
            entries: (0..table.plan.slots).map(|_| Entry::default()).collect(),
            free: (0..slots).rev().collect(),
            inputs: InputMemory::new(table.plan.bytes),
            tail: 0,
            published: 0,
            seen_head: 0,
            batches: Vec::new(),
            pending: 0,
            members: (0..workers).map(|_| None).collect(),
            phase: Phase::Open,
            retries,
            spare_processors: thread::available_parallelism().map_or(1, |all| all.get() as u32 - 1).max(1),
            failures: 0,
            no_workers: None,
            next_worker: 0,
            collected: 0,
            is_unsupervised: false,
        }
    }

    /// Adds a batch without tasks.
    pub(super) fn add_batch(&mut self, table: &Table) -> usize {
        self.activate_all(table);
        let free = self.batches.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.batches.push(None);
            self.batches.len() - 1
        });
        self.batches[number] = Some(Batch::default());
        number
    }

    /// Returns how many batches have a caller, or tasks.
    pub(super) fn batches(&self) -> usize {
        self.batches.iter().flatten().count()
    }

    fn batch(&mut self, batch: usize) -> &mut Batch {
        self.batches[batch].as_mut().expect("a batch exists as long as its caller, and its tasks")
    }

    /// Moves the results of a batch that are there to `results`.
    pub(super) fn take_results(&mut self, batch: usize, results: &mut Vec<(u64, Outcome)>) {
        results.append(&mut self.batch(batch).results);
    }

    /// The caller of a batch is gone: its results are dropped.
    pub(super) fn abandon(&mut self, batch: usize) {
        let abandoned = self.batch(batch);
        abandoned.results.clear();
        abandoned.is_abandoned = true;
        if abandoned.pending == 0 {
            self.batches[batch] = None;
        }
    }

    /// Withdraws the tasks of a batch that no worker has begun.
    pub(super) fn withdraw(&mut self, table: &Table, batch: usize) {
        for (number, slot) in table.all() {
            let entry = &self.entries[number as usize];
            let ready = Word::ready(entry.generation);
            if entry.job.as_ref().is_some_and(|job| job.batch == batch)
                && ready.replace(slot.word(), ready.to(SlotState::Free, 0))
            {
                self.deliver(number, Outcome::failed(TaskError::Cancelled));
                self.release(table, number);
            }
        }
    }

    /// Ends the only task of a batch, if it has no result. Returns whether that is so.
    pub(super) fn cancel(&mut self, table: &Table, batch: usize) -> bool {
        let is_its = |entry: &Entry| entry.job.as_ref().is_some_and(|job| job.batch == batch);
        self.withdraw(table, batch);
        match self.entries.iter().position(is_its) {
            Some(number) => self.condemn(table, number as u32, |_| TaskError::Cancelled),
            None => self
                .batch(batch)
                .results
                .iter()
                .any(|(_, outcome)| matches!(outcome, Outcome::Failed(error) if **error == TaskError::Cancelled)),
        }
    }

    /// Puts an input into a slot, for task `index` of a batch. Returns `false` if there is no room for it now.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(super) fn submit(&mut self, table: &Table, batch: usize, index: u64, input: &[u8]) -> io::Result<bool> {
        let Some(&number) = self.free.last() else { return Ok(false) };
        let slot = table.slot(number).expect("the free ones are slots");
        let entry = &mut self.entries[number as usize];
        if input.len() <= INLINE_INPUT {
            slot.set_input(input);
        } else {
            let Some(extent) = self.inputs.allocate(table, input.len())? else { return Ok(false) };
            table.write_input(extent.place, input);
            slot.set_input_place(input.len(), extent.place);
            entry.input = Some(extent);
        }
        self.free.pop();
        entry.job = Some(Job { batch, index, deaths: 0 });
        self.pending += 1;
        self.batch(batch).pending += 1;
        self.make_ready(table, number, slot);
        Ok(true)
    }

    /// Lets the workers have a slot with an input.
    fn make_ready(&mut self, table: &Table, number: u32, slot: &Slot) {
        let entry = &mut self.entries[number as usize];
        entry.generation += 1;
        Word::ready(entry.generation).store(slot.word());
        self.enqueue(table, number);
    }

    /// Adds a slot that is ready to the ring, unless it is there.
    fn enqueue(&mut self, table: &Table, number: u32) {
        let entry = &mut self.entries[number as usize];
        if entry.after > self.seen_head {
            // Before it was ready or after that: who takes the entry that is there will look at the slot's word.
            fence(SeqCst);
            self.seen_head = table.head();
            if entry.after > self.seen_head {
                return;
            }
        }
        table.set_entry(self.tail, number);
        self.tail += 1;
        entry.after = self.tail;
    }

    /// Publishes the tasks that were added, and wakes as many workers.
    pub(super) fn publish(&mut self, table: &Table) {
        let mut added = self.tail - self.published;
        if added == 0 {
            return;
        }
        self.published = self.tail;
        table.publish(self.tail);
        for member in self.members.iter().take(table.active() as usize).flatten() {
            if added == 0 {
                return;
            }
            member.area.tasks().notify_if(|| {
                added -= 1;
                true
            });
        }
    }

    /// Chooses how many workers take tasks, by the time in which one task after the other gets its result.
    ///
    /// Tasks that take no longer than it takes to submit them are done by a few workers. More of them than there are
    /// processors besides the caller's only take time from the caller.
    pub(super) fn tune(&mut self, table: &Table, ns_per_task: u64) {
        let are_short = ns_per_task < SHORT_NS && self.batches() == 1;
        if are_short { table.set_active(self.spare_processors) } else { self.activate_all(table) }
    }

    /// Lets all workers take tasks.
    pub(super) fn activate_all(&self, table: &Table) {
        if table.active() != u32::MAX {
            table.set_active(u32::MAX);
            self.wake_all();
        }
    }

    /// Wakes all workers.
    pub(super) fn wake_all(&self) {
        for member in self.members.iter().flatten() {
            member.area.tasks().notify();
        }
    }

    /// Delivers the results that the workers have finished. Returns how many. A long one of `reader` is the last: others
    /// stay where they are until it is read, so that they are in nobody's way.
    pub(super) fn collect(&mut self, table: &Table, reader: Option<Reader<'_>>) -> u64 {
        let (before, workers) = (self.collected, self.members.len());
        // Each in turn: the results of one could keep those of the others waiting.
        let first = self.next_worker;
        for number in (first..workers).chain(0..first) {
            if self.collect_of(table, number, reader) {
                self.next_worker = (number + 1) % workers;
                break;
            }
        }
        self.collected - before
    }

    /// Returns whether the last result was a long one of `reader`.
    fn collect_of(&mut self, table: &Table, worker: usize, reader: Option<Reader<'_>>) -> bool {
        let Some(member) = self.members[worker].as_mut() else { return false };
        let (finished, mut read) = (member.area.finished(), member.read);
        let mut is_in_place = false;
        while read != finished && !is_in_place {
            let member = self.members[worker].as_ref().expect("it is there while its list is read");
            let number = member.area.finished_at(read);
            if finished - read > PREFETCH {
                table.prefetch(member.area.finished_at(read + PREFETCH));
            }
            read += 1;
            is_in_place = self.take_done(table, worker, number, reader);
        }
        if let Some(member) = self.members[worker].as_mut() {
            member.read = read;
        }
        is_in_place
    }

    /// Delivers the result in a slot, if there is one of this worker. Returns whether it is a long one of `reader`.
    fn take_done(&mut self, table: &Table, worker: usize, number: u32, reader: Option<Reader<'_>>) -> bool {
        let (Some(entry), Some(slot)) = (self.entries.get(number as usize), table.slot(number)) else { return false };
        let done = Word::new(SlotState::Done, worker as u32, entry.generation);
        let Some(job) = entry.job.as_ref().filter(|_| done.is_at(slot.word())) else { return false };
        let member = self.members[worker].as_ref().expect("its results are read before it is removed");
        let reader = reader.filter(|reader| reader.batch == job.batch);
        let outcome = Outcome::of(number, slot, member, reader);
        let is_in_place = matches!(outcome, Outcome::InPlace(_));
        self.deliver(number, outcome);
        if !is_in_place {
            self.free_slot(table, number, slot);
        }
        is_in_place
    }

    /// Makes a slot free in which a worker had a task.
    pub(super) fn free_slot(&mut self, table: &Table, number: u32, slot: &Slot) {
        Word::load(slot.word()).to(SlotState::Free, 0).store(slot.word());
        self.release(table, number);
    }

    /// Gives the task in a slot its result.
    fn deliver(&mut self, number: u32, outcome: Outcome) {
        let job = self.entries[number as usize].job.take().expect("a task has one result");
        self.pending -= 1;
        self.collected += 1;
        let batch = self.batch(job.batch);
        batch.pending -= 1;
        if !batch.is_abandoned {
            batch.results.push((job.index, outcome));
        } else if batch.pending == 0 {
            self.batches[job.batch] = None;
        }
    }

    /// Makes a slot that no worker uses free for another task.
    fn release(&mut self, table: &Table, number: u32) {
        if let Some(extent) = self.entries[number as usize].input.take() {
            self.inputs.free(table, extent);
        }
        self.free.push(number);
    }

    /// Ends the task that is running in a slot: condemns it first, so that its worker cannot take another, and then
    /// kills the worker. Its result is what `error` makes of the worker's name. Returns `false` if the task has ended
    /// before.
    fn condemn(&mut self, table: &Table, number: u32, error: impl FnOnce(&str) -> TaskError) -> bool {
        let Some(slot) = table.slot(number) else { return false };
        let word = Word::load(slot.word());
        if word.state() != Some(SlotState::Running) || self.entries[number as usize].job.is_none() {
            return false;
        }
        let Some(Some(member)) = self.members.get(word.worker() as usize) else { return false };
        if !word.replace(slot.word(), word.to(SlotState::Condemned, word.worker())) {
            return false;
        }
        // What cannot be killed is not given another task, either.
        let _ = member.process.kill();
        let error = error(&member.name);
        self.deliver(number, Outcome::failed(error));
        true
    }

    /// Condemns the tasks that have been running since before `limit_ns` ago. Returns when to look again.
    pub(super) fn apply_limit(&mut self, table: &Table, limit_ns: u64, now_ns: u64) -> u64 {
        let mut next_ns = now_ns.saturating_add(limit_ns);
        for number in 0..self.members.len() {
            let Some(member) = &self.members[number] else { continue };
            let current = member.area.current();
            let Some(slot) = table.slot(current) else { continue };
            let word = Word::load(slot.word());
            if word.state() != Some(SlotState::Running) || word.worker() as usize != number {
                continue;
            }
            // Read after the word: that of this task, or of a later one.
            let ends_ns = member.area.started_ns().saturating_add(limit_ns);
            if ends_ns <= now_ns {
                self.condemn(table, current, |worker| TaskError::TimedOut { worker: worker.into() });
            } else {
                next_ns = next_ns.min(ends_ns);
            }
        }
        next_ns
    }

    /// Records which workers have become ready.
    pub(super) fn record_ready(&mut self) {
        for member in self.members.iter_mut().flatten() {
            if !member.was_ready && member.area.is_ready() {
                member.was_ready = true;
                self.failures = 0;
            }
        }
    }

    /// Removes a worker that has ended: keeps its results, and gives its task to another worker. Returns whether it had
    /// been ready to run tasks.
    pub(super) fn remove_worker(&mut self, table: &Table, worker: usize, ended: &Ended) -> bool {
        self.record_ready();
        self.collect_of(table, worker, None);
        for (number, slot) in table.all() {
            let word = Word::load(slot.word());
            if word.worker() as usize != worker {
                continue;
            }
            match word.state() {
                // Killed before it added the slot to its list.
                Some(SlotState::Done) => {
                    self.take_done(table, worker, number, None);
                }
                Some(SlotState::Running) => self.retry(table, number, slot, worker, ended),
                Some(SlotState::Condemned) => self.free_slot(table, number, slot),
                _ => {}
            }
        }
        let member = self.members[worker].take().expect("a worker is removed once");
        self.activate_all(table);
        if !member.was_ready {
            self.record_failure(table, end_reason(ended));
        }
        self.audit(table);
        // It may have been woken for a task that it did not take.
        self.wake_all();
        member.was_ready
    }

    /// Gives the task of a dead worker to another one, or its result.
    fn retry(&mut self, table: &Table, number: u32, slot: &Slot, worker: usize, ended: &Ended) {
        let Some(job) = self.entries[number as usize].job.as_mut() else { return };
        job.deaths += 1;
        let attempts = job.deaths;
        if attempts <= self.retries && self.phase != Phase::Stopped {
            return self.make_ready(table, number, slot);
        }
        let name = self.members[worker].as_ref().expect("it is being removed").name.as_str().into();
        self.deliver(number, Outcome::failed(TaskError::WorkerDied { worker: name, status: ended.status, attempts }));
        self.free_slot(table, number, slot);
    }

    /// Adds the slots that are ready to the ring whose entries were taken: by a worker that died, or was stopped, before
    /// it took the task. Takes results that are missing from a list for the same reason.
    pub(super) fn audit(&mut self, table: &Table) {
        self.seen_head = table.head();
        for (number, slot) in table.all() {
            if self.entries[number as usize].job.is_none() {
                continue;
            }
            let word = Word::load(slot.word());
            match word.state() {
                Some(SlotState::Ready) => self.enqueue(table, number),
                Some(SlotState::Done) if self.members.get(word.worker() as usize).is_some_and(Option::is_some) => {
                    self.take_done(table, word.worker() as usize, number, None);
                }
                _ => {}
            }
        }
        self.publish(table);
    }

    /// Adds a worker that was started.
    pub(super) fn add_member(&mut self, number: usize, member: Member) {
        if self.phase == Phase::Stopped {
            // What cannot be killed now is killed when it is dropped.
            let _ = member.process.kill();
        }
        self.members[number] = Some(Member { is_replacement: self.failures > 0, ..member });
    }

    /// Records that a worker could not be started, or ended before it was ready. After [`MOST_FAILURES`] in a row every
    /// task fails, unless there is a worker that is ready, or was started before the first of them failed.
    pub(super) fn record_failure(&mut self, table: &Table, reason: String) {
        self.record_ready();
        self.failures += 1;
        let may_get_ready = self.members.iter().flatten().any(|member| member.was_ready || !member.is_replacement);
        if self.failures >= MOST_FAILURES && !may_get_ready && self.no_workers.is_none() && self.phase != Phase::Stopped
        {
            self.end_all(table, &TaskError::NoWorkers { reason: reason.as_str().into() });
            self.no_workers = Some(reason);
            self.kill_all();
        }
    }

    /// Returns whether a worker that has ended is to be replaced.
    pub(super) fn needs_workers(&self) -> bool {
        self.no_workers.is_none()
            && match self.phase {
                Phase::Open => true,
                Phase::Closed => self.pending > 0,
                Phase::Stopped | Phase::Ended => false,
            }
    }

    fn kill_all(&self) {
        for member in self.members.iter().flatten() {
            // What cannot be killed now is killed when it is dropped.
            let _ = member.process.kill();
        }
    }

    /// Gives every task this result.
    fn end_all(&mut self, table: &Table, error: &TaskError) {
        self.collect(table, None);
        for (number, slot) in table.all() {
            if self.entries[number as usize].job.is_none() {
                continue;
            }
            self.deliver(number, Outcome::failed(error.clone()));
            let word = Word::load(slot.word());
            if word.state() == Some(SlotState::Ready) && word.replace(slot.word(), word.to(SlotState::Free, 0)) {
                self.release(table, number);
            }
        }
    }

    /// Kills all workers, and ends all tasks.
    pub(super) fn stop(&mut self, table: &Table) {
        if matches!(self.phase, Phase::Open | Phase::Closed) {
            self.phase = Phase::Stopped;
            self.kill_all();
            self.end_all(table, &TaskError::Stopped);
        }
    }

    /// Returns why no task can be submitted.
    pub(super) fn refusal(&self) -> Option<TaskError> {
        match (&self.no_workers, self.phase) {
            (_, Phase::Closed | Phase::Stopped | Phase::Ended) => Some(TaskError::Stopped),
            (Some(reason), _) => Some(TaskError::NoWorkers { reason: reason.as_str().into() }),
            (None, Phase::Open) => None,
        }
    }
}

/// Returns why a worker ended.
fn end_reason(ended: &Ended) -> String {
    match &ended.failure {
        Some(failure) => failure.to_string(),
        None => format!("a worker ended before it could run tasks: {}", ended.status),
    }
}
