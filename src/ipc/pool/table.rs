//! What a pool and its workers share: the table of slots, and an area for each worker.
//!
//! # State
//! A slot for each task under way, with a [`word`](super::word), which alone says what has become of the task. The ring
//! has the numbers of the slots that became ready, in order; the list of a worker, those that it has finished. Both are
//! hints: who takes a number from one of them looks at the word, and what is missing from them because its worker died
//! or is stopped is found by the parent.
//!
//! An input that does not fit into its slot is in the table's memory for inputs, which the parent allocates; a result
//! that does not, in the area of its worker, which the worker allocates.
//!
//! # Ordering
//! See [`super::word`]. `tail` and `finished` are stored with `Release` after the numbers before them.
//!
//! # Death
//! Of the words that a worker changes, only that of a slot means anything after its death.

use std::io;

use super::word::Word;
use crate::ipc::event_count::EventCount;
use crate::sys::atomic::{
    AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};
use crate::sys::shm::{Mapping, SharedSlice, copy_from_words, copy_into_words, shared_layout};

/// Bytes of a slot for its input and its output together.
pub(super) const CONTENT_BYTES: usize = 48;
/// A longer input is elsewhere.
pub(super) const INLINE_INPUT: usize = CONTENT_BYTES - 8;
/// The word of the content that has the place of a long output.
const OUTPUT_PLACE: usize = CONTENT_BYTES / 8 - 1;

shared_layout! {
    /// A slot: one cache line.
    pub(super) struct Slot {
        word: AtomicU64,
        input_len: AtomicU32,
        output_len: AtomicU32,
        /// The input or its place; behind a short input, a short output, or the place of a long one at the end.
        content: [AtomicU64; CONTENT_BYTES / 8],
    }
}
const _: () = assert!(size_of::<Slot>() == 64);

/// The index of the first word behind an input.
fn words_of(input_len: usize) -> usize {
    if input_len > INLINE_INPUT { 1 } else { input_len.div_ceil(8) }
}

impl Slot {
    #[inline]
    pub(super) fn word(&self) -> &AtomicU64 {
        &self.word
    }

    /// Returns the length of the input, and its place if it is elsewhere.
    #[inline]
    pub(super) fn input(&self) -> (usize, Option<usize>) {
        let len = self.input_len.load(Relaxed) as usize;
        (len, (len > INLINE_INPUT).then(|| self.content[0].load(Relaxed) as usize))
    }

    /// Fills `bytes` from a short input.
    #[inline]
    pub(super) fn copy_input(&self, bytes: &mut [u8]) {
        copy_from_words(&self.content, bytes);
    }

    /// Writes a short input.
    #[inline]
    pub(super) fn set_input(&self, bytes: &[u8]) {
        self.input_len.store(bytes.len() as u32, Relaxed);
        copy_into_words(&self.content, bytes);
    }

    /// Notes where a long input is.
    pub(super) fn set_input_place(&self, len: usize, place: usize) {
        self.input_len.store(len as u32, Relaxed);
        self.content[0].store(place as u64, Relaxed);
    }

    /// The words that are free for an output.
    #[inline]
    fn output_words(&self) -> &[AtomicU64] {
        &self.content[words_of(self.input_len.load(Relaxed) as usize)..]
    }

    /// Returns how many bytes of output the slot has room for.
    #[inline]
    pub(super) fn output_room(&self) -> usize {
        size_of_val(self.output_words())
    }

    /// Writes an output for which there is room.
    #[inline]
    pub(super) fn set_output(&self, bytes: &[u8]) {
        self.output_len.store(bytes.len() as u32, Relaxed);
        copy_into_words(self.output_words(), bytes);
    }

    /// Notes where a long output is.
    pub(super) fn set_output_place(&self, len: usize, place: usize) {
        self.output_len.store(len as u32, Relaxed);
        self.content[OUTPUT_PLACE].store(place as u64, Relaxed);
    }

    /// Returns the length of the output, and its place if it is in the area of its worker.
    #[inline]
    pub(super) fn output(&self) -> (usize, Option<usize>) {
        let len = self.output_len.load(Relaxed) as usize;
        (len, (len > self.output_room()).then(|| self.content[OUTPUT_PLACE].load(Relaxed) as usize))
    }

    /// Fills `bytes` from a short output.
    #[inline]
    pub(super) fn copy_output(&self, bytes: &mut [u8]) {
        copy_from_words(self.output_words(), bytes);
    }
}

shared_layout! {
    pub(super) struct TableState = b"pool    " + [Slot] {
        // 128 bytes each: what one side writes is not on a cache line that the other needs, nor on the adjacent one,
        // which the processor prefetches.
        head: AtomicU64,
        distance_of_head: [AtomicU64; 15],
        tail: AtomicU64,
        distance_of_tail: [AtomicU64; 15],
        /// Notified when results are there, at the latest when each worker has `wake_after` of them.
        results: EventCount,
        wake_after: AtomicU32,
        /// The number of tasks in the ring at or below which a result is reported at once.
        low: AtomicU32,
        is_closing: AtomicU32,
        /// Only workers whose number is below this take tasks.
        active: AtomicU32,
        padding: AtomicU32,
        distance_of_results: [AtomicU64; 13],
    }
}

