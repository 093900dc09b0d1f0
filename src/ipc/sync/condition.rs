//! A condition variable between processes.
//!
//! # State
//! A place for each waiter: FREE -> WAITING -> NOTIFIED -> FREE, with the waiter's slot and a ticket that orders the
//! waits. Each waiter sleeps on its own place, so a notification wakes exactly one waiter. Places change under `table`,
//! a mutex that is never held asleep; only a leaving waiter frees its own place by one store.
//!
//! `lock` is the number of the waiters' lock. It is binding while a living process has a place: the first waiter after
//! the last one has left sets its own lock. The places alone determine this, so a killed waiter binds nothing.
//!
//! # Ordering
//! `table` orders everything except a sleeper's check of its own place, which a notification stores in the kernel
//! before it wakes.
//!
//! # Death
//! The place of a dead waiter is skipped: it consumes no notification, and no process waits for it. If the receiver of
//! a notification dies before it holds the lock again, the notification goes to the next waiter of that time; sleepers
//! check for this every 100 ms. If a notifier dies while holding the lock, its waiters do not wait for a notification
//! that never comes: all of them return, even if another process acquires the lock first.
//!
//! # Standard
//! Python `multiprocessing.Condition`. Differs: it has no lock of its own but accepts the guard of any, as
//! `std::sync::Condvar` does, so several conditions can share a lock; holding the lock is checked at compile time;
//! `notify` does not wait for the waiters it wakes (gh-75158).

use std::fmt;
use std::time::Duration;

use super::lock_state::{LockGuard, LockState, Suspended};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, check_not_forked, os};
use crate::ipc::operation::{Object, ObjectId, Operation, always, point, point_until};
use crate::ipc::process::table::ProcessTable;
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::futex;
use crate::sys::robust::{HeldMutex, RobustMutex};
use crate::sys::shm::{Mapping, shared_layout};

const FREE: u32 = 0;
const WAITING: u32 = 1;
const NOTIFIED: u32 = 2;
/// Maximum number of waiters at once.
const PLACES: usize = 1024;

shared_layout! {
    struct Place {
        state: AtomicU32,
        slot: AtomicU32,
        /// Incremented with every wait: the oldest waiter is notified first.
        ticket: AtomicU32,
        /// For a notification: the ticket that the next waiter was going to get.
        stamp: AtomicU32,
    }
}

shared_layout! {
    struct ConditionState = b"conditio" {
        table: RobustMutex,
        /// The number of the lock that waiters release, 0 before the first.
        lock: AtomicU64,
        next_ticket: AtomicU32,
        /// Places from this index on were never used.
        used: AtomicU32,
        places: [Place; PLACES],
    }
}

/// A condition variable for a [`Lock`](crate::Lock) or an [`RLock`](crate::RLock).
///
/// ```
/// # use std::time::Duration;
/// # use ipc_demo::{Condition, Lock};
/// let (lock, not_empty) = (Lock::new()?, Condition::new()?);
/// let guard = lock.acquire()?;
/// let (guard, notified) = not_empty.wait_timeout(guard, Duration::from_millis(1))?;
/// assert!(!notified);
/// assert_eq!(not_empty.notify_all(&guard)?, 0, "nobody waits");
/// # Ok::<(), ipc_demo::Error>(())
/// ```
#[derive(Clone)]
pub struct Condition {
    state: Mapping<ConditionState>,
    process_table: &'static ProcessTable,
}

impl Condition {
    /// Creates a condition variable.
    ///
    /// # Errors
    /// [`Error::Os`] if memory or descriptors run out.
    pub fn new() -> Result<Self> {
        let init = |state: &ConditionState| state.table.init();
        Condition::of(Mapping::create(0, init).map_err(os("make a condition"))?)
    }

    fn of(state: Mapping<ConditionState>) -> Result<Self> {
        Ok(Condition { state, process_table: ProcessTable::ours()? })
    }

