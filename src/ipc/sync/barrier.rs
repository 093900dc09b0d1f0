//! A barrier at which a fixed number of parties wait for each other, round after round.
//!
//! # State
//! `cycle` is `round << 1 | BROKEN`, the word that all waiters sleep on. An arriving party writes `round << 32 | slot`
//! into the first place of the tail that this round has not used: that is its arrival, and the place's number is its
//! index. Places of earlier rounds count as free, so they need no clearing. The last party to arrive ends the round: it
//! adds to `cycle` and wakes all waiters in one system call. `outcomes` records how the last few rounds ended, for
//! waiters that wake late. `cycle` and what belongs to it change under `mutex`, which is never held while a party
//! sleeps or runs an action.
//!
//! # Ordering
//! A place is written with `AcqRel` and read with `Acquire`, so the last party sees what all parties did before they
//! arrived. A waiter loads `cycle` with `Acquire` after the last party changed it.
//!
//! # Death
//! Every change is one store, so an abandoned mutex needs no repair. A party that dies while it waits, or runs the
//! action, breaks the barrier for the others: they check each other's slots every 100 ms. Processes that were given the
//! barrier are known before they start; if one of them dies without having waited, and too few are left for the round,
//! the barrier breaks as well. A process that drops its handle leaves the barrier and is no longer expected.
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
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, check_not_forked, os};
use crate::ipc::operation::{Operation, always, point};
use crate::ipc::process::members::Members;
use crate::ipc::process::table::{ProcessSlot, ProcessTable, SLOTS};
use crate::ipc::process::transfer::{self, sent_in_roles};
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::fork::forked_from;
use crate::sys::futex;
use crate::sys::robust::RobustMutex;
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
pub struct Barrier {
    state: Mapping<BarrierState>,
    process_table: &'static ProcessTable,
    membership: Arc<Membership>,
}

/// Whether a handle and its clones, together, are counted among the members. Dropping the last of them leaves.
#[derive(Debug)]
struct Membership {
    state: Mapping<BarrierState>,
    process_table: &'static ProcessTable,
    is_member: AtomicBool,
}

