//! An array of numbers that processes share.
//!
//! # State
//! Two copies of the numbers, and `live`, whose lowest bit selects the valid one. A single number is changed in the
//! live copy, by one store. A slice is changed in the spare copy, and incrementing `live` publishes the whole change.
//! Both happen under the lock. An array without a lock uses one copy only, number by number.
//!
//! # Ordering
//! Everything is stored with `Release` and loaded with `Acquire`. A reader without the lock loads `live` again: if it
//! saw a number of an unpublished change, it also sees that `live` has left its copy, and reads again.
//!
//! # Death
//! A writer killed at any point has published its slice or has changed nothing: the next writer overwrites the spare
//! copy.
//!
//! # Standard
//! Python `multiprocessing.Array`. Differs: slices are written completely or not at all, even if their writer is
//! killed; reading a single number acquires no lock.

use std::fmt;
use std::ops::{Bound, Range, RangeBounds};

use super::numbers::{LockChoice, Numbers};
use super::plain::{self, Plain};
use crate::ipc::error::{Error, Result};
use crate::ipc::operation::{Operation, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::ipc::sync::lock::GenericLock;
use crate::ipc::sync::lock_state::LockGuard;
use crate::sys::atomic::Ordering::{Acquire, Relaxed, Release};

/// A fixed number of numbers that processes share.
///
/// ```
/// let array = ipc_demo::Array::new(&[1.5, 2.5, 3.5])?;
/// array.set(0, 9.0)?;
/// array.write(1.., &[0.25, 0.5])?;
/// assert_eq!(array.read(..)?, [9.0, 0.25, 0.5]);
/// array.update_all(|numbers| numbers.reverse())?;
/// assert_eq!(array.get(0)?, 0.5);
/// assert!(array.get(3).is_err());
/// # Ok::<(), ipc_demo::Error>(())
/// ```
#[derive(Clone)]
pub struct Array<T: Plain>(Numbers<T>);

impl<T: Plain> Array<T> {
    /// Creates an array of these numbers with its own reentrant lock.
    ///
    /// # Errors
    /// [`Error::Os`] if memory or descriptors run out.
    pub fn new(numbers: &[T]) -> Result<Self> {
        Array::filled(numbers, LockChoice::Own)
    }

    /// Creates an array of these numbers that is changed under `lock`, which may protect other data as well.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_lock<const REENTRANT: bool>(numbers: &[T], lock: &GenericLock<REENTRANT>) -> Result<Self> {
        Array::filled(numbers, LockChoice::given(lock))
    }

    /// Creates an array of these numbers without a lock: each number is read, written and updated atomically; a slice
    /// is not.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn unlocked(numbers: &[T]) -> Result<Self> {
        Array::filled(numbers, LockChoice::Nobody)
    }

    /// Creates an array of `len` zeros with its own lock.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn zeroed(len: usize) -> Result<Self> {
        Array::create(len, LockChoice::Own)
    }

    fn filled(numbers: &[T], lock_choice: LockChoice) -> Result<Self> {
        let array = Array::create(numbers.len(), lock_choice)?;
        store_all(array.copy(0), numbers);
        Ok(array)
    }

    fn create(len: usize, lock_choice: LockChoice) -> Result<Self> {
        // An excessive length fails in the allocation.
        let bytes = len.saturating_mul(2 * size_of::<T>());
        Ok(Array(Numbers::create(bytes, lock_choice, "make an array")?))
    }

    /// Returns the number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.atoms().len() / 2
    }

    /// Returns whether the array is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number at `index`, without waiting for a lock.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`].
    #[inline]
    pub fn get(&self, index: usize) -> Result<T> {
        point(Operation::read("array.get"), &self.0.state, always);
        loop {
            let live = self.0.state.live.load(Acquire);
            let number = T::load(self.atom(live, index)?);
            if self.0.state.live.load(Relaxed) == live {
                return Ok(number);
            }
        }
    }

    /// Sets the number at `index` atomically, under the lock if there is one.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`], and [`Error::WouldDeadlock`] if the array was given a [`Lock`](crate::Lock)
    /// that this thread holds.
    pub fn set(&self, index: usize, number: T) -> Result<()> {
        let _guard = self.0.lock_for(Operation::change("array.set"))?;
        number.store(self.atom(self.live(), index)?);
        Ok(())
    }

    /// Replaces the number at `index` by the result of `change`, atomically, and returns the new one.
    ///
    /// Without a lock, `change` is called again if another process changed the number meanwhile.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn update(&self, index: usize, change: impl FnMut(T) -> T) -> Result<T> {
        let _guard = self.0.lock_for(Operation::change("array.update"))?;
        Ok(plain::update(self.atom(self.live(), index)?, change).1)
    }

    /// Returns the numbers of a range at one moment, under the lock if there is one.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`] if the range ends beyond the array, and as [`set`](Self::set).
    pub fn read(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>> {
        let range = self.checked(&range)?;
        let _guard = self.0.lock_for(Operation::read("array.read"))?;
        Ok(self.copy(self.live())[range].iter().map(T::load).collect())
    }

    /// Sets the numbers of a range, all of them or none: no process sees a part of the change, and a killed writer
    /// leaves none.
    ///
    /// Without a lock the numbers are set one by one.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if the length of `numbers` differs from that of the range, and as
    /// [`read`](Self::read).
    pub fn write(&self, range: impl RangeBounds<usize>, numbers: &[T]) -> Result<()> {
        let range = self.checked(&range)?;
        if range.len() != numbers.len() {
            return Err(Error::LengthMismatch { expected: range.len(), given: numbers.len() });
        }
        let _guard = self.0.lock_for(Operation::change("array.write"))?;
        self.change(|all| all[range].copy_from_slice(numbers));
        Ok(())
    }

    /// Changes all numbers atomically: no process sees a part of the change, and a killed writer leaves none.
    ///
    /// # Errors
    /// [`Error::NoLock`] if the array has no lock, and as [`set`](Self::set).
    pub fn update_all<R>(&self, change: impl FnOnce(&mut [T]) -> R) -> Result<R> {
        let _guard = self.0.lock_for(Operation::change("array.update_all"))?.ok_or(Error::NoLock)?;
        Ok(self.change(change))
    }

    /// Acquires the array's lock. Blocks while another thread holds it.
    ///
    /// # Errors
    /// As [`Value::lock`](crate::Value::lock).
    ///
    /// # Standard
    /// Python `with array.get_lock():`.
    pub fn lock(&self) -> Result<LockGuard<'_>> {
        self.0.lock()
    }

    /// Publishes a changed copy, with the lock held.
    fn change<R>(&self, change: impl FnOnce(&mut [T]) -> R) -> R {
        let live = self.live();
        let mut numbers: Vec<T> = self.copy(live).iter().map(T::load).collect();
        let outcome = change(&mut numbers);
        let next = if self.0.has_lock() { live.wrapping_add(1) } else { live };
        store_all(self.copy(next), &numbers);
        // pairs with: the loads in `get`
        self.0.state.live.store(next, Release);
        outcome
    }

    fn live(&self) -> u32 {
        self.0.state.live.load(Acquire)
    }

    /// Returns the copy that is valid for this value of `live`.
    #[inline]
    fn copy(&self, live: u32) -> &[T::Atom] {
        let len = self.len();
        let first = if live.is_multiple_of(2) { 0 } else { len };
        &self.0.atoms()[first..first + len]
    }

    #[inline]
    fn atom(&self, live: u32, index: usize) -> Result<&T::Atom> {
        self.copy(live).get(index).ok_or(Error::IndexOutOfRange { index, len: self.len() })
    }

    /// Returns a range as start and end, checked to lie in the array.
    fn checked(&self, range: &impl RangeBounds<usize>) -> Result<Range<usize>> {
        let len = self.len();
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => len,
        };
        if start > end || end > len {
            return Err(Error::IndexOutOfRange { index: start.max(end), len });
        }
        Ok(start..end)
    }
}