    /// Releases the lock, blocks until notified, and reacquires the lock.
    ///
    /// Releases every level of an [`RLock`](crate::RLock) and reacquires them all. No notification made after this
    /// call began is missed, and there are no spurious ones.
    ///
    /// # Errors
    /// [`Error::WrongLock`] if others wait with another lock, [`Error::TooManyWaiters`] above 1,024. The lock is
    /// released then.
    ///
    /// # Death
    /// If a process dies while it holds the lock, every wait that began before returns without a notification: the dead
    /// process may have been about to notify. A waiter notices the death within 100 ms, and returns once it has acquired
    /// the lock. [`LockGuard::abandoned`] reports the death only to the first holder after it.
    pub fn wait<'a>(&self, guard: LockGuard<'a>) -> Result<LockGuard<'a>> {
        self.wait_until(guard, Deadline::NEVER).map(|(guard, _)| guard)
    }

    /// As [`wait`](Self::wait), for at most `timeout` on the monotonic clock. The returned flag is `false` if it passed
    /// without a notification, and without the death of a holder.
    ///
    /// Reacquiring the lock may take longer: another process may hold it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout<'a>(&self, guard: LockGuard<'a>, timeout: Duration) -> Result<(LockGuard<'a>, bool)> {
        self.wait_until(guard, Deadline::after(timeout))
    }

    /// Blocks until `predicate` is true. It is called with the lock held: immediately, after every notification, and
    /// after the death of a holder.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_for<'a>(
        &self,
        guard: LockGuard<'a>,
        predicate: impl FnMut(&LockGuard<'a>) -> bool,
    ) -> Result<LockGuard<'a>> {
        self.wait_for_until(guard, Deadline::NEVER, predicate).map(|(guard, _)| guard)
    }

    /// Blocks until `predicate` is true, for at most `timeout` in all. Also returns its last result.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_for_timeout<'a>(
        &self,
        guard: LockGuard<'a>,
        timeout: Duration,
        predicate: impl FnMut(&LockGuard<'a>) -> bool,
    ) -> Result<(LockGuard<'a>, bool)> {
        self.wait_for_until(guard, Deadline::after(timeout), predicate)
    }

    fn wait_for_until<'a>(
        &self,
        mut guard: LockGuard<'a>,
        deadline: Deadline,
        mut predicate: impl FnMut(&LockGuard<'a>) -> bool,
    ) -> Result<(LockGuard<'a>, bool)> {
        let mut in_time = true;
        loop {
            let answer = predicate(&guard);
            if answer || !in_time {
                return Ok((guard, answer));
            }
            (guard, in_time) = self.wait_until(guard, deadline)?;
        }
    }

    fn wait_until<'a>(&self, guard: LockGuard<'a>, deadline: Deadline) -> Result<(LockGuard<'a>, bool)> {
        let lock = guard.0.state;
        point(Operation::change("condition.wait"), &(self, lock), always);
        check_not_forked()?;
        let place = self.enter(lock.id())?;
        let deaths = lock.deaths();
        let mut suspended = Suspended::from(guard);
        let can_go_on = || self.has_news(place, lock, deaths) && lock.can_be_acquired();
        loop {
            point_until(Operation::change("condition.wake"), &(self, lock), || deadline, can_go_on);
            while !deadline.has_passed() && !self.has_news(place, lock, deaths) {
                futex::wait(&place.state, WAITING, Some(deadline.next_check()));
            }
            if deadline.has_passed() {
                // The lock may be held by another.
                point(Operation::change("condition.reacquire"), &(self, lock), || lock.can_be_acquired());
            }
            let guard = suspended.resume()?;
            self.pass_on_orphans(&self.state.table.hold());
            let notified = place.state.load(Relaxed) == NOTIFIED || lock.deaths() != deaths;
            if notified || deadline.has_passed() {
                place.state.store(FREE, Release);
                return Ok((guard, notified));
            }
            suspended = Suspended::from(guard);
        }
    }

    /// Returns whether the waiter at `place` has to check: it was notified, or a process died. `deaths` is what the lock had
    /// counted when the wait began.
    fn has_news(&self, place: &Place, lock: &LockState, deaths: u32) -> bool {
        let has_died = || lock.is_abandoned() || lock.deaths() != deaths;
        place.state.load(Acquire) == NOTIFIED || has_died() || self.orphans().next().is_some()
    }

    /// Notifies the `n` longest waiting waiters, or all if there are fewer. Returns the number notified. Does nothing
    /// if none wait.
    ///
    /// They continue when the lock is released.
    ///
    /// # Errors
    /// [`Error::WrongLock`] if they wait with another lock.
    ///
    /// # System calls
    /// `futex`, once for each notified waiter.
    pub fn notify(&self, guard: &LockGuard<'_>, n: usize) -> Result<usize> {
        point(Operation::change("condition.notify"), &self.state, always);
        check_not_forked()?;
        let table = self.state.table.hold();
        self.check_bound(guard.0.state.id())?;
        self.pass_on_orphans(&table);
        let next_ticket = self.state.next_ticket.load(Relaxed);
        let mut waiting: Vec<&Place> = self.waiting().collect();
        waiting.sort_unstable_by_key(|place| std::cmp::Reverse(next_ticket.wrapping_sub(place.ticket.load(Relaxed))));
        waiting.truncate(n);
        waiting.iter().for_each(|place| wake(place, next_ticket));
        Ok(waiting.len())
    }

    /// Notifies all waiters. Returns the number notified.
    ///
    /// # Errors
    /// As [`notify`](Self::notify).
    pub fn notify_all(&self, guard: &LockGuard<'_>) -> Result<usize> {
        self.notify(guard, usize::MAX)
    }

    /// Returns the places that were ever used.
    fn places(&self) -> &[Place] {
        let used = self.state.used.load(Acquire) as usize;
        &self.state.places[..used.min(PLACES)]
    }

    /// Returns the places of the current waiters.
    fn waiting(&self) -> impl Iterator<Item = &Place> {
        self.places().iter().filter(|place| place.state.load(Acquire) == WAITING && self.lives(place))
    }

    /// Returns the places of the processes that died with a notification.
    fn orphans(&self) -> impl Iterator<Item = &Place> {
        self.places().iter().filter(|place| place.state.load(Acquire) == NOTIFIED && !self.lives(place))
    }

    fn lives(&self, place: &Place) -> bool {
        self.process_table.is_living(place.slot.load(Acquire))
    }

    /// Checks that no process waits with another lock: such a lock would not exclude that process.
    fn check_bound(&self, lock: ObjectId) -> Result<()> {
        let in_use = |place: &Place| place.state.load(Acquire) != FREE && self.lives(place);
        let is_bound = self.state.lock.load(Relaxed) != lock.to_word() && self.places().iter().any(in_use);
        if is_bound { Err(Error::WrongLock) } else { Ok(()) }
    }

    /// Claims a place, with the lock of number `lock` held.
    fn enter(&self, lock: ObjectId) -> Result<&Place> {
        let table = self.state.table.hold();
        self.check_bound(lock)?;
        self.pass_on_orphans(&table);
        // Before the place is claimed: a place in use always implies the binding lock.
        self.state.lock.store(lock.to_word(), Relaxed);
        let used = self.places();
        let is_free = |place: &Place| match place.state.load(Relaxed) {
            FREE => true,
            WAITING => !self.lives(place),
            _ => false,
        };
        let index = used.iter().position(is_free).unwrap_or(used.len());
        let place = self.state.places.get(index).ok_or(Error::TooManyWaiters { limit: PLACES })?;
        place.state.store(FREE, Release);
        place.ticket.store(self.state.next_ticket.fetch_add(1, Relaxed), Relaxed);
        place.slot.store(self.process_table.me().to_word(), Release);
        place.state.store(WAITING, Release);
        if index == used.len() {
            self.state.used.store(index as u32 + 1, Release);
        }
        Ok(place)
    }

    /// Passes the notifications of dead processes to waiters of that time.
    fn pass_on_orphans(&self, _table: &HeldMutex<'_>) {
        for orphan in self.orphans() {
            let stamp = orphan.stamp.load(Relaxed);
            // How long before the notification a waiter began; later waiters have the high bit set.
            let age = |place: &&Place| stamp.wrapping_sub(place.ticket.load(Relaxed)).wrapping_sub(1);
            orphan.state.store(FREE, Release);
            if let Some(heir) = self.waiting().filter(|place| age(place) < u32::MAX / 2).max_by_key(age) {
                wake(heir, stamp);
            }
        }
    }
}

