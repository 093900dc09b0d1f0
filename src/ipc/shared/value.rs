//! One number that processes share.
//!
//! # State
//! An atomic of the number's size, and a lock for operations of several steps: the value's own, a given one, or none.
//!
//! # Ordering
//! [`Value::get`] synchronises with the [`Value::set`] or [`Value::update`] that stored the value it returns.
//!
//! # Death
//! A change is one atomic store: it is complete or never happened. A killed holder of the lock hands it on like any
//! other.
//!
//! # Standard
//! Python `multiprocessing.Value`. Differs: [`Value::update`] is an atomic `+=`, and [`Value::fetch_add`] one without the
//! lock; reading and writing acquire no lock;
//! numbers have Rust's types, so one that does not fit is a compile-time error.

use std::fmt;

use super::numbers::{LockChoice, Numbers};
use super::plain::{self, Plain};
use crate::ipc::error::Result;
use crate::ipc::operation::{Operation, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::ipc::sync::lock::GenericLock;
use crate::ipc::sync::lock_state::LockGuard;

/// A number that processes share.
///
/// ```
/// let counter = ipc_demo::Value::new(39_i32)?;
/// assert_eq!(counter.fetch_add(1), 39); // no lock
/// assert_eq!(counter.update(|n| n + 1)?, 41);
/// {
///     let _guard = counter.lock()?; // several steps that others must not come between
///     counter.set(counter.get() + 1);
/// }
/// assert_eq!(counter.get(), 42);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
#[derive(Clone)]
pub struct Value<T: Plain>(Numbers<T>);

impl<T: Plain> Value<T> {
    /// Creates a value with its own reentrant lock.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if memory or descriptors run out.
    pub fn new(initial: T) -> Result<Self> {
        Value::create(initial, LockChoice::Own)
    }

    /// Creates a value that is changed under `lock`, which may protect other data as well.
    ///
    /// If a holder of `lock` dies, an [`update`](Self::update) may be the next holder, and it does not report the
    /// death. Acquire the lock directly if you need to know.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_lock<const REENTRANT: bool>(initial: T, lock: &GenericLock<REENTRANT>) -> Result<Self> {
        Value::create(initial, LockChoice::given(lock))
    }

    /// Creates a value without a lock. A [`get`](Self::get) followed by a [`set`](Self::set) loses changes made in
    /// between; an [`update`](Self::update) is still atomic.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn unlocked(initial: T) -> Result<Self> {
        Value::create(initial, LockChoice::Nobody)
    }

    fn create(initial: T, lock_choice: LockChoice) -> Result<Self> {
        // Eight bytes for any type, so that a value of another type never extends beyond the memory.
        let value = Value(Numbers::create(size_of::<u64>(), lock_choice, "make a value")?);
        initial.store(value.atom());
        Ok(value)
    }

    #[inline]
    fn atom(&self) -> &T::Atom {
        &self.0.atoms()[0]
    }

    /// Returns the number: one atomic load. Acquires no lock.
    #[inline]
    pub fn get(&self) -> T {
        point(Operation::read("value.get"), &self.0.state, always);
        T::load(self.atom())
    }

    /// Sets the number: one atomic store. Acquires no lock.
    #[inline]
    pub fn set(&self, number: T) {
        point(Operation::change("value.set"), &self.0.state, always);
        number.store(self.atom());
    }

    /// Replaces the number by the result of `change`, atomically, and returns the new one.
    ///
    /// With a lock, the update never happens while another thread holds the lock. `change` is called again if another
    /// process changed the number meanwhile; with a lock, only if that one did not acquire it.
    ///
    /// # Errors
    /// [`Error::WouldDeadlock`](crate::Error::WouldDeadlock) if the value was given a [`Lock`](crate::Lock) that this thread
    /// holds.
    ///
    /// # Death
    /// A process killed in an update has made it or not: there is no intermediate state.
    #[inline]
    pub fn update(&self, change: impl FnMut(T) -> T) -> Result<T> {
        let _guard = self.0.lock_for(Operation::change("value.update"))?;
        Ok(plain::update(self.atom(), change).1)
    }

    /// Adds `number` atomically, and returns the number before. An integer wraps around.
    ///
    /// Acquires no lock, and so may come between the steps of a thread that holds it, as a [`set`](Self::set) may: several
    /// times as fast as an [`update`](Self::update), 2 to 3 ns. Never blocks.
    ///
    /// # Death
    /// As [`update`](Self::update).
    ///
    /// # Standard
    /// [`AtomicU64::fetch_add`](std::sync::atomic::AtomicU64::fetch_add), for every type of number.
    #[inline]
    pub fn fetch_add(&self, number: T) -> T {
        point(Operation::change("value.fetch_add"), &self.0.state, always);
        number.add_to(self.atom())
    }

    /// Replaces the number by the result of `change`, atomically, and returns the number before. `change` is called again
    /// if another thread changed the number meanwhile.
    ///
    /// Acquires no lock, as [`fetch_add`](Self::fetch_add). Never blocks.
    ///
    /// # Death
    /// As [`update`](Self::update).
    #[inline]
    pub fn fetch_update(&self, change: impl FnMut(T) -> T) -> T {
        point(Operation::change("value.fetch_update"), &self.0.state, always);
        plain::update(self.atom(), change).0
    }

    /// Acquires the value's lock. Blocks while another thread holds it.
    ///
    /// # Errors
    /// [`Error::NoLock`](crate::Error::NoLock) if it was created without one, and for a given lock the errors of
    /// [`Lock::acquire`](crate::Lock::acquire).
    ///
    /// # Standard
    /// Python `with value.get_lock():`.
    pub fn lock(&self) -> Result<LockGuard<'_>> {
        self.0.lock()
    }
}