/// The state of a party after its arrival.
enum Arrival {
    /// It waits for others; holds the value of `cycle` to sleep on.
    Waiting { cycle: u32, index: u32 },
    /// It was the last; the action is to be run before the round ends.
    Last { cycle: u32, index: u32 },
    /// It was the last, and the round has ended.
    Ended { index: u32 },
    /// The round is full; its last party is about to end it.
    Full { cycle: u32 },
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
        if !(1..=MAX_PARTIES).contains(&parties) {
            let given = parties.into();
            return Err(Error::OutOfRange { what: "the number of parties", given, least: 1, most: MAX_PARTIES.into() });
        }
        let process_table = ProcessTable::ours()?;
        let init = |state: &BarrierState| -> io::Result<()> {
            state.creator.store(process_table.me().to_word(), Relaxed);
            state.parties.store(parties, Relaxed);
            state.timeout_ns.store(timeout_ns, Relaxed);
            state.mutex.init()
        };
        let bytes = parties as usize * size_of::<AtomicU64>();
        Barrier::of(Mapping::create(bytes, init).map_err(os("make a barrier"))?, false)
    }

    fn of(state: Mapping<BarrierState>, is_member: bool) -> Result<Self> {
        let process_table = ProcessTable::ours()?;
        let membership = Membership { state: state.clone(), process_table, is_member: AtomicBool::new(is_member) };
        Ok(Barrier { state, process_table, membership: Arc::new(membership) })
    }

    /// Returns the number of parties in a round.
    pub fn parties(&self) -> u32 {
        // A process with access to the memory could write anything; there are never more parties than places.
        self.state.parties.load(Relaxed).min(self.state.tail_as::<AtomicU64>().len() as u32)
    }

    /// Returns the number of parties waiting now.
    pub fn n_waiting(&self) -> u32 {
        point(Operation::read("barrier.n_waiting"), &self.state, always);
        self.waiting()
    }

    fn waiting(&self) -> u32 {
        let cycle = self.state.cycle.load(Acquire);
        let arrived = self.arrived(cycle / ROUND);
        if cycle & BROKEN != 0 || arrived == self.parties() { 0 } else { arrived }
    }

    /// Returns whether the barrier is broken: every wait fails until [`reset`](Self::reset) is called.
    pub fn broken(&self) -> bool {
        point(Operation::read("barrier.broken"), &self.state, always);
        self.is_broken()
    }

    fn is_broken(&self) -> bool {
        self.state.cycle.load(Acquire) & BROKEN != 0
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
        self.wait_until(self.default_deadline(), None::<fn()>)
    }

    /// As [`wait`](Self::wait), with an action that the last party to arrive runs before any is released.
    ///
    /// If the action panics, the barrier breaks for the others and the panic continues here.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_with(&self, action: impl FnOnce()) -> Result<u32> {
        self.wait_until(self.default_deadline(), Some(action))
    }

    /// As [`wait`](Self::wait), but for at most `timeout` on the monotonic clock. A wait that times out breaks the
    /// barrier for all parties.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u32> {
        self.wait_until(Deadline::after(timeout), None::<fn()>)
    }

    /// Breaks the barrier: all current and future waits fail until [`reset`](Self::reset) is called.
    pub fn abort(&self) {
        point(Operation::change("barrier.abort"), &self.state, always);
        let _held = self.state.mutex.hold();
        if !self.is_broken() {
            self.break_now(BreakCause::Aborted);
        }
    }

    /// Resets the barrier to its initial state. Current waits fail. Members that have died are no longer expected.
    pub fn reset(&self) {
        point(Operation::change("barrier.reset"), &self.state, always);
        let _held = self.state.mutex.hold();
        let state = &self.state;
        state.members.strike_off(|slot| !self.process_table.is_alive(slot));
        let cycle = state.cycle.load(Relaxed);
        self.outcome_of(cycle / ROUND).store(cycle & !BROKEN, Relaxed);
        // A broken barrier's word is odd, so adding one ends the round and repairs it.
        futex::add_and_wake(&state.cycle, if cycle & BROKEN != 0 { 1 } else { ROUND as u16 }, futex::ALL);
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
            match self.arrive(action.is_some())? {
                Arrival::Ended { index } => return Ok(index),
                Arrival::Last { cycle, index } => return self.run(action, cycle).map(|()| index),
                Arrival::Waiting { cycle, index } => return self.sleep(cycle, deadline).map(|()| index),
                Arrival::Full { cycle } => self.sleep(cycle, deadline)?,
            }
        }
    }

    fn arrive(&self, with_action: bool) -> Result<Arrival> {
        let cycle = self.state.cycle.load(Acquire);
        if cycle & BROKEN != 0 {
            return Err(self.cause());
        }
        self.become_member()?;
        let (round, parties) = (cycle / ROUND, self.parties());
        let Some(index) = self.take_place(round) else { return Ok(Arrival::Full { cycle }) };
        if let Some(dead) = self.missing(round) {
            self.break_round(cycle, self.death_of(dead));
        }
        if index + 1 < parties {
            return Ok(Arrival::Waiting { cycle, index });
        }
        if with_action {
            return Ok(Arrival::Last { cycle, index });
        }
        self.complete(cycle).map(|()| Arrival::Ended { index })
    }

    /// Claims the first place that is free in `round`; `None` if there is none, or the round is over.
    fn take_place(&self, round: u32) -> Option<u32> {
        let own = u64::from(round) << 32 | u64::from(self.process_table.me().to_word());
        for (index, place) in (0..).zip(self.places()) {
            let mut now = place.load(Acquire);
            while now == 0 || is_before((now >> 32) as u32, round) {
                // pairs with: `missing`, `take_place` of others
                match place.compare_exchange(now, own, AcqRel, Acquire) {
                    Ok(_) => return Some(index),
                    Err(other) => now = other,
                }
            }
        }
        None
    }

    /// Runs the action of a full round and ends the round.
    fn run(&self, action: Option<impl FnOnce()>, cycle: u32) -> Result<()> {
        let unless_done = BreaksWhenDropped { barrier: self, cycle };
        if let Some(action) = action {
            action();
        }
        std::mem::forget(unless_done);
        self.complete(cycle)
    }

    /// Completes a full round, unless it was broken or reset.
    fn complete(&self, cycle: u32) -> Result<()> {
        let _held = self.state.mutex.hold();
        let round = cycle / ROUND;
        if self.state.cycle.load(Relaxed) != cycle {
            return self.ended(round);
        }
        self.outcome_of(round).store(cycle | COMPLETED, Relaxed);
        futex::add_and_wake(&self.state.cycle, ROUND as u16, futex::ALL);
        Ok(())
    }

    /// Sleeps until `cycle` is over.
    fn sleep(&self, cycle: u32, deadline: Deadline) -> Result<()> {
        // The second half of the wait. With a deadline, an exploration may let the time pass.
        let wake = if deadline == Deadline::NEVER {
            Operation::change("barrier.wake")
        } else {
            Operation::change("barrier.wake_timeout")
        };
        let is_over = || self.state.cycle.load(Acquire) != cycle || self.missing(cycle / ROUND).is_some();
        point(wake, &self.state, is_over);
        let round = cycle / ROUND;
        loop {
            futex::wait(&self.state.cycle, cycle, Some(deadline.next_check()));
            if self.state.cycle.load(Acquire) != cycle {
                return self.ended(round);
            }
            if deadline.has_passed() {
                self.break_round(cycle, BreakCause::TimedOut);
            } else if let Some(dead) = self.missing(round) {
                self.break_round(cycle, self.death_of(dead));
            }
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

    fn death_of(&self, slot: ProcessSlot) -> BreakCause {
        // A process that never used its handle is known to the process table until its slot is reused.
        let mut named = self.state.pids.iter().map(|word| word.load(Acquire));
        let known = named.find(|named| (named >> 32) as u32 == slot.to_word()).map(|named| named as u32);
        BreakCause::Died(known.or_else(|| self.process_table.pid_of(slot)))
    }

    fn cause(&self) -> Error {
        Error::BrokenBarrier(BreakCause::from_word(self.state.cause.load(Acquire)))
    }

    /// Breaks the barrier if `cycle` is still the current one.
    fn break_round(&self, cycle: u32, cause: BreakCause) {
        let _held = self.state.mutex.hold();
        if self.state.cycle.load(Relaxed) == cycle && cycle & BROKEN == 0 {
            self.break_now(cause);
        }
    }

    /// Breaks the barrier, with the mutex held.
    fn break_now(&self, cause: BreakCause) {
        self.state.cause.store(cause.to_word(), Release);
        futex::set_bits_and_wake_all(&self.state.cycle, BROKEN as u16);
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

    fn become_member(&self) -> Result<()> {
        let is_member = &self.membership.is_member;
        if is_member.load(Relaxed) {
            return Ok(());
        }
        let _held = self.state.mutex.hold();
        // Another thread with the same handle may have been first.
        if !is_member.load(Relaxed) {
            let me = self.process_table.me();
            self.state.members.add(me, 1, NEVER_GONE)?;
            if let Some((index, _)) = self.state.members.all().find(|(_, member)| member.slot == me) {
                self.state.pids[index].store(u64::from(me.to_word()) << 32 | u64::from(std::process::id()), Release);
            }
            // After the membership: counted twice for a moment, it is never missed.
            self.state.creator.store(0, Release);
            is_member.store(true, Relaxed);
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
    barrier: &'a Barrier,
    cycle: u32,
}

impl Drop for BreaksWhenDropped<'_> {
    fn drop(&mut self) {
        self.barrier.break_round(self.cycle, BreakCause::ActionFailed);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // A panicking process has not left normally: its end counts as a death. A forked child's copy belongs to no
        // party.
        if thread::panicking() || forked_from().is_some() {
            return;
        }
        let _held = self.state.mutex.hold();
        if *self.is_member.get_mut() {
            self.state.members.remove(self.process_table.me(), 1);
        } else {
            self.state.creator.store(0, Release);
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Barrier");
        shown.field("parties", &self.parties()).field("n_waiting", &self.waiting()).field("broken", &self.is_broken());
        shown.finish_non_exhaustive()
    }
}

/// Uncounts `slot` for a handle that was never created, or that its recipient counts itself by now.
fn remove(state: &BarrierState, slot: ProcessSlot) {
    let _held = state.mutex.hold();
    state.members.remove(slot, 1);
}

impl Barrier {
    fn counted_for(&self, recipient: ProcessSlot) -> Result<u32> {
        let _held = self.state.mutex.hold();
        let members = &self.state.members;
        // A party whose parent knows of its death is replaced.
        let is_gone = |slot: &ProcessSlot| self.process_table.was_waited_for(*slot);
        if let Some(gone) = members.all().map(|(_, member)| member.slot).find(is_gone) {
            members.strike_off(|slot| slot == gone);
        }
        members.add(recipient, 1, NEVER_GONE)?;
        let state = self.state.clone();
        Ok(transfer::counted(move || remove(&state, recipient)))
    }

    fn received(state: Mapping<BarrierState>, counted: u32) -> Result<Self> {
        let barrier = Barrier::of(state, false)?;
        barrier.become_member()?;
        let (state, me) = (barrier.state.clone(), barrier.process_table.me());
        transfer::received(counted, move || remove(&state, me));
        Ok(barrier)
    }
}

sent_in_roles!(
    [] Barrier, "a Barrier", |barrier, recipient| Ok((&barrier.state, barrier.counted_for(recipient)?)),
    |(state, counted): (Mapping<BarrierState>, u32)| Barrier::received(state, counted)
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
        assert_eq!(goes("barrier.wait", &alone.state, || alone.wait()).expect("all are here"), 0);
        let barrier = Barrier::new(2).expect("a barrier");
        let object = &barrier.state;
        assert_eq!(goes("barrier.n_waiting", object, || barrier.n_waiting()), 0);
        let (outcome, points) = passed(|| barrier.wait_timeout(Duration::from_millis(1)));
        outcome.expect_err("nobody else came");
        assert_eq!(
            points.iter().map(|point| point.operation).collect::<Vec<_>>(),
            ["barrier.wait", "barrier.wake_timeout"]
        );
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
            barrier.state.members.add(slot, 1, NEVER_GONE).expect("room");
        }
        thread::scope(|scope| {
            let waiter = scope.spawn(|| cause(barrier.wait()));
            await_waiting(&barrier, 1);
            process_table.release_slot(spare);
            assert_eq!(barrier.missing(0), None, "this process and the needed one are enough");
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
            barrier.state.members.add(slot, 1, NEVER_GONE).expect("room");
        }
        // The second of `living`'s threads has already arrived: with the creator that makes three.
        for place in &barrier.places()[..2] {
            place.store(living.to_word().into(), Relaxed);
        }
        process_table.release_slot(dead);
        assert_eq!(barrier.missing(0), None);
        barrier.state.members.add(slots[2], 1, NEVER_GONE).expect("room");
        process_table.release_slot(slots[2]);
        assert_eq!(barrier.missing(0), Some(dead), "given to as many as there are parties, it needs no creator");
        slots.into_iter().for_each(|slot| process_table.release_slot(slot));
    }

    #[test]
    fn rounds_are_told_apart_where_their_count_begins_anew() {
        let _watchdog = watchdog();
        let last = (1 << 31) - 1;
        assert!(is_before(0, 1) && is_before(last, 0) && is_before(last - 3, 5));
        assert!(!is_before(1, 0) && !is_before(0, last) && !is_before(7, 7));
        let barrier = barrier(2);
        barrier.state.cycle.store(u32::MAX - 1, Relaxed);
        for _ in 0..3 {
            assert_eq!(wait_with_threads(&barrier, 2), [0, 1]);
        }
        assert_eq!(barrier.state.cycle.load(Relaxed), 2 * ROUND);
    }

    #[test]
    fn late_comer_of_an_old_round_takes_no_place_of_the_new_one() {
        let barrier = barrier(2);
        assert_eq!(barrier.take_place(0), Some(0));
        barrier.reset();
        assert_eq!(barrier.take_place(1), Some(0));
        assert_eq!(
            (barrier.take_place(0), barrier.arrived(1)),
            (Some(1), 1),
            "a place that the new round does not use"
        );
        assert_eq!((barrier.take_place(1), barrier.arrived(1)), (Some(1), 2), "and does not miss");
        assert_eq!(barrier.take_place(1), None);
    }

    #[test]
    fn member_that_has_left_in_order_is_not_missed() {
        let process_table = ProcessTable::ours().expect("a table");
        let slot = process_table.reserve().expect("a slot");
        let barrier = barrier(2);
        for _ in 0..2 {
            barrier.state.members.add(slot, 1, NEVER_GONE).expect("room");
        }
        barrier.state.members.remove(slot, 1);
        process_table.release_slot(slot);
        assert_eq!(barrier.missing(0), Some(slot), "one of its two handles was not given back");
        barrier.state.members.remove(slot, 1);
        assert_eq!(barrier.missing(0), None);
    }

    #[test]
    fn party_that_dies_while_it_waits_breaks_for_who_comes() {
        let _watchdog = watchdog();
        let process_table = ProcessTable::ours().expect("a table");
        let dead = process_table.reserve().expect("a slot");
        let barrier = barrier(2);
        barrier.places()[0].store(dead.to_word().into(), Relaxed);
        process_table.release_slot(dead);
        assert!(matches!(cause(barrier.wait()), BreakCause::Died(_)));
    }
}