fn store_all<T: Plain>(atoms: &[T::Atom], numbers: &[T]) {
    atoms.iter().zip(numbers).for_each(|(atom, number)| number.store(atom));
}

impl<T: Plain> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("len", &self.len()).finish_non_exhaustive()
    }
}

sent_in_roles!([T: Plain] Array<T>, "an Array", |array, _| Ok(&array.0), |numbers: Numbers<T>| Ok(Array(numbers)));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{goes, would_block};
    use crate::ipc::test_util::watchdog;
    use crate::{Lock, RLock};
    use std::thread;

    fn keeps<T: Plain>(numbers: &[T]) {
        let array = Array::zeroed(numbers.len()).expect("an array");
        assert!(array.read(..).expect("free").iter().all(|number| *number == T::default()));
        array.write(.., numbers).expect("as long");
        assert_eq!(array.read(..).expect("free"), numbers);
        array.write(..1, &numbers[1..2]).expect("as long");
        array.set(1, numbers[0]).expect("within");
        assert_eq!([array.get(0).expect("within"), array.get(1).expect("within")], [numbers[1], numbers[0]]);
    }

    #[test]
    fn every_operation_passes_one_point() {
        let array = Array::new(&[1, 2]).expect("an array");
        assert_eq!(goes("array.get", &array.0.state, || array.get(0)).expect("within"), 1);
        let mut operations: [(_, &mut (dyn FnMut() + Send)); 5] = [
            ("array.set", &mut || array.set(0, 5).expect("within")),
            ("array.update", &mut || assert!(array.update(0, |n| n + 1).is_ok())),
            ("array.read", &mut || drop(array.read(..).expect("free"))),
            ("array.write", &mut || array.write(.., &[3, 4]).expect("as long")),
            ("array.update_all", &mut || array.update_all(|all| all.reverse()).expect("free")),
        ];
        for (name, operation) in &mut operations {
            goes(name, &array.0, operation);
        }
        let _guard = goes("lock.acquire", &array.0.state.own, || array.lock()).expect("free");
        thread::scope(|scope| {
            scope.spawn(|| operations.iter_mut().for_each(|(name, operation)| would_block(name, &array.0, operation)));
        });
    }

    #[test]
    fn every_type_keeps_its_numbers() {
        keeps(&[i8::MIN, -1, i8::MAX]);
        keeps(&[1, u8::MAX]);
        keeps(&[i16::MIN, i16::MAX]);
        keeps(&[1, u16::MAX]);
        keeps(&[i32::MIN, i32::MAX]);
        keeps(&[1, u32::MAX]);
        keeps(&[i64::MIN, i64::MAX]);
        keeps(&[1, u64::MAX]);
        keeps(&[f32::MIN, 0.5]);
        keeps(&[f64::INFINITY, 0.5]);
    }

    #[test]
    fn what_lies_outside_is_an_error_and_changes_nothing() {
        let array = Array::new(&[1, 2, 3]).expect("an array");
        let out = |outcome: Error| matches!(outcome, Error::IndexOutOfRange { len: 3, .. });
        assert!(out(array.get(3).expect_err("outside")));
        assert!(out(array.set(usize::MAX, 0).expect_err("outside")));
        assert!(out(array.update(3, |n| n).expect_err("outside")));
        assert!(out(array.read(1..4).expect_err("outside")));
        assert!(out(array.read(..=usize::MAX).expect_err("outside")));
        #[expect(clippy::reversed_empty_ranges, reason = "the caller's mistake is the point")]
        let reversed = array.write(2..1, &[]);
        assert!(out(reversed.expect_err("backwards")));
        let longer = array.write(0..2, &[7, 8, 9]);
        assert!(matches!(longer, Err(Error::LengthMismatch { expected: 2, given: 3 })));
        assert_eq!(array.read(..).expect("free"), [1, 2, 3]);
    }

    #[test]
    fn empty_and_impossible_lengths() {
        let empty = Array::<f64>::new(&[]).expect("an array of nothing");
        assert!(empty.is_empty() && empty.read(..).expect("free").is_empty());
        empty.update_all(|numbers| assert!(numbers.is_empty())).expect("free");
        assert!(matches!(Array::<u64>::zeroed(usize::MAX), Err(Error::Os { .. })));
        assert!(matches!(Array::<u64>::zeroed(1 << 58), Err(Error::Os { .. })));
    }

    #[test]
    fn unlocked_array_has_no_slices_as_one_step() {
        let array = Array::unlocked(&[1_i16, 2]).expect("an array");
        array.write(.., &[3, 4]).expect("as long");
        assert_eq!(array.update(1, |n| n * 2).expect("within"), 8);
        assert_eq!(array.read(..).expect("free"), [3, 8]);
        assert!(matches!(array.update_all(|_| ()), Err(Error::NoLock)));
        assert!(matches!(array.lock(), Err(Error::NoLock)));
    }

    #[test]
    fn writer_that_ends_in_the_middle_has_changed_nothing() {
        let array = Array::new(&[1, 2, 3]).expect("an array");
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            array.update_all(|numbers| {
                numbers.fill(9);
                panic!("before it is published");
            })
        }));
        assert!(caught.is_err());
        // The worst point for a kill: the spare copy is written and not published.
        store_all(array.copy(1), &[9, 9, 9]);
        assert_eq!(array.read(..).expect("given back"), [1, 2, 3]);
        array.write(1..2, &[5]).expect("as long");
        assert_eq!(array.read(..).expect("free"), [1, 5, 3]);
    }

    #[test]
    fn stress_slices_and_numbers_are_read_whole() {
        let _watchdog = watchdog();
        let (lock, rlock) = (Lock::new().expect("a lock"), RLock::new().expect("a lock"));
        let arrays = [Array::zeroed(64), Array::with_lock(&[0; 64], &lock), Array::with_lock(&[0; 64], &rlock)];
        for array in arrays {
            let array = array.expect("an array");
            let write = |odd: u64| {
                for round in 0..300 {
                    array.write(.., &[round * 2 + odd; 64]).expect("as long");
                }
            };
            thread::scope(|scope| {
                scope.spawn(|| write(0));
                scope.spawn(|| write(1));
                for _ in 0..300 {
                    let seen = array.read(..).expect("free");
                    assert!(seen.iter().all(|number| *number == seen[0]), "{seen:?}");
                    // A number that is read without the lock has been published.
                    assert!(array.get(63).expect("within") < 600);
                }
            });
        }
    }

    #[test]
    fn update_of_numbers_and_of_all_do_not_lose_each_other() {
        let _watchdog = watchdog();
        let array = Array::new(&[0_u32; 8]).expect("an array");
        thread::scope(|scope| {
            for index in 0..2 {
                let array = &array;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        array.update(index, |n| n + 1).expect("within");
                        array.update_all(|all| all[index] += 1).expect("free");
                        let _guard = array.lock().expect("free");
                        array.set(index, array.get(index).expect("within") + 1).expect("its own lock");
                    }
                });
            }
        });
        assert_eq!(array.read(..2).expect("free"), [6_000, 6_000]);
    }
}
