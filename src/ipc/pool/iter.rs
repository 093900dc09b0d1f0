//! Many tasks at once: their inputs are drawn as far ahead as the workers need, and their results come back in order or
//! as they are finished.

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::caller::{Caller, Inputs};
use super::state::SHORT_NS;
use super::supervisor::Inner;
use super::task::{Task, TaskError, check_not_forked};
use crate::ipc::deadline::Deadline;
use crate::ipc::queue::item::Item;
use crate::sys::clock::monotonic_ns;

/// How much work is under way: enough that no worker waits while the caller does something else.
const AHEAD: Duration = Duration::from_millis(2);
/// How many bytes of results are under way: as many as stay in a processor's cache.
const AHEAD_BYTES: u64 = 1 << 20;
/// The least number of tasks under way for each worker.
const LEAST_AHEAD: u64 = 2;
/// After how many results the number of workers is chosen again, or sooner if they take long: results come in bursts.
const MANY_RESULTS: u64 = 4096;
/// How many inputs are serialised before they are moved to the table together.
const TOGETHER: u64 = 64;

/// Draws inputs and submits them.
pub(super) struct Feed<I> {
    inputs: I,
    is_drained: bool,
    pub(super) caller: Caller,
    encoded: Inputs,
    drawn: u64,
    delivered: u64,
    /// Bytes of results that were taken and not delivered.
    held_bytes: usize,
    /// How many tasks may be drawn and not delivered.
    window: u64,
    least: u64,
    /// When the window was chosen last.
    measured: Since,
    /// Bytes of the results that were delivered since then.
    measured_bytes: u64,
    /// When the number of workers was chosen last.
    tuned: Since,
}

/// A result that was read.
struct Taken<O> {
    result: Result<O, TaskError>,
    /// The length of a long one.
    bytes: usize,
}

/// A moment, and how many results were delivered until then.
#[derive(Debug, Clone, Copy)]
struct Since {
    at_ns: u64,
    delivered: u64,
}

impl<I: Iterator> Feed<I> {
    fn new(inner: &Arc<Inner>, inputs: I, window: Option<u64>) -> Self {
        let workers = inner.lock_unless_forked().map_or(1, |state| state.members.len());
        let least = LEAST_AHEAD * workers as u64;
        let begin = Since { at_ns: monotonic_ns(), delivered: 0 };
        Feed {
            inputs,
            is_drained: false,
            caller: Caller::new(inner, true),
            encoded: Inputs::default(),
            drawn: 0,
            delivered: 0,
            held_bytes: 0,
            window: window.unwrap_or(least),
            least,
            measured: begin,
            measured_bytes: 0,
            tuned: begin,
        }
    }

    /// Ends the results with an error, unless all were delivered.
    fn end(&mut self, error: TaskError) -> Option<TaskError> {
        let is_over = self.is_over();
        (self.is_drained, self.delivered) = (true, self.drawn);
        (!is_over).then_some(error)
    }

    /// Draws and submits inputs as far ahead as may be. Returns how many tasks are drawn by now.
    fn fill(&mut self) -> u64
    where
        I::Item: Item,
    {
        let longest = self.caller.inner.table.plan.bytes;
        let room = self.window.saturating_sub(self.drawn - self.delivered);
        if self.encoded.is_empty() && room < (self.window / 4).min(TOGETHER) {
            // Each submission takes the lock, and a cache line from the workers: several inputs share one. There is more
            // under way than that.
            return self.drawn;
        }
        loop {
            // No more while there was no room for the last ones.
            if self.encoded.is_empty() {
                self.draw(longest);
            }
            if self.encoded.is_empty() {
                return self.drawn;
            }
            self.caller.submit(&mut self.encoded);
            if !self.encoded.is_empty() {
                return self.drawn;
            }
        }
    }

