//! A barrier at which a fixed number of parties wait for each other, round after round.
//!
//! # State
//! `cycle` is `round << 1 | BROKEN`, the word that all waiters sleep on. An arriving party writes `round << 32 | slot`
//! into the first place of the tail that this round has not used: that is its arrival, and the place's number is its
//! index. Places of earlier rounds count as free, so they need no clearing. The last party to arrive ends the round: it
//! replaces `cycle` and wakes all waiters. `outcomes` records how the last few rounds ended, for waiters that wake late.
//! Rounds are completed and reset, and members are counted, under `mutex`, which is held only for that. To break the
//! barrier needs no mutex: `cycle` changes by compare and exchange.
//!
//! # Ordering
//! A place is written with `AcqRel` and read with `Acquire`, so the last party sees what all parties did before they
//! arrived. A waiter loads `cycle` with `Acquire` after the last party changed it.
//!
//! # Death
//! Every change is one store, so an abandoned mutex needs no repair. A process that is killed between a change and the
//! wake leaves the waiters to their next check. A party that dies while it waits, or runs the action, breaks the barrier
//! for the others: they check each other's slots every 100 ms. Processes that were given the barrier are known before
//! they start; if one of them dies without having waited, and too few are left for the round, the barrier breaks as well.
//! A process that drops its handle leaves the barrier and is no longer expected.
//!
//! The creator counts as a party from its first wait. Before that it counts as long as it holds its handle and has
//! given the barrier to fewer processes than there are parties: then it must be one of them. A process that is given
//! the barrier after its parent has waited for a dead party's end replaces that party.
//!
//! # Standard
//! Python `multiprocessing.Barrier`. Differs: the action is passed by the parties, since a closure cannot be shared;
//! zero parties is an error (Python accepts it up to 3.13); a killed party breaks the barrier (gh-123899).

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use super::break_cause::BreakCause;
use crate::ipc::deadline::{Deadline, LIVENESS_CHECK_NS};
use crate::ipc::error::{Error, Result, check_not_forked, check_range, os};
use crate::ipc::operation::{Operation, always, point, point_until};
use crate::ipc::process::members::Members;
use crate::ipc::process::table::{ProcessSlot, ProcessTable, SLOTS};
use crate::ipc::process::transfer::{self, sent_in_roles};
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::clock::monotonic_ns;
use crate::sys::fork::forked_from;
use crate::sys::futex;
use crate::sys::robust::{HeldMutex, RobustMutex};
use crate::sys::shm::{Mapping, shared_layout};

const BROKEN: u32 = 1;
const ROUND: u32 = 2;
/// Maximum number of parties: each has a word.
const MAX_PARTIES: u32 = 65_536;
/// Number of rounds that a waiter may sleep through and still learn how its own ended.
const OUTCOMES: usize = 16;
const COMPLETED: u32 = 1;
/// A dead member's word is kept: it shows the death.
const NEVER_GONE: fn(ProcessSlot) -> bool = |_| false;
const NO_TIMEOUT: u64 = u64::MAX;

shared_layout! {
    struct BarrierState = b"barrier " {
        mutex: RobustMutex,
        cycle: AtomicU32,
        parties: AtomicU32,
        timeout_ns: AtomicU64,
        /// Why the barrier is broken: kind and process id.
        cause: AtomicU64,
        /// `round << 1 | COMPLETED`, at the round's number modulo their count.
        outcomes: [AtomicU32; OUTCOMES],
        /// The slot of the creator until it becomes a member or drops its handle, then 0.
        creator: AtomicU32,
        padding: AtomicU32,
        members: Members,
        /// `slot << 32 | process id` of members that have used the barrier: a slot may be reused soon after a death.
        pids: [AtomicU64; SLOTS],
    }
}

/// A barrier for a fixed number of parties.
///
/// A party is a waiting thread; a process counts as one, or as many as it has threads waiting.
///
/// ```
/// let barrier = ipc_demo::Barrier::new(2)?;
/// let indices = std::thread::scope(|scope| {
///     let other = scope.spawn(|| barrier.wait());
///     Ok::<_, ipc_demo::Error>([barrier.wait()?, other.join().expect("no panic")?])
/// })?;
/// assert!(indices == [0, 1] || indices == [1, 0]);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
#[derive(Clone)]
pub struct Barrier(Arc<Handle>);

