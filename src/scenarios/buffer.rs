//! A handmade bounded buffer of a lock, two conditions, an array and two counters: how a queue works inside.
//!
//! # State
//! `put` and `got` only grow; an item's index is its number modulo the capacity. All changes happen with the lock held.
//! `closed` is set permanently when all workers of one side have ended.
//!
//! # Death
//! Putting and getting are one store each, to `put` and to `got`, so a process that is killed holding the lock leaves
//! the buffer consistent. It may have changed it without a notification: the process that inherits the lock notifies
//! all waiters in its place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sync::LockGuard;
use crate::{Array, Condition, Lock, Result, Value};

/// The buffer, in each process that uses it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Buffer {
    lock: Lock,
    /// By what is wanted.
    conditions: [Condition; 2],
    items: Array<u64>,
    put: Value<u64>,
    got: Value<u64>,
    closed: Value<u8>,
}

/// What a process waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    NotFull,
    NotEmpty,
}

impl Wanted {
    /// Returns the condition's name in the events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Wanted::NotFull => "not full",
            Wanted::NotEmpty => "not empty",
        }
    }
}

impl Buffer {
    /// Creates an empty buffer with space for `capacity` items, which is not 0.
    pub(super) fn new(capacity: usize) -> Result<Self> {
        Ok(Buffer {
            lock: Lock::new()?,
            conditions: [Condition::new()?, Condition::new()?],
            // The buffer's lock protects them all.
            items: Array::unlocked(&vec![0; capacity])?,
            put: Value::unlocked(0)?,
            got: Value::unlocked(0)?,
            closed: Value::unlocked(0)?,
        })
    }

    /// Returns the number of items in the buffer: reliable only with the lock held, or when all other users have ended.
    pub(super) fn len(&self) -> u64 {
        self.put.get().saturating_sub(self.got.get())
    }

    pub(super) fn is(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::NotFull => self.len() < self.items.len() as u64,
            Wanted::NotEmpty => self.len() > 0,
        }
    }

    /// Returns whether the buffer is closed: a wait for it can no longer succeed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get() != 0
    }

    /// Acquires the buffer's lock.
    pub(super) fn acquire(&self) -> Result<LockGuard<'_>> {
        self.lock.acquire()
    }

    /// Ends all waits permanently. Returns `false` if the lock could not be acquired within `timeout`.
    pub(super) fn close(&self, timeout: Duration) -> Result<bool> {
        let Some(guard) = self.lock.acquire_timeout(timeout)? else { return Ok(false) };
        self.closed.set(1);
        self.notify_all(&guard);
        Ok(true)
    }

    /// Releases the lock until the buffer is in the wanted state, or closed.
    pub(super) fn wait_until<'a>(&self, guard: LockGuard<'a>, wanted: Wanted) -> Result<LockGuard<'a>> {
        self.conditions[wanted as usize].wait_for(guard, |guard| {
            if guard.abandoned().is_some() {
                // A process that died holding the lock may have changed something without notifying.
                self.notify_all(guard);
            }
            self.is(wanted) || self.is_closed()
        })
    }

    /// Puts an item, and notifies one waiter for it. The buffer must not be full.
    pub(super) fn put(&self, guard: &LockGuard<'_>, item: u64) -> Result<()> {
        let number = self.put.get();
        self.items.set(self.index_of(number), item)?;
        self.put.set(number + 1);
        self.conditions[Wanted::NotEmpty as usize].notify(guard, 1).map(drop)
    }

    /// Removes the oldest item, and notifies one waiter for space. The buffer must not be empty.
    pub(super) fn get(&self, guard: &LockGuard<'_>) -> Result<u64> {
        let number = self.got.get();
        let item = self.items.get(self.index_of(number))?;
        self.got.set(number + 1);
        self.conditions[Wanted::NotFull as usize].notify(guard, 1)?;
        Ok(item)
    }

    fn notify_all(&self, guard: &LockGuard<'_>) {
        for condition in &self.conditions {
            condition.notify_all(guard).expect("both conditions are used with this lock alone");
        }
    }

    /// Returns the index of an item, given its number from 0.
    fn index_of(&self, number: u64) -> usize {
        (number % self.items.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn items_come_out_in_order_however_often_an_index_is_reused() {
        let buffer = Buffer::new(2).expect("a buffer");
        let guard = buffer.acquire().expect("free");
        for first in [1, 3, 5] {
            assert!(buffer.is(Wanted::NotFull) && !buffer.is(Wanted::NotEmpty));
            buffer.put(&guard, first).expect("room");
            buffer.put(&guard, first + 1).expect("room");
            assert!(!buffer.is(Wanted::NotFull) && buffer.is(Wanted::NotEmpty));
            assert_eq!([(); 2].map(|()| buffer.get(&guard).expect("an item")), [first, first + 1]);
        }
    }

    #[test]
    fn closed_buffer_ends_all_waits() {
        let buffer = Buffer::new(1).expect("a buffer");
        assert!(buffer.close(Duration::from_secs(10)).expect("free"));
        drop(buffer.wait_until(buffer.acquire().expect("free"), Wanted::NotEmpty).expect("no wait"));
        assert!(buffer.is_closed() && buffer.len() == 0);
    }

    #[test]
    fn change_without_a_notification_reaches_all_waiters() {
        let buffer = Buffer::new(2).expect("a buffer");
        let (arrived, (told, taken)) = (AtomicU32::new(0), mpsc::channel());
        let all_taken = thread::scope(|scope| {
            for _ in 0..2 {
                let (buffer, arrived, told) = (&buffer, &arrived, told.clone());
                scope.spawn(move || {
                    let guard = buffer.acquire().expect("free");
                    arrived.fetch_add(1, Relaxed);
                    let guard = buffer.wait_until(guard, Wanted::NotEmpty).expect("notified");
                    told.send(buffer.get(&guard).expect("an item")).expect("the test listens");
                });
            }
            // A thread that has arrived but does not hold the lock is waiting.
            while arrived.load(Relaxed) < 2 || buffer.lock.try_acquire().expect("a try").is_none() {
                thread::yield_now();
            }
            let died = scope.spawn(|| {
                let guard = buffer.acquire().expect("they released it");
                buffer.put(&guard, 7).expect("room");
                // The second item is put without a notification. A lock whose holder has ended counts as abandoned.
                buffer.put.set(2);
                std::mem::forget(guard);
            });
            died.join().expect("no panic");
            let all_taken = (0..2).all(|_| taken.recv_timeout(Duration::from_secs(10)).is_ok());
            while !buffer.close(Duration::from_secs(1)).expect("no error") {}
            all_taken
        });
        assert!(all_taken, "the second was left waiting although there was an item");
    }
}