    /// Draws and serialises inputs, as many as are submitted together.
    fn draw(&mut self, longest: usize)
    where
        I::Item: Item,
    {
        for _ in 0..TOGETHER {
            let is_ahead = self.drawn - self.delivered >= self.window || self.held_bytes >= longest;
            if self.is_drained || is_ahead || self.encoded.len() >= longest {
                return;
            }
            let Some(input) = self.inputs.next() else {
                self.is_drained = true;
                return;
            };
            if let Err(error) = self.encoded.add(&input, longest) {
                self.caller.refuse(self.drawn, error);
            }
            self.drawn += 1;
        }
    }

    /// Blocks until results are there or there is room for inputs again, and returns the results. They are read when they
    /// are drawn: at once, since long ones are in the way of others until then.
    fn take<O: DeserializeOwned>(&mut self) -> impl Iterator<Item = (u64, Taken<O>)> + use<O, I> {
        let has_more = !self.is_drained || !self.encoded.is_empty();
        let encoded = &mut self.encoded;
        self.caller.wait_until(has_more, Deadline::NEVER, |caller| {
            caller.look();
            // Room does not always come with a result: a worker that was killed with a task frees its slot later.
            !caller.results.is_empty() || caller.submit(encoded)
        });
        self.tune();
        self.held_bytes += self.caller.results.iter().map(|(_, outcome)| outcome.bytes()).sum::<usize>();
        let results = std::mem::take(&mut self.caller.results).into_iter();
        results.map(|(index, outcome)| (index, Taken { result: outcome.read(), bytes: outcome.bytes() }))
    }

    /// Chooses the number of workers, if it is time for that.
    fn tune(&mut self) {
        let (now, took_ns, results) = self.since(self.tuned);
        if results >= MANY_RESULTS || results > 0 && took_ns >= MANY_RESULTS * SHORT_NS {
            let inner = &self.caller.inner;
            inner.lock().tune(&inner.table, took_ns / results);
            self.tuned = now;
        }
    }

    /// Returns now, and how much time has passed and how many results were delivered since `before`.
    fn since(&self, before: Since) -> (Since, u64, u64) {
        let now = Since { at_ns: monotonic_ns(), delivered: self.delivered };
        (now, now.at_ns - before.at_ns, now.delivered - before.delivered)
    }

    /// Counts a result that is delivered, and returns it.
    fn deliver<O>(&mut self, taken: Taken<O>) -> Result<O, TaskError> {
        self.held_bytes -= taken.bytes;
        self.delivered += 1;
        self.measured_bytes += taken.bytes as u64;
        if self.delivered - self.measured.delivered >= self.window {
            let (now, took_ns, results) = self.since(self.measured);
            let ahead = u128::from(results) * AHEAD.as_nanos() / u128::from(took_ns.max(1));
            let in_cache = AHEAD_BYTES * results / self.measured_bytes.max(1);
            let most = u64::from(self.caller.inner.table.plan.slots).min(in_cache).max(self.least);
            self.window = (ahead as u64).clamp(self.least, most);
            (self.measured, self.measured_bytes) = (now, 0);
        }
        taken.result
    }

    /// Returns whether all results were delivered.
    fn is_over(&self) -> bool {
        self.is_drained && self.delivered == self.drawn
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = if self.is_drained { (0, Some(0)) } else { self.inputs.size_hint() };
        let under_way = (self.drawn - self.delivered) as usize;
        (least.saturating_add(under_way), most.and_then(|most| most.checked_add(under_way)))
    }
}

/// Runs a task for each input, and returns the results in order.
pub(super) fn map<T: Task>(
    inner: &Arc<Inner>,
    inputs: impl Iterator<Item = T::Input>,
) -> Vec<Result<T::Output, TaskError>> {
    if let Err(error) = check_not_forked() {
        return inputs.map(|_| Err(error.clone())).collect();
    }
    let mut results = Vec::with_capacity(inputs.size_hint().0);
    let mut feed = Feed::new(inner, inputs, Some(u64::MAX));
    loop {
        let drawn = feed.fill();
        results.resize_with(drawn as usize, || None);
        if feed.is_over() {
            break;
        }
        for (index, taken) in feed.take() {
            results[index as usize] = Some(feed.deliver(taken));
        }
    }
    results.into_iter().map(|result| result.expect("each task has one result")).collect()
}