/// Notifies the waiter at `place`, with the table held.
fn wake(place: &Place, stamp: u32) {
    place.stamp.store(stamp, Relaxed);
    futex::add_and_wake(&place.state, (NOTIFIED - WAITING) as u16, 1);
}

/// A condition, and the lock that a waiter releases and acquires.
impl Object for (&Condition, &LockState) {
    fn objects(&self) -> (ObjectId, Option<ObjectId>) {
        (self.0.state.objects().0, Some(self.1.id()))
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("n_waiting", &self.waiting().count()).finish_non_exhaustive()
    }
}

sent_in_roles!([] Condition, "a Condition", |condition, _| Ok(&condition.state), |state: Mapping<ConditionState>| {
    Condition::of(state)
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{Passed, goes, passed};
    use crate::ipc::operation::{Point, observe};
    use crate::ipc::process::table::ProcessSlot;
    use crate::ipc::test_util::{watchdog, with_sleepers, without_a_look};
    use crate::{Lock, RLock};
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::mpsc;
    use std::thread;

    fn pair() -> (Lock, Condition) {
        (Lock::new().expect("a lock"), Condition::new().expect("a condition"))
    }

    impl Condition {
        /// Blocks until `n` threads wait; without the lock.
        fn await_waiters(&self, n: usize) {
            while self.waiting().count() < n {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn wait_passes_two_points_and_notify_one() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let (object, lock_id) = (condition.state.objects().0, lock.state().id());
        let guard = lock.acquire().expect("free");
        assert_eq!(goes("condition.notify", &condition.state, || condition.notify_all(&guard)).expect("its lock"), 0);
        let (outcome, points) = passed(|| condition.wait_timeout(guard, Duration::from_millis(1)));
        let at = |operation, could_go| Passed { operation, object, lock: Some(lock_id), could_go };
        assert!(!outcome.expect("no error").1);
        let reacquired = at("condition.reacquire", true);
        assert_eq!(points, [at("condition.wait", true), at("condition.wake", false), reacquired]);
    }

    #[test]
    fn waiter_can_go_when_it_is_notified_and_the_lock_is_free() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (note, others) = (Rc::clone(&seen), (lock.clone(), condition.clone()));
        let observing = observe(move |point: &Point<'_>| {
            note.borrow_mut().push((point.operation.name, point.can_go()));
            if point.operation.name == "condition.wake" {
                // Another thread, because a thread's own lock does not block it.
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let guard = others.0.acquire().expect("the waiter released it");
                        assert_eq!(others.1.notify(&guard, 1).expect("its lock"), 1);
                    });
                });
                note.borrow_mut().push(("notified", point.can_go()));
            }
        });
        let guard = condition.wait(lock.acquire().expect("free")).expect("notified");
        drop(observing);
        drop(guard);
        let expected =
            [("lock.acquire", true), ("condition.wait", true), ("condition.wake", false), ("notified", true)];
        assert_eq!(*seen.borrow(), expected);
    }

    #[test]
    fn waiter_that_can_go_does_not_sleep_first() {
        let _watchdog = watchdog();
        without_a_look(|| {
            let (lock, condition) = pair();
            let other = lock.clone();
            let observing = observe(move |point: &Point<'_>| {
                if point.operation.name == "condition.wake" {
                    // A lock whose holder has ended counts as abandoned.
                    let die = || std::mem::forget(other.acquire().expect("the waiter released it"));
                    thread::scope(|scope| scope.spawn(die).join().expect("no panic"));
                    assert!(point.can_go());
                }
            });
            let guard = condition.wait(lock.acquire().expect("free")).expect("the lock is abandoned");
            drop(observing);
            assert!(guard.abandoned().is_some());
        });
    }

    #[test]
    fn death_of_a_holder_ends_the_wait_although_another_has_acquired_the_lock_since() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let other = lock.clone();
        let observing = observe(move |point: &Point<'_>| {
            if point.operation.name == "condition.wake" {
                let acquire = || other.acquire().expect("the waiter released it");
                thread::scope(|scope| {
                    scope.spawn(|| std::mem::forget(acquire())).join().expect("no panic");
                    scope.spawn(|| assert!(acquire().abandoned().is_some())).join().expect("no panic");
                });
                assert!(point.can_go());
            }
        });
        let guard = condition.wait(lock.acquire().expect("free")).expect("a holder has died");
        drop(observing);
        assert_eq!(guard.abandoned(), None, "that was reported to the other");
    }

    #[test]
    fn wait_times_out_and_leaves_the_condition_usable() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        for timeout in [Duration::ZERO, Duration::from_millis(1)] {
            let guard = lock.acquire().expect("free");
            let (guard, notified) = condition.wait_timeout(guard, timeout).expect("no error");
            assert!(!notified);
            assert_eq!(condition.notify_all(&guard).expect("the same lock"), 0);
        }
        assert_eq!(condition.places().len(), 1, "the place is used again");
    }

    #[test]
    fn wait_blocks_until_notified() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let (order, seen) = mpsc::channel();
        thread::scope(|scope| {
            let told = order.clone();
            let (lock, condition) = (&lock, &condition);
            scope.spawn(move || {
                let _guard = condition.wait(lock.acquire().expect("free")).expect("notified");
                told.send("woken").expect("the test listens");
            });
            condition.await_waiters(1);
            let guard = lock.acquire().expect("the waiter gave it up");
            assert_eq!(condition.notify(&guard, 1).expect("the same lock"), 1);
            order.send("notified").expect("the test listens");
        });
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["notified", "woken"]);
    }

    #[test]
    fn notify_wakes_exactly_n_the_oldest_first() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let (order, seen) = mpsc::channel();
        thread::scope(|scope| {
            for number in 0..5 {
                let (lock, condition, told) = (&lock, &condition, order.clone());
                scope.spawn(move || {
                    let guard = condition.wait(lock.acquire().expect("free")).expect("notified");
                    told.send(number).expect("the test listens");
                    drop(guard);
                });
                condition.await_waiters(number + 1);
            }
            let notify = |n| condition.notify(&lock.acquire().expect("free"), n).expect("the same lock");
            let woken = |n| {
                let mut woken: Vec<usize> = seen.iter().take(n).collect();
                woken.sort_unstable();
                woken
            };
            assert_eq!((notify(0), notify(1)), (0, 1));
            assert_eq!(woken(1), [0]);
            assert_eq!(notify(2), 2);
            assert_eq!(woken(2), [1, 2]);
            assert_eq!(notify(9), 2);
            assert_eq!(woken(2), [3, 4]);
            assert_eq!(notify(1), 0, "what is too much is not remembered");
        });
    }

    #[test]
    fn notify_all_wakes_who_sleeps() {
        let _watchdog = watchdog();
        without_a_look(|| {
            let (lock, condition) = pair();
            let sleep = || drop(condition.wait(lock.acquire().expect("free")).expect("notified"));
            with_sleepers(3, sleep, || {
                let guard = lock.acquire().expect("given up");
                assert_eq!(condition.notify_all(&guard).expect("the same lock"), 3);
            });
        });
    }

    #[test]
    fn wait_gives_up_every_level_of_an_rlock() {
        let _watchdog = watchdog();
        let (lock, condition) = (RLock::new().expect("a lock"), Condition::new().expect("a condition"));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let outer = lock.acquire().expect("free");
                let inner = condition.wait(lock.acquire().expect("own")).expect("notified");
                drop(inner);
                let other = thread::scope(|inside| {
                    inside.spawn(|| lock.try_acquire().expect("a try").is_none()).join().expect("no panic")
                });
                assert!(other, "both levels are back");
                drop(outer);
            });
            condition.await_waiters(1);
            let guard = lock.acquire().expect("the waiter gave it up");
            assert_eq!(condition.notify_all(&guard).expect("the same lock"), 1);
            drop(guard);
            waiter.join().expect("no panic");
        });
        assert!(lock.try_acquire().expect("a try").is_some());
    }

    #[test]
    fn wait_for_asks_again_after_every_notification() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let stock = AtomicU32::new(0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let guard = lock.acquire().expect("free");
                drop(condition.wait_for(guard, |_| stock.load(Relaxed) == 3).expect("notified"));
            });
            for _ in 0..3 {
                condition.await_waiters(1);
                let guard = lock.acquire().expect("the waiter gave it up");
                stock.fetch_add(1, Relaxed);
                assert_eq!(condition.notify_all(&guard).expect("the same lock"), 1);
            }
            waiter.join().expect("no panic");
        });
        let guard = lock.acquire().expect("free");
        let (guard, answer) = condition.wait_for_timeout(guard, Duration::ZERO, |_| false).expect("no error");
        assert!(!answer);
        let (_, answer) = condition.wait_for_timeout(guard, Duration::MAX, |_| true).expect("no error");
        assert!(answer);
    }

    #[test]
    fn another_lock_is_an_error() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let other = Lock::new().expect("a lock");
        let wait_and_be_notified = |lock: &Lock, meanwhile: &dyn Fn()| {
            thread::scope(|scope| {
                let waiter = scope.spawn(|| drop(condition.wait(lock.acquire().expect("free")).expect("notified")));
                condition.await_waiters(1);
                meanwhile();
                let guard = lock.acquire().expect("the waiter gave it up");
                assert_eq!(condition.notify_all(&guard).expect("the same lock"), 1);
                drop(guard);
                waiter.join().expect("no panic");
            });
        };
        wait_and_be_notified(&lock, &|| {
            let guard = other.acquire().expect("free");
            assert!(matches!(condition.notify_all(&guard), Err(Error::WrongLock)));
            assert!(matches!(condition.wait(guard), Err(Error::WrongLock)));
            assert!(other.try_acquire().expect("a try").is_some(), "given back");
        });
        // With the last waiter the binding is gone.
        let guard = other.acquire().expect("free");
        assert_eq!(condition.notify_all(&guard).expect("nobody waits"), 0);
        let (guard, _) = condition.wait_timeout(guard, Duration::ZERO).expect("the first waiter brings its lock");
        drop(guard);
        wait_and_be_notified(&lock, &|| ());
        wait_and_be_notified(&other, &|| ());
    }

    #[test]
    fn dead_waiter_binds_no_lock() {
        let (lock, condition) = pair();
        let process_table = ProcessTable::ours().expect("a table");
        let dead = process_table.reserve().expect("a slot");
        enter_as(&lock, &condition, dead);
        let other = Lock::new().expect("a lock");
        let notify = || condition.notify_all(&other.acquire().expect("free"));
        assert!(matches!(notify(), Err(Error::WrongLock)), "it lives");
        process_table.release_slot(dead);
        assert_eq!(notify().expect("nobody waits"), 0);
    }

    /// Begins a wait as another process would.
    fn enter_as(lock: &Lock, condition: &Condition, slot: ProcessSlot) {
        let guard = lock.acquire().expect("free");
        let place = condition.enter(guard.0.state.id()).expect("a place");
        place.slot.store(slot.to_word(), Relaxed);
    }

    #[test]
    fn dead_waiter_eats_no_notification() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let process_table = ProcessTable::ours().expect("a table");
        let dead = process_table.reserve().expect("a slot");
        thread::scope(|scope| {
            enter_as(&lock, &condition, dead);
            let waiter = scope.spawn(|| drop(condition.wait(lock.acquire().expect("free")).expect("notified")));
            condition.await_waiters(2);
            process_table.release_slot(dead);
            let guard = lock.acquire().expect("the waiter gave it up");
            assert_eq!(condition.notify_all(&guard).expect("the same lock"), 1, "the dead one does not count");
            drop(guard);
            waiter.join().expect("the living one got it");
        });
    }

    #[test]
    fn notification_of_one_who_dies_goes_to_the_next_who_waited_then() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        let process_table = ProcessTable::ours().expect("a table");
        let dead = process_table.reserve().expect("a slot");
        thread::scope(|scope| {
            enter_as(&lock, &condition, dead);
            let waiter = scope.spawn(|| drop(condition.wait(lock.acquire().expect("free")).expect("notified")));
            condition.await_waiters(2);
            let guard = lock.acquire().expect("the waiter gave it up");
            assert_eq!(condition.notify(&guard, 1).expect("the same lock"), 1, "the older one, who lives");
            process_table.release_slot(dead);
            // A waiter that begins after the notification has no claim to it.
            let late = condition.enter(guard.0.state.id()).expect("a place");
            drop(guard);
            waiter.join().expect("the heir got it");
            assert_eq!(late.state.load(Relaxed), WAITING);
        });
        assert!(condition.orphans().next().is_none());
    }

    #[test]
    fn notifier_that_dies_with_the_lock_leaves_nobody_waiting() {
        let _watchdog = watchdog();
        let (lock, condition) = pair();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let guard = condition.wait(lock.acquire().expect("free")).expect("no error");
                assert!(guard.abandoned().is_some());
            });
            condition.await_waiters(1);
            scope.spawn(|| std::mem::forget(lock.acquire().expect("the waiter gave it up")));
            waiter.join().expect("no panic");
        });
    }
}