/// A handle and its clones, which are counted as one member. Dropping the last of them leaves the barrier.
struct Handle {
    state: Mapping<BarrierState>,
    process_table: &'static ProcessTable,
    is_member: AtomicBool,
}

impl Barrier {
    /// Creates a barrier for `parties` without a timeout.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for 0 or more than 65,536 parties; [`Error::Os`] if memory or descriptors run out.
    pub fn new(parties: u32) -> Result<Self> {
        Barrier::create(parties, NO_TIMEOUT)
    }

    /// Creates a barrier for `parties` with a default timeout for their waits.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_timeout(parties: u32, timeout: Duration) -> Result<Self> {
        Barrier::create(parties, u64::try_from(timeout.as_nanos()).unwrap_or(NO_TIMEOUT))
    }

    fn create(parties: u32, timeout_ns: u64) -> Result<Self> {
        check_range("the number of parties", parties.into(), 1..=MAX_PARTIES.into())?;
        let process_table = ProcessTable::ours()?;
        let init = |state: &BarrierState| -> io::Result<()> {
            state.creator.store(process_table.me().to_word(), Relaxed);
            state.parties.store(parties, Relaxed);
            state.timeout_ns.store(timeout_ns, Relaxed);
            state.mutex.init()
        };
        let bytes = parties as usize * size_of::<AtomicU64>();
        Barrier::of(Mapping::create(bytes, init).map_err(os("make a barrier"))?)
    }

    fn of(state: Mapping<BarrierState>) -> Result<Self> {
        let process_table = ProcessTable::ours()?;
        Ok(Barrier(Arc::new(Handle { state, process_table, is_member: AtomicBool::new(false) })))
    }

    /// Returns the number of parties in a round.
    pub fn parties(&self) -> u32 {
        self.0.parties()
    }

    /// Returns the number of parties waiting now.
    pub fn n_waiting(&self) -> u32 {
        point(Operation::read("barrier.n_waiting"), &self.0.state, always);
        self.0.waiting()
    }

    /// Returns whether the barrier is broken: every wait fails until [`reset`](Self::reset) is called.
    pub fn broken(&self) -> bool {
        point(Operation::read("barrier.broken"), &self.0.state, always);
        self.0.is_broken()
    }

    /// Blocks until all parties wait, then releases all of them. Returns this party's index in the order of arrival,
    /// from 0, which is unique within a round.
    ///
    /// Waits at most for the barrier's default timeout.
    ///
    /// # Errors
    /// [`Error::BrokenBarrier`] if the barrier is broken or breaks before all parties have arrived.
    ///
    /// # Death
    /// A party that dies breaks the barrier for the others, within 100 ms.
    pub fn wait(&self) -> Result<u32> {
        self.0.wait_until(self.0.default_deadline(), None::<fn()>)
    }

    /// As [`wait`](Self::wait), with an action that the last party to arrive runs before any is released.
    ///
    /// If the action panics, the barrier breaks for the others and the panic continues here.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_with(&self, action: impl FnOnce()) -> Result<u32> {
        self.0.wait_until(self.0.default_deadline(), Some(action))
    }

    /// As [`wait`](Self::wait), but for at most `timeout` on the monotonic clock. A wait that times out breaks the
    /// barrier for all parties.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u32> {
        self.0.wait_until(Deadline::after(timeout), None::<fn()>)
    }

    /// Breaks the barrier: all current and future waits fail until [`reset`](Self::reset) is called.
    pub fn abort(&self) {
        point(Operation::change("barrier.abort"), &self.0.state, always);
        self.0.break_up(None, BreakCause::Aborted);
    }

    /// Resets the barrier to its initial state. Current waits fail. Members that have died are no longer expected.
    pub fn reset(&self) {
        let Handle { state, process_table, .. } = &*self.0;
        point(Operation::change("barrier.reset"), state, always);
        let _held = state.mutex.hold();
        state.members.strike_off(|slot| !process_table.is_alive(slot));
        loop {
            let cycle = state.cycle.load(Acquire);
            self.0.outcome_of(cycle / ROUND).store(cycle & !BROKEN, Relaxed);
            if self.0.change(cycle, (cycle & !BROKEN).wrapping_add(ROUND)) {
                return;
            }
        }
    }
}