/// Keeps the pool from being dropped before the iterator.
type OfPool<'p, T> = PhantomData<(&'p (), fn() -> T)>;

/// The results of [`Pool::imap`](super::Pool::imap), in the order of the inputs.
///
/// Dropping it withdraws the tasks that no worker has begun; the others run to their end.
/// In a process forked from the pool's, it gives [`TaskError::Forked`] once and then ends.
#[must_use = "inputs are drawn as the results are taken"]
pub struct Imap<'p, T: Task, I> {
    feed: Feed<I>,
    /// The results from the next one on.
    results: VecDeque<Option<Taken<T::Output>>>,
    pool: OfPool<'p, T>,
}

impl<T: Task, I: Iterator<Item = T::Input>> Imap<'_, T, I> {
    pub(super) fn new(inner: &Arc<Inner>, inputs: I) -> Self {
        Imap { feed: Feed::new(inner, inputs, None), results: VecDeque::new(), pool: PhantomData }
    }
}

impl<T: Task, I: Iterator<Item = T::Input>> Iterator for Imap<'_, T, I> {
    type Item = Result<T::Output, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = check_not_forked() {
            return self.feed.end(error).map(Err);
        }
        loop {
            let drawn = self.feed.fill();
            self.results.resize_with((drawn - self.feed.delivered) as usize, || None);
            if let Some(taken) = self.results.front_mut().and_then(Option::take) {
                self.results.pop_front();
                return Some(self.feed.deliver(taken));
            }
            if self.feed.is_over() {
                return None;
            }
            let first = self.feed.delivered;
            for (index, taken) in self.feed.take() {
                self.results[(index - first) as usize] = Some(taken);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint()
    }
}

/// The results of [`Pool::imap_unordered`](super::Pool::imap_unordered), each with the index of its input, as they are
/// finished.
///
/// Dropping it withdraws the tasks that no worker has begun; the others run to their end.
/// In a process forked from the pool's, it gives [`TaskError::Forked`] once and then ends.
#[must_use = "inputs are drawn as the results are taken"]
pub struct ImapUnordered<'p, T: Task, I> {
    feed: Feed<I>,
    results: VecDeque<(u64, Taken<T::Output>)>,
    pool: OfPool<'p, T>,
}

impl<T: Task, I: Iterator<Item = T::Input>> ImapUnordered<'_, T, I> {
    pub(super) fn new(inner: &Arc<Inner>, inputs: I) -> Self {
        ImapUnordered { feed: Feed::new(inner, inputs, None), results: VecDeque::new(), pool: PhantomData }
    }
}

impl<T: Task, I: Iterator<Item = T::Input>> Iterator for ImapUnordered<'_, T, I> {
    type Item = (usize, Result<T::Output, TaskError>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = check_not_forked() {
            let index = self.feed.delivered as usize;
            return self.feed.end(error).map(|error| (index, Err(error)));
        }
        loop {
            self.feed.fill();
            if let Some((index, taken)) = self.results.pop_front() {
                return Some((index as usize, self.feed.deliver(taken)));
            }
            if self.feed.is_over() {
                return None;
            }
            self.results.extend(self.feed.take());
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint()
    }
}

macro_rules! exact {
    ($($iterator:ident),*) => {$(
        impl<T: Task, I: Iterator<Item = T::Input>> FusedIterator for $iterator<'_, T, I> {}
        impl<T: Task, I: ExactSizeIterator<Item = T::Input>> ExactSizeIterator for $iterator<'_, T, I> {}

        impl<T: Task, I> std::fmt::Debug for $iterator<'_, T, I> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let (drawn, delivered) = (self.feed.drawn, self.feed.delivered);
                let mut shown = f.debug_struct(stringify!($iterator));
                shown.field("drawn", &drawn).field("delivered", &delivered).finish_non_exhaustive()
            }
        }
    )*};
}
exact!(Imap, ImapUnordered);