impl<T: Plain> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("value", &T::load(self.atom())).finish_non_exhaustive()
    }
}

sent_in_roles!([T: Plain] Value<T>, "a Value", |value, _| Ok(&value.0), |numbers: Numbers<T>| Ok(Value(numbers)));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{goes, would_block};
    use crate::ipc::test_util::watchdog;
    use crate::{Error, Lock, RLock};
    use std::thread;

    fn keeps<T: Plain>(numbers: &[T]) {
        let value = Value::new(T::default()).expect("a value");
        assert_eq!(value.get(), T::default());
        for &number in numbers {
            value.set(number);
            assert_eq!(value.get(), number);
            assert_eq!(value.update(|_| T::default()).expect("free"), T::default());
            assert_eq!(value.update(|_| number).expect("free"), number);
            assert_eq!(value.fetch_update(|_| T::default()), number);
            assert_eq!(value.fetch_add(number), T::default());
            assert_eq!(value.get(), number);
        }
    }

    #[test]
    fn every_operation_passes_one_point() {
        let value = Value::new(1).expect("a value");
        goes("value.set", &value.0.state, || value.set(2));
        assert_eq!(goes("value.fetch_add", &value.0.state, || value.fetch_add(1)), 2);
        assert_eq!(goes("value.fetch_update", &value.0.state, || value.fetch_update(|_| 2)), 3);
        assert_eq!(goes("value.get", &value.0.state, || value.get()), 2);
        assert_eq!(goes("value.update", &value.0, || value.update(|n| n + 1)).expect("free"), 3);
        let own = &value.0.state.own;
        let guard = goes("lock.acquire", own, || value.lock()).expect("free");
        thread::scope(|scope| {
            scope.spawn(|| {
                would_block("value.update", &value.0, || value.update(|n| n + 1));
                would_block("lock.acquire", own, || value.lock());
                goes("value.set", &value.0.state, || value.set(4));
            });
        });
        goes("lock.release", own, || drop(guard));
        let lock = Lock::new().expect("a lock");
        let locked = Value::with_lock(1, &lock).expect("a value");
        goes("value.update", &locked.0, || locked.update(|n| n + 1)).expect("free");
        goes("lock.acquire", &**lock.state(), || locked.lock().map(std::mem::forget)).expect("free");
        let free = Value::unlocked(1).expect("a value");
        goes("value.update", &free.0.state, || free.update(|n| n + 1)).expect("no lock");
    }

    #[test]
    fn every_type_keeps_its_numbers() {
        let _watchdog = watchdog();
        keeps(&[i8::MIN, -1, i8::MAX]);
        keeps(&[u8::MAX]);
        keeps(&[i16::MIN, -1, i16::MAX]);
        keeps(&[u16::MAX]);
        keeps(&[i32::MIN, -1, i32::MAX]);
        keeps(&[u32::MAX]);
        keeps(&[i64::MIN, -1, i64::MAX]);
        keeps(&[u64::MAX]);
        keeps(&[f32::MIN, -0.5, f32::INFINITY]);
        keeps(&[f64::MIN_POSITIVE, -0.5, f64::NEG_INFINITY]);
        let full = Value::new(i8::MAX).expect("a value");
        assert_eq!((full.fetch_add(1), full.get()), (i8::MAX, i8::MIN));
        let nan = Value::new(f64::NAN).expect("a value");
        assert!(nan.update(|n| n + 1.0).expect("free").is_nan(), "compared by its bits");
    }

    fn count_with_threads(value: &Value<u32>, step: impl Fn(&Value<u32>) + Sync) -> u32 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| step(value)));
            }
        });
        value.get()
    }

    #[test]
    fn update_is_atomic_with_and_without_a_lock() {
        let _watchdog = watchdog();
        let (lock, rlock) = (Lock::new().expect("a lock"), RLock::new().expect("a lock"));
        let values = [Value::new(0), Value::unlocked(0), Value::with_lock(0, &lock), Value::with_lock(0, &rlock)];
        for value in values {
            let counted = count_with_threads(&value.expect("a value"), |value| {
                value.update(|n| n + 1).expect("free");
            });
            assert_eq!(counted, 20_000);
        }
    }

    #[test]
    fn steps_under_the_lock_and_updates_do_not_lose_each_other() {
        let _watchdog = watchdog();
        let value = Value::new(0).expect("a value");
        let counted = count_with_threads(&value, |value| {
            let _guard = value.lock().expect("free");
            value.set(value.get() + 1);
            value.update(|n| n + 1).expect("its own lock may be taken again");
        });
        assert_eq!(counted, 40_000);
    }

    #[test]
    fn update_is_not_lost_to_a_plain_set() {
        // The set in between acquires no lock; the update detects it and retries.
        let value = Value::new(1).expect("a value");
        let mut asked = Vec::new();
        let last = value.update(|n| {
            if asked.is_empty() {
                value.set(10);
            }
            asked.push(n);
            n + 1
        });
        assert_eq!((last.expect("free"), asked), (11, vec![1, 10]));
    }

    #[test]
    fn lock_of_an_unlocked_value_is_an_error() {
        assert!(matches!(Value::unlocked(0_u8).expect("a value").lock(), Err(Error::NoLock)));
    }

    #[test]
    fn given_lock_that_this_thread_holds_is_an_error() {
        let lock = Lock::new().expect("a lock");
        let value = Value::with_lock(0, &lock).expect("a value");
        let guard = lock.acquire().expect("free");
        assert!(matches!(value.update(|n| n + 1), Err(Error::WouldDeadlock)));
        drop(guard);
        assert_eq!(value.update(|n| n + 1).expect("free"), 1);
    }
}