impl Handle {
    fn parties(&self) -> u32 {
        // A process with access to the memory could write anything; there are never more parties than places.
        self.state.parties.load(Relaxed).min(self.state.tail_as::<AtomicU64>().len() as u32)
    }

    fn waiting(&self) -> u32 {
        let cycle = self.state.cycle.load(Acquire);
        let arrived = self.arrived(cycle / ROUND);
        if cycle & BROKEN != 0 || arrived == self.parties() { 0 } else { arrived }
    }

    fn is_broken(&self) -> bool {
        self.state.cycle.load(Acquire) & BROKEN != 0
    }

    fn default_deadline(&self) -> Deadline {
        match self.state.timeout_ns.load(Relaxed) {
            NO_TIMEOUT => Deadline::NEVER,
            timeout_ns => Deadline::after(Duration::from_nanos(timeout_ns)),
        }
    }

    fn wait_until(&self, deadline: Deadline, action: Option<impl FnOnce()>) -> Result<u32> {
        point(Operation::change("barrier.wait"), &self.state, always);
        check_not_forked()?;
        loop {
            let cycle = self.state.cycle.load(Acquire);
            if cycle & BROKEN != 0 {
                return Err(self.cause());
            }
            self.become_member(deadline)?;
            let Some(index) = self.take_place(cycle / ROUND) else {
                // The round is full; the last party is about to end it.
                self.sleep(cycle, deadline)?;
                continue;
            };
            self.break_if_missing(cycle);
            let is_last = index + 1 == self.parties();
            let ended = if is_last { self.complete(cycle, deadline, action) } else { self.sleep(cycle, deadline) };
            return ended.map(|()| index);
        }
    }

    /// Claims the first place that is free in `round`; `None` if there is none, or the round is over.
    fn take_place(&self, round: u32) -> Option<u32> {
        let own = u64::from(round) << 32 | u64::from(self.process_table.me().to_word());
        let claim = |now| (now == 0 || is_before((now >> 32) as u32, round)).then_some(own);
        // pairs with: `missing`, `take_place` of others
        let claimed = self.places().iter().position(|place| place.fetch_update(AcqRel, Acquire, claim).is_ok());
        claimed.map(|index| index as u32)
    }

    /// Runs the action of a full round, and completes the round unless it was broken or reset.
    fn complete(&self, cycle: u32, deadline: Deadline, action: Option<impl FnOnce()>) -> Result<()> {
        let unless_done = BreaksWhenDropped { barrier: self, cycle };
        if let Some(action) = action {
            action();
        }
        std::mem::forget(unless_done);
        let round = cycle / ROUND;
        let Some(_held) = self.hold(deadline) else {
            self.break_up(Some(cycle), BreakCause::TimedOut);
            return self.ended(round);
        };
        if self.state.cycle.load(Acquire) == cycle {
            self.outcome_of(round).store(cycle | COMPLETED, Relaxed);
            self.change(cycle, cycle.wrapping_add(ROUND));
        }
        // Unless another has broken it just then.
        self.ended(round)
    }

    /// Replaces `cycle`, and wakes all waiters. Returns `false` if it has changed meanwhile.
    fn change(&self, cycle: u32, then: u32) -> bool {
        let is_changed = self.state.cycle.compare_exchange(cycle, then, AcqRel, Relaxed).is_ok();
        if is_changed {
            futex::wake(&self.state.cycle, futex::ALL);
        }
        is_changed
    }