/// The dimensions of a table, which its creator sends along.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(super) struct Plan {
    /// The number of slots, a power of two.
    pub(super) slots: u32,
    /// How many bytes of inputs there may be, and of the outputs of each worker.
    pub(super) bytes: usize,
}

impl Plan {
    fn ring_at(self) -> usize {
        self.slots as usize * size_of::<Slot>()
    }

    fn inputs_at(self) -> usize {
        Mapping::<TableState>::at_page(self.ring_at() + self.slots as usize * 4)
    }

    /// The number of entries of a worker's list: as many as there are slots, and those of a worker that was stopped in
    /// between.
    fn finished(self) -> usize {
        2 * self.slots as usize
    }

    fn outputs_at(self) -> usize {
        Mapping::<AreaState>::at_page(self.finished() * 4)
    }
}

/// The table, as one process sees it.
pub(super) struct Table {
    pub(super) plan: Plan,
    pub(super) shared: Mapping<TableState>,
    slots: SharedSlice<TableState, Slot>,
    ring: SharedSlice<TableState, AtomicU32>,
}

impl Table {
    pub(super) fn create(plan: Plan) -> io::Result<Self> {
        let inputs_at = plan.inputs_at();
        let init = |state: &TableState| {
            state.active.store(u32::MAX, Relaxed);
            Ok(())
        };
        Mapping::create_sparse(inputs_at + plan.bytes, inputs_at, init).map(|shared| Table::of(shared, plan))
    }

    pub(super) fn of(shared: Mapping<TableState>, plan: Plan) -> Self {
        crate::sys::membarrier::register();
        Table {
            plan,
            slots: shared.shared_slice(0, plan.slots as usize),
            ring: shared.shared_slice(plan.ring_at(), plan.slots as usize),
            shared,
        }
    }

    /// Returns the slot with a number; `None` if there is none.
    #[inline]
    pub(super) fn slot(&self, slot: u32) -> Option<&Slot> {
        (slot < self.plan.slots).then(|| self.slots.at(slot as usize))
    }

    /// Fetches a slot, which a worker has in its cache, ahead of its use.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        let place = slot as usize * size_of::<Slot>();
        self.shared.prefetch_to_write(place..place + 1);
    }

    /// Returns all slots.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0..self.plan.slots).map(|slot| (slot, self.slots.at(slot as usize)))
    }

    fn entry(&self, position: u64) -> &AtomicU32 {
        self.ring.at((position % u64::from(self.plan.slots)) as usize)
    }

    /// Writes the entry at a position of the ring, which the parent publishes later.
    #[inline]
    pub(super) fn set_entry(&self, position: u64, slot: u32) {
        self.entry(position).store(slot, Relaxed);
    }

    /// Publishes all entries before `tail`.
    #[inline]
    pub(super) fn publish(&self, tail: u64) {
        self.shared.tail.store(tail, Release);
    }

    /// Returns the position of the first entry that no worker has taken.
    #[inline]
    pub(super) fn head(&self) -> u64 {
        self.shared.head.load(SeqCst)
    }

    /// Returns how many tasks are in the ring.
    #[inline]
    pub(super) fn waiting(&self) -> u64 {
        let head = self.shared.head.load(Relaxed);
        self.shared.tail.load(Relaxed).saturating_sub(head)
    }

    /// Takes the first entry of the ring.
    #[inline]
    pub(super) fn take_entry(&self) -> Option<u32> {
        let mut head = self.shared.head.load(Acquire);
        loop {
            if head == self.shared.tail.load(Acquire) {
                return None;
            }
            // Before the change: after it, the parent may write another.
            let slot = self.entry(head).load(Relaxed);
            // SeqCst: a parent that makes a slot ready and then sees its entry here leaves it to who takes the entry.
            match self.shared.head.compare_exchange_weak(head, head + 1, SeqCst, Acquire) {
                Ok(_) => return Some(slot),
                Err(now) => head = now,
            }
        }
    }

    /// Wakes the callers if the `unreported` results of a worker are worth it. Returns whether it woke them.
    #[inline]
    pub(super) fn report(&self, unreported: u32) -> bool {
        let (mut is_reported, shared) = (false, &self.shared);
        shared.results.notify_if(|| {
            is_reported =
                unreported >= shared.wake_after.load(Relaxed) || self.waiting() <= u64::from(shared.low.load(Relaxed));
            is_reported
        });
        is_reported
    }

    /// Wakes all threads that wait for results.
    pub(super) fn wake_callers(&self) {
        self.shared.results.notify();
    }

    pub(super) fn results(&self) -> &EventCount {
        &self.shared.results
    }

    /// Sets when results are reported.
    pub(super) fn report_after(&self, results: u32, low: u32) {
        self.shared.wake_after.store(results, Relaxed);
        self.shared.low.store(low, Relaxed);
    }

    #[inline]
    pub(super) fn active(&self) -> u32 {
        self.shared.active.load(Relaxed)
    }

    pub(super) fn set_active(&self, workers: u32) {
        self.shared.active.store(workers, Relaxed);
    }

    pub(super) fn close(&self) {
        self.shared.is_closing.store(1, Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.shared.is_closing.load(Acquire) != 0
    }

    /// Allocates the memory of an input.
    pub(super) fn populate(&self, place: usize, len: usize) -> io::Result<()> {
        self.shared.populate(self.plan.inputs_at() + place, len)
    }

    /// Releases the memory of inputs.
    pub(super) fn release(&self, place: usize, len: usize) {
        // If the kernel does not take it back, it is used again.
        let _ = self.shared.release(self.plan.inputs_at() + place, len);
    }

    pub(super) fn write_input(&self, place: usize, bytes: &[u8]) {
        self.shared.copy_in(self.plan.inputs_at() + place, bytes);
    }

    /// Fills `bytes` from a long input.
    pub(super) fn read_input(&self, place: usize, bytes: &mut [u8]) {
        self.shared.copy_out(self.plan.inputs_at() + place, bytes);
    }
}