    /// Sleeps until `cycle` is over.
    fn sleep(&self, cycle: u32, deadline: Deadline) -> Result<()> {
        let round = cycle / ROUND;
        let is_over = || self.state.cycle.load(Acquire) != cycle;
        let can_go_on = || is_over() || self.missing(round).is_some();
        point_until(Operation::change("barrier.wake"), &self.state, || deadline, can_go_on);
        loop {
            if is_over() {
                return self.ended(round);
            }
            if deadline.has_passed() {
                self.break_up(Some(cycle), BreakCause::TimedOut);
            } else {
                self.break_if_missing(cycle);
            }
            // Returns at once if that was broken.
            futex::wait(&self.state.cycle, cycle, Some(deadline.next_check()));
        }
    }

    /// Returns how a past round ended.
    fn ended(&self, round: u32) -> Result<()> {
        if self.state.cycle.load(Acquire) == (round * ROUND) | BROKEN {
            return Err(self.cause());
        }
        let outcome = self.outcome_of(round).load(Acquire);
        // An overwritten outcome is long past, and a broken barrier does not continue by itself.
        if outcome == round * ROUND { Err(Error::BrokenBarrier(BreakCause::Reset)) } else { Ok(()) }
    }

    fn cause(&self) -> Error {
        Error::BrokenBarrier(BreakCause::from_word(self.state.cause.load(Acquire)))
    }

    /// Breaks the barrier if the round of `cycle` cannot end because a process died.
    fn break_if_missing(&self, cycle: u32) {
        let Some(slot) = self.missing(cycle / ROUND) else { return };
        // A process that never used its handle is known to the process table until its slot is reused.
        let mut named = self.state.pids.iter().map(|word| word.load(Acquire));
        let known = named.find(|named| (named >> 32) as u32 == slot.to_word()).map(|named| named as u32);
        self.break_up(Some(cycle), BreakCause::Died(known.or_else(|| self.process_table.pid_of(slot))));
    }

    /// Holds the mutex. Returns `None` at `deadline`, but not before 100 ms, if a process that is stopped holds it.
    fn hold(&self, deadline: Deadline) -> Option<HeldMutex<'_>> {
        let until_ns = deadline.at_ns().map(|at_ns| at_ns.max(monotonic_ns() + LIVENESS_CHECK_NS));
        let mutex = &self.state.mutex;
        mutex.held(mutex.lock(until_ns))
    }

    /// Breaks the barrier unless it is already broken. If `cycle` is given, only while it is the current cycle.
    fn break_up(&self, cycle: Option<u32>, cause: BreakCause) {
        loop {
            let now = self.state.cycle.load(Acquire);
            if now & BROKEN != 0 || cycle.is_some_and(|cycle| cycle != now) {
                return;
            }
            self.state.cause.store(cause.to_word(), Release);
            if self.change(now, now | BROKEN) {
                return;
            }
        }
    }

    /// Returns a dead process without which the current `round` cannot end.
    fn missing(&self, round: u32) -> Option<ProcessSlot> {
        let arrived = &self.places()[..self.arrived(round) as usize];
        let is_dead = |slot: &ProcessSlot| !self.process_table.is_alive(*slot);
        let arrived_slots = || arrived.iter().filter_map(|place| ProcessSlot::from_word(place.load(Acquire) as u32));
        if let Some(dead) = arrived_slots().find(is_dead) {
            return Some(dead);
        }
        let members = || self.state.members.all().map(|(_, member)| member.slot);
        let dead = members().find(is_dead)?;
        // A living process can still arrive: as one party, or as the several that it already has waiting.
        let creator = ProcessSlot::from_word(self.state.creator.load(Acquire)).filter(|slot| !is_dead(slot));
        let creator_may_come = creator.is_some() && members().count() < self.parties() as usize;
        let threads_of = |slot: ProcessSlot| arrived_slots().filter(|arrived| *arrived == slot).count().max(1);
        let possible: usize = members().filter(|slot| !is_dead(slot)).map(threads_of).sum();
        (possible + usize::from(creator_may_come) < self.parties() as usize).then_some(dead)
    }

    fn become_member(&self, deadline: Deadline) -> Result<()> {
        if self.is_member.load(Relaxed) {
            return Ok(());
        }
        let _held = self.hold(deadline).ok_or(Error::BrokenBarrier(BreakCause::TimedOut))?;
        // Another thread with the same handle may have been first.
        if !self.is_member.load(Relaxed) {
            let me = self.process_table.me();
            let index = self.state.members.add(me, 1, NEVER_GONE)?;
            self.state.pids[index].store(u64::from(me.to_word()) << 32 | u64::from(std::process::id()), Release);
            // After the membership: counted twice for a moment, it is never missed.
            self.state.creator.store(0, Release);
            self.is_member.store(true, Relaxed);
        }
        Ok(())
    }

    /// One place for each party: round and slot of its last user.
    fn places(&self) -> &[AtomicU64] {
        &self.state.tail_as()[..self.parties() as usize]
    }

    /// Returns how many parties have arrived in `round`.
    fn arrived(&self, round: u32) -> u32 {
        let is_here = |place: &&AtomicU64| {
            let now = place.load(Acquire);
            now != 0 && (now >> 32) as u32 == round
        };
        self.places().iter().take_while(is_here).count() as u32
    }

    fn outcome_of(&self, round: u32) -> &AtomicU32 {
        &self.state.outcomes[round as usize % OUTCOMES]
    }
}

/// Returns whether round `one` precedes round `other`; rounds are counted with 31 bits.
fn is_before(one: u32, other: u32) -> bool {
    let ahead = other.wrapping_sub(one) << 1;
    ahead != 0 && ahead < 1 << 31
}

/// Breaks the barrier if the action unwinds.
struct BreaksWhenDropped<'a> {
    barrier: &'a Handle,
    cycle: u32,
}

impl Drop for BreaksWhenDropped<'_> {
    fn drop(&mut self) {
        self.barrier.break_up(Some(self.cycle), BreakCause::ActionFailed);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A panicking process has not left normally: its end counts as a death. A forked child's copy belongs to no
        // party.
        if thread::panicking() || forked_from().is_some() {
            return;
        }
        if *self.is_member.get_mut() {
            remove(&self.state, self.process_table.me());
        } else {
            let _held = self.state.mutex.hold();
            self.state.creator.store(0, Release);
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Barrier(handle) = self;
        let mut shown = f.debug_struct("Barrier");
        shown.field("parties", &handle.parties()).field("n_waiting", &handle.waiting());
        shown.field("broken", &handle.is_broken()).finish_non_exhaustive()
    }
}

/// Uncounts one handle of the process in `slot`.
fn remove(state: &BarrierState, slot: ProcessSlot) {
    let _held = state.mutex.hold();
    state.members.remove(slot, 1);
}

impl Barrier {
    /// Counts a handle of the process in `recipient`, before it is sent. Returns what is sent.
    fn counted_for(&self, recipient: ProcessSlot) -> Result<(&Mapping<BarrierState>, u32)> {
        let Handle { state, process_table, .. } = &*self.0;
        let _held = state.mutex.hold();
        // A party whose parent knows of its death is replaced.
        let is_gone = |slot: &ProcessSlot| process_table.was_waited_for(*slot);
        if let Some(gone) = state.members.all().map(|(_, member)| member.slot).find(is_gone) {
            state.members.strike_off(|slot| slot == gone);
        }
        state.members.add(recipient, 1, NEVER_GONE)?;
        let counted = state.clone();
        Ok((state, transfer::counted(move || remove(&counted, recipient))))
    }

    fn received((state, counted): (Mapping<BarrierState>, u32)) -> Result<Self> {
        let barrier = Barrier::of(state.clone())?;
        barrier.0.become_member(Deadline::NEVER)?;
        let me = barrier.0.process_table.me();
        transfer::received(counted, move || remove(&state, me));
        Ok(barrier)
    }
}