shared_layout! {
    pub(super) struct AreaState = b"poolwork" {
        /// Notified when there are tasks.
        tasks: EventCount,
        is_ready: AtomicU32,
        /// The slot that the worker is about to run, and since when on the monotonic clock.
        current: AtomicU32,
        padding: AtomicU32,
        started_ns: AtomicU64,
        distance: [AtomicU64; 13],
        /// How many results the worker has finished.
        finished: AtomicU64,
        distance_of_finished: [AtomicU64; 15],
    }
}

/// The area of a worker, as the worker or its parent sees it.
pub(super) struct Area {
    plan: Plan,
    pub(super) shared: Mapping<AreaState>,
    list: SharedSlice<AreaState, AtomicU32>,
}

impl Area {
    pub(super) fn create(plan: Plan) -> io::Result<Self> {
        let outputs_at = plan.outputs_at();
        Mapping::create_sparse(outputs_at + plan.bytes, outputs_at, |_| Ok(())).map(|shared| Area::of(shared, plan))
    }

    pub(super) fn of(shared: Mapping<AreaState>, plan: Plan) -> Self {
        Area { plan, list: shared.shared_slice(0, plan.finished()), shared }
    }

    pub(super) fn tasks(&self) -> &EventCount {
        &self.shared.tasks
    }

    /// The worker can run tasks.
    pub(super) fn set_ready(&self) {
        self.shared.is_ready.store(1, Release);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.shared.is_ready.load(Acquire) != 0
    }

    /// Notes what the worker is about to run, before it does.
    pub(super) fn set_current(&self, slot: u32, started_ns: u64) {
        self.shared.started_ns.store(started_ns, Relaxed);
        self.shared.current.store(slot, Relaxed);
    }

    /// Returns the slot that the worker was about to run.
    pub(super) fn current(&self) -> u32 {
        self.shared.current.load(Relaxed)
    }

    pub(super) fn started_ns(&self) -> u64 {
        self.shared.started_ns.load(Relaxed)
    }

    fn entry(&self, position: u64) -> &AtomicU32 {
        self.list.at((position % self.plan.finished() as u64) as usize)
    }

    /// Adds a slot to those that the worker has finished.
    #[inline]
    pub(super) fn finish(&self, slot: u32) {
        let finished = self.shared.finished.load(Relaxed);
        self.entry(finished).store(slot, Relaxed);
        self.shared.finished.store(finished + 1, Release);
    }

    #[inline]
    pub(super) fn finished(&self) -> u64 {
        self.shared.finished.load(Acquire)
    }

    /// Returns the slot at a position of the list.
    #[inline]
    pub(super) fn finished_at(&self, position: u64) -> u32 {
        self.entry(position).load(Relaxed)
    }

    pub(super) fn populate(&self, place: usize, len: usize) -> io::Result<()> {
        self.shared.populate(self.plan.outputs_at() + place, len)
    }

    pub(super) fn release(&self, place: usize, len: usize) {
        // If the kernel does not take it back, it is used again.
        let _ = self.shared.release(self.plan.outputs_at() + place, len);
    }

    #[inline]
    pub(super) fn write_output(&self, place: usize, bytes: &[u8]) {
        self.shared.copy_in(self.plan.outputs_at() + place, bytes);
    }

    /// Returns a long output where it is: the worker does not change it until the word of its slot has changed.
    pub(super) fn output(&self, place: usize, len: usize) -> &[u8] {
        self.shared.bytes(self.plan.outputs_at() + place, len)
    }

    /// Returns whether an output may be there.
    pub(super) fn has_place(&self, place: usize, len: usize) -> bool {
        place.checked_add(len).is_some_and(|end| end <= self.plan.bytes)
    }
}

/// The word of a slot that a worker runs.
pub(super) struct Run<'t> {
    pub(super) number: u32,
    pub(super) slot: &'t Slot,
    pub(super) word: Word,
}