sent_in_roles!(
    [] Barrier, "a Barrier", |barrier, recipient| barrier.counted_for(recipient),
    |sent: (Mapping<BarrierState>, u32)| Barrier::received(sent)
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{goes, passed};
    use crate::ipc::operation::{Point, observe};
    use crate::ipc::test_util::{watchdog, with_sleepers, without_a_look};
    use std::cell::RefCell;
    use std::rc::Rc;

    fn barrier(parties: u32) -> Barrier {
        Barrier::new(parties).expect("a barrier")
    }

    /// Returns the results of `n` waiting threads, sorted.
    fn wait_with_threads(barrier: &Barrier, n: usize) -> Vec<u32> {
        let mut indices: Vec<u32> = thread::scope(|scope| {
            let parties: Vec<_> = (0..n).map(|_| scope.spawn(|| barrier.wait().expect("all come"))).collect();
            parties.into_iter().map(|party| party.join().expect("no panic")).collect()
        });
        indices.sort_unstable();
        indices
    }

    fn await_waiting(barrier: &Barrier, n: u32) {
        while barrier.n_waiting() < n {
            thread::yield_now();
        }
    }

    fn cause(outcome: Result<u32>) -> BreakCause {
        let Err(Error::BrokenBarrier(cause)) = outcome else { panic!("{outcome:?}") };
        cause
    }

    #[test]
    fn last_party_passes_one_point_and_others_two() {
        let _watchdog = watchdog();
        let barrier = Barrier::new(2).expect("a barrier");
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (note, other) = (Rc::clone(&seen), barrier.clone());
        let observing = observe(move |point: &Point<'_>| {
            note.borrow_mut().push((point.operation.name, point.can_go()));
            if point.operation.name == "barrier.wake" {
                thread::scope(|scope| scope.spawn(|| other.wait()).join()).expect("no panic").expect("the second");
                note.borrow_mut().push(("all are here", point.can_go()));
            }
        });
        assert_eq!(barrier.wait().expect("the first"), 0);
        drop(observing);
        assert_eq!(*seen.borrow(), [("barrier.wait", true), ("barrier.wake", false), ("all are here", true)]);
    }

    #[test]
    fn every_operation_without_a_wait_passes_one_point() {
        let _watchdog = watchdog();
        let alone = Barrier::new(1).expect("a barrier");
        assert_eq!(goes("barrier.wait", &alone.0.state, || alone.wait()).expect("all are here"), 0);
        let barrier = Barrier::new(2).expect("a barrier");
        let object = &barrier.0.state;
        assert_eq!(goes("barrier.n_waiting", object, || barrier.n_waiting()), 0);
        let (outcome, points) = passed(|| barrier.wait_timeout(Duration::from_millis(1)));
        outcome.expect_err("nobody else came");
        assert_eq!(points.iter().map(|point| point.operation).collect::<Vec<_>>(), ["barrier.wait", "barrier.wake"]);
        assert!(goes("barrier.broken", object, || barrier.broken()));
        goes("barrier.reset", object, || barrier.reset());
        goes("barrier.abort", object, || barrier.abort());
    }

    #[test]
    fn smoke() {
        let _watchdog = watchdog();
        let barrier = barrier(3);
        assert_eq!((barrier.parties(), barrier.n_waiting(), barrier.broken()), (3, 0, false));
        for _ in 0..20 {
            assert_eq!(wait_with_threads(&barrier, 3), [0, 1, 2]);
        }
    }

    #[test]
    fn single_party_never_waits() {
        let _watchdog = watchdog();
        let barrier = barrier(1);
        for _ in 0..40 {
            assert_eq!(barrier.wait_timeout(Duration::ZERO).expect("all are here"), 0);
        }
    }

    #[test]
    fn no_parties_and_too_many_are_errors() {
        assert!(matches!(Barrier::new(0), Err(Error::OutOfRange { given: 0, .. })));
        assert!(matches!(Barrier::new(MAX_PARTIES + 1), Err(Error::OutOfRange { .. })));
    }

    #[test]
    fn more_threads_than_parties_go_in_rounds() {
        let _watchdog = watchdog();
        assert_eq!(wait_with_threads(&barrier(2), 6), [0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn timeout_breaks_for_everybody_until_reset() {
        let _watchdog = watchdog();
        let barrier = Barrier::with_timeout(3, Duration::from_secs(60)).expect("a barrier");
        thread::scope(|scope| {
            let waiter = scope.spawn(|| cause(barrier.wait()));
            await_waiting(&barrier, 1);
            assert_eq!(cause(barrier.wait_timeout(Duration::from_millis(1))), BreakCause::TimedOut);
            assert_eq!(waiter.join().expect("no panic"), BreakCause::TimedOut);
        });
        assert!(barrier.broken());
        assert_eq!(cause(barrier.wait()), BreakCause::TimedOut, "those who come later too");
        barrier.reset();
        assert_eq!(wait_with_threads(&barrier, 3), [0, 1, 2]);
        let brief = Barrier::with_timeout(2, Duration::from_millis(1)).expect("a barrier");
        assert_eq!(cause(brief.wait()), BreakCause::TimedOut, "the barrier's own timeout");
    }

    #[test]
    fn wait_fails_on_time_while_a_stopped_party_holds_the_mutex() {
        let _watchdog = watchdog();
        let barrier = barrier(2);
        assert_eq!(wait_with_threads(&barrier, 2), [0, 1]);
        let held = barrier.0.state.mutex.hold();
        let wait = || cause(barrier.wait_timeout(Duration::from_millis(1)));
        assert_eq!(thread::scope(|scope| scope.spawn(wait).join().expect("no panic")), BreakCause::TimedOut);
        drop(held);
        assert!(barrier.broken());
    }

    #[test]
    fn abort_and_reset_let_the_waiting_go_with_an_error() {
        let _watchdog = watchdog();
        let barrier = barrier(2);
        for (end, expected) in
            [(Barrier::abort as fn(&Barrier), BreakCause::Aborted), (Barrier::reset, BreakCause::Reset)]
        {
            thread::scope(|scope| {
                let waiter = scope.spawn(|| cause(barrier.wait()));
                await_waiting(&barrier, 1);
                end(&barrier);
                assert_eq!(waiter.join().expect("no panic"), expected);
            });
            assert_eq!(barrier.broken(), expected == BreakCause::Aborted);
            barrier.reset();
            assert_eq!(wait_with_threads(&barrier, 2), [0, 1]);
        }
    }

    #[test]
    fn action_runs_once_before_anybody_goes() {
        let _watchdog = watchdog();
        let barrier = barrier(3);
        let ran = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 1..=20 {
                        barrier.wait_with(|| assert!(ran.fetch_add(1, Relaxed) < 20)).expect("all come");
                        assert!(ran.load(Relaxed) >= round);
                        barrier.wait().expect("all come");
                        assert_eq!(ran.load(Relaxed), round);
                        barrier.wait().expect("all come");
                    }
                });
            }
        });
    }

    #[test]
    fn panic_in_the_action_breaks_for_the_others_and_goes_on() {
        let _watchdog = watchdog();
        let barrier = barrier(2);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| cause(barrier.wait()));
            await_waiting(&barrier, 1);
            let unwound = std::panic::catch_unwind(|| barrier.wait_with(|| panic!("in it")));
            assert!(unwound.is_err());
            assert_eq!(waiter.join().expect("no panic"), BreakCause::ActionFailed);
        });
        assert!(barrier.broken());
    }

    #[test]
    fn last_party_wakes_who_sleeps() {
        let _watchdog = watchdog();
        without_a_look(|| {
            let barrier = barrier(4);
            let wait = || assert!(barrier.wait().expect("all come") < 4);
            with_sleepers(3, wait, wait);
        });
        without_a_look(|| {
            let barrier = barrier(4);
            with_sleepers(3, || assert_eq!(cause(barrier.wait()), BreakCause::Aborted), || barrier.abort());
        });
    }

    #[test]
    fn abort_during_the_action_reaches_all() {
        let _watchdog = watchdog();
        let barrier = barrier(2);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| cause(barrier.wait()));
            await_waiting(&barrier, 1);
            assert_eq!(cause(barrier.wait_with(|| barrier.abort())), BreakCause::Aborted);
            assert_eq!(waiter.join().expect("no panic"), BreakCause::Aborted);
        });
    }

    #[test]
    fn member_that_dies_before_it_waits_breaks_only_if_it_is_needed() {
        let _watchdog = watchdog();
        let process_table = ProcessTable::ours().expect("a table");
        let (needed, spare) = (process_table.reserve().expect("a slot"), process_table.reserve().expect("a slot"));
        let barrier = barrier(2);
        for slot in [needed, spare] {
            barrier.0.state.members.add(slot, 1, NEVER_GONE).expect("room");
        }
        thread::scope(|scope| {
            let waiter = scope.spawn(|| cause(barrier.wait()));
            await_waiting(&barrier, 1);
            process_table.release_slot(spare);
            assert_eq!(barrier.0.missing(0), None, "this process and the needed one are enough");
            process_table.release_slot(needed);
            assert!(matches!(waiter.join().expect("no panic"), BreakCause::Died(_)));
        });
        barrier.reset();
        assert_eq!(wait_with_threads(&barrier, 2), [0, 1], "the dead are no longer counted on");
    }

    #[test]
    fn creator_that_has_not_waited_yet_is_one_of_the_parties() {
        let process_table = ProcessTable::ours().expect("a table");
        let slots = [(); 4].map(|()| process_table.reserve().expect("a slot"));
        let [dead, living, ..] = slots;
        let barrier = barrier(3);
        for slot in [dead, living] {
            barrier.0.state.members.add(slot, 1, NEVER_GONE).expect("room");
        }
        // The second of `living`'s threads has already arrived: with the creator that makes three.
        for place in &barrier.0.places()[..2] {
            place.store(living.to_word().into(), Relaxed);
        }
        process_table.release_slot(dead);
        assert_eq!(barrier.0.missing(0), None);
        barrier.0.state.members.add(slots[2], 1, NEVER_GONE).expect("room");
        process_table.release_slot(slots[2]);
        assert_eq!(barrier.0.missing(0), Some(dead), "given to as many as there are parties, it needs no creator");
        slots.into_iter().for_each(|slot| process_table.release_slot(slot));
    }

    #[test]
    fn rounds_are_told_apart_where_their_count_begins_anew() {
        let _watchdog = watchdog();
        let last = (1 << 31) - 1;
        assert!(is_before(0, 1) && is_before(last, 0) && is_before(last - 3, 5));
        assert!(!is_before(1, 0) && !is_before(0, last) && !is_before(7, 7));
        let barrier = barrier(2);
        barrier.0.state.cycle.store(u32::MAX - 1, Relaxed);
        for _ in 0..3 {
            assert_eq!(wait_with_threads(&barrier, 2), [0, 1]);
        }
        assert_eq!(barrier.0.state.cycle.load(Relaxed), 2 * ROUND);
    }

    #[test]
    fn late_comer_of_an_old_round_takes_no_place_of_the_new_one() {
        let barrier = barrier(2);
        assert_eq!(barrier.0.take_place(0), Some(0));
        barrier.reset();
        assert_eq!(barrier.0.take_place(1), Some(0));
        assert_eq!(
            (barrier.0.take_place(0), barrier.0.arrived(1)),
            (Some(1), 1),
            "a place that the new round does not use"
        );
        assert_eq!((barrier.0.take_place(1), barrier.0.arrived(1)), (Some(1), 2), "and does not miss");
        assert_eq!(barrier.0.take_place(1), None);
    }

    #[test]
    fn member_that_has_left_in_order_is_not_missed() {
        let process_table = ProcessTable::ours().expect("a table");
        let slot = process_table.reserve().expect("a slot");
        let barrier = barrier(2);
        for _ in 0..2 {
            barrier.0.state.members.add(slot, 1, NEVER_GONE).expect("room");
        }
        barrier.0.state.members.remove(slot, 1);
        process_table.release_slot(slot);
        assert_eq!(barrier.0.missing(0), Some(slot), "one of its two handles was not given back");
        barrier.0.state.members.remove(slot, 1);
        assert_eq!(barrier.0.missing(0), None);
    }

    #[test]
    fn party_that_dies_while_it_waits_breaks_for_who_comes() {
        let _watchdog = watchdog();
        let process_table = ProcessTable::ours().expect("a table");
        let dead = process_table.reserve().expect("a slot");
        let barrier = barrier(2);
        barrier.0.places()[0].store(dead.to_word().into(), Relaxed);
        process_table.release_slot(dead);
        assert!(matches!(cause(barrier.wait()), BreakCause::Died(_)));
    }
}
