//! The writing side of a ring: writes whole records and publishes them at once.

use super::cursor::{Position, Seen};
use super::memory::LEASES;
use super::{Ring, Waiting, record_bytes};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::operation::{Operation, point_until};
use crate::ipc::queue::participants::Rights;
use crate::sys::atomic::Ordering::{Relaxed, SeqCst};
use crate::sys::robust::Locked;

/// Consecutive records as they lie in a ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) items: u64,
}

impl Records<'_> {
    /// Returns the length of the first record's item.
    #[inline]
    pub(crate) fn len_of_first(self) -> usize {
        self.bytes.first_chunk().map_or(0, |header| u32::from_ne_bytes(*header) as usize)
    }

    /// Returns what follows `done`, a prefix of these records.
    pub(crate) fn after(self, done: Records<'_>) -> Self {
        Records { bytes: &self.bytes[done.bytes.len()..], items: self.items - done.items }
    }

    /// Returns the longest prefix of whole records within these numbers of items and bytes.
    fn fitting(self, items: u64, bytes: u64) -> Self {
        if self.items <= items && self.bytes.len() as u64 <= bytes {
            return self;
        }
        let (mut end, mut count) = (0, 0);
        while count < items.min(self.items) {
            let next = end + record_bytes(Records { bytes: &self.bytes[end..], items: 1 }.len_of_first());
            if next as u64 > bytes {
                break;
            }
            (end, count) = (next, count + 1);
        }
        Records { bytes: &self.bytes[..end], items: count }
    }
}

impl Position {
    /// Returns this position, advanced by `records`; its place already is.
    #[inline]
    fn after(self, records: Records<'_>) -> Self {
        let bytes = self.bytes.wrapping_add(records.bytes.len() as u64);
        Position { bytes, items: self.items.wrapping_add(records.items), ..self }
    }
}

/// The writers' mutex, held.
pub(crate) struct Writer<'a> {
    ring: &'a Ring,
    /// The readers' cursor word when this writer last looked.
    seen: Option<Seen>,
    /// Whether leases kept it from the memory that it needs.
    is_starved: bool,
    /// Whether a dead predecessor left an inconsistent state.
    is_damaged: bool,
}

impl Ring {
    /// Returns whether a put could go on now: there is room for a small item and no put half done, or it would fail.
    pub(crate) fn can_put(&self) -> bool {
        let is_free = self.shared.put.side.lock.looks_free();
        !self.may_put() || is_free && (!self.is_full() || self.consumers_are_gone(true))
    }

    /// Returns why this handle cannot put, now or later.
    #[inline]
    pub(crate) fn check_may_put(&self) -> Result<()> {
        check_not_forked()?;
        if !self.may_put() {
            return Err(Error::Closed);
        }
        // A handle that can also get reports this only when it would block.
        if self.consumers_are_gone(false) { Err(Error::Disconnected) } else { Ok(()) }
    }

    /// Puts one record. [`Error::Full`] if there was no room within the timeout.
    #[inline]
    pub(crate) fn put_record(&self, record: Records<'_>, waiting: Waiting) -> Result<()> {
        let mut writer = self.writer_now();
        if let Some(writer) = &mut writer
            && self.may_put()
            && writer.write_at_a_glance(record)?
        {
            return Ok(());
        }
        let mut put = 0;
        self.put_slowly(writer, record, waiting, &mut put)?;
        if put == 0 { Err(Error::Full) } else { Ok(()) }
    }

    /// Puts records as room becomes free, and counts them in `put`.
    #[cold]
    pub(crate) fn put_slowly(
        &self,
        writer: Option<Writer<'_>>,
        mut left: Records<'_>,
        mut waiting: Waiting,
        put: &mut u64,
    ) -> Result<()> {
        let writer = match writer {
            Some(writer) => Some(writer),
            None => self.writer(&waiting, record_bytes(left.len_of_first()) as u64)?,
        };
        let Some(mut writer) = writer else { return Ok(()) };
        loop {
            // The handle may have been closed since the call began.
            if !self.may_put() {
                drop(writer);
                // A waiting consumer cannot detect disconnection until the mutex is free.
                self.shared.getters.notify();
                return Err(Error::Closed);
            }
            let written = writer.write(left)?;
            left = left.after(written);
            *put += written.items;
            if left.items == 0 {
                return Ok(());
            }
            if written.items > 0 {
                waiting.progressed();
            }
            if !writer.wait(&mut waiting)? {
                return Ok(());
            }
        }
    }

    /// Acquires the writers' mutex, to write a record of `bytes` bytes. Returns `None` on timeout if there is no room,
    /// if another writer is next for the free room, or if the mutex's holder is stopped.
    #[inline]
    pub(crate) fn writer(&self, waiting: &Waiting, bytes: u64) -> Result<Option<Writer<'_>>> {
        let put = &self.shared.put;
        let refusal = || match () {
            () if !self.may_put() => Some(Error::Closed),
            () if self.is_full() && self.consumers_are_gone(waiting.will()) => Some(Error::Disconnected),
            () => None,
        };
        let locked =
            self.lock(&put.side.lock, waiting, || self.has_room(bytes) && !self.has_a_waiting_writer(), refusal)?;
        Ok(locked.map(|was_abandoned| self.writing(was_abandoned)))
    }

    /// Acquires the writers' mutex if it is free.
    #[inline(always)]
    pub(crate) fn writer_now(&self) -> Option<Writer<'_>> {
        match self.shared.put.side.lock.try_lock() {
            Locked::Busy | Locked::WouldDeadlock => None,
            locked => Some(self.writing(locked == Locked::Abandoned)),
        }
    }

    #[inline]
    fn writing(&self, was_abandoned: bool) -> Writer<'_> {
        let mut writer = Writer { ring: self, seen: None, is_starved: false, is_damaged: false };
        if was_abandoned {
            self.shared.put.waits_on.store(0, Relaxed);
            writer.is_damaged = writer.recover().is_err();
        }
        writer
    }

    /// Returns whether no further item is accepted: the capacity is reached, or no byte is left.
    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(record_bytes(0) as u64)
    }

    /// Returns whether one more record of `bytes` bytes has room. `false` only if it had none at some moment of the
    /// call.
    fn has_room(&self, bytes: u64) -> bool {
        // In this order: concurrent readers make the content look smaller, never larger.
        let (_, tail) = self.shared.tail.read();
        let (_, head) = self.shared.head.read();
        let content = |tail: u64, head: u64| tail.saturating_sub(head);
        content(tail.items, head.items) < self.plan.capacity
            && content(tail.bytes, head.bytes) + bytes <= self.plan.ring_bytes()
    }

    /// Returns whether the holder of the writers' mutex has found no room as things are now, and waits.
    fn has_a_waiting_writer(&self) -> bool {
        match self.shared.put.waits_on.load(Relaxed) {
            LEASES => self.shared.starved.load(SeqCst) != 0,
            seen => seen == self.shared.head.seen().to_word(),
        }
    }

    /// Returns whether items can no longer be got: no consumer remains or can appear. A handle that can also get and
    /// does not wait may still do so itself.
    #[inline]
    pub(crate) fn consumers_are_gone(&self, will_wait: bool) -> bool {
        (will_wait || !self.rights().has(Rights::GET)) && !self.is_right_left(Rights::GET)
    }
}

impl Writer<'_> {
    /// Returns the writers' position.
    #[inline]
    fn tail(&self) -> Result<Position> {
        let tail = self.ring.shared.tail.own();
        self.ring.checked(tail.place)?;
        if self.is_damaged { Err(Error::Damaged { object: "queue" }) } else { Ok(tail) }
    }

    /// Frees what a dead predecessor reserved.
    #[cold]
    fn recover(&mut self) -> Result<()> {
        let head = self.look()?;
        self.ring.recount(head.place, self.tail()?.place.chunk)
    }

    /// Reads the readers' cursor.
    #[cold]
    fn look(&mut self) -> Result<Position> {
        let ring = self.ring;
        let (seen, head) = ring.look(&ring.shared.put.side, &ring.shared.head, &ring.put_spin);
        ring.checked(head.place)?;
        self.seen = Some(seen);
        Ok(head)
    }

    /// Returns the room behind `tail` in items and bytes, if the readers' position is at these counts.
    #[inline]
    fn room(&self, tail: &Position, head_items: u64, head_bytes: u64) -> (u64, u64) {
        let plan = &self.ring.plan;
        let items = plan.capacity.saturating_sub(tail.items.wrapping_sub(head_items));
        let bytes = plan.ring_bytes().saturating_sub(tail.bytes.wrapping_sub(head_bytes));
        (items, bytes)
    }

    /// Writes and publishes `records` if they fit into this chunk and the room already known.
    #[inline]
    pub(crate) fn write_at_a_glance(&mut self, records: Records<'_>) -> Result<bool> {
        let (ring, put) = (self.ring, &self.ring.shared.put.side);
        let mut tail = self.tail()?;
        let (items, bytes) = self.room(&tail, put.seen_items.load(Relaxed), put.seen_bytes.load(Relaxed));
        let has_room = records.items <= items && records.bytes.len() as u64 <= bytes;
        let is_written = has_room && ring.copy_in_place(&mut tail.place, records.bytes);
        if is_written {
            ring.shared.tail.publish(tail.after(records));
        }
        Ok(is_written)
    }

    /// Writes the longest prefix of whole `records` that fits, and publishes it at once. Returns what was written,
    /// possibly nothing.
    #[cold]
    pub(crate) fn write<'r>(&mut self, records: Records<'r>) -> Result<Records<'r>> {
        let head = self.look()?;
        let (items, bytes) = self.room(&self.tail()?, head.items, head.bytes);
        let mut fitting = records.fitting(items, bytes);
        if fitting.items > 0 && !self.append(fitting, &head)? {
            // Leases hold the memory. One record may still fit where many do not.
            fitting = records.fitting(1, u64::MAX);
            if !self.append(fitting, &head)? {
                self.ring.shared.starved.store(1, SeqCst);
                self.is_starved = true;
                fitting = records.fitting(0, 0);
            }
        }
        Ok(fitting)
    }

    fn append(&mut self, records: Records<'_>, head: &Position) -> Result<bool> {
        let mut tail = self.tail()?;
        let last = tail.place.chunk;
        let written = self.ring.copy_in(&mut tail.place, records.bytes, head.place);
        match written {
            Ok(true) => self.ring.shared.tail.publish(tail.after(records)),
            _ => self.ring.recount(head.place, last)?,
        }
        written
    }

    /// Blocks until there may be more room than [`write`](Self::write) found. Returns `false` on timeout.
    pub(crate) fn wait(&mut self, waiting: &mut Waiting) -> Result<bool> {
        let (ring, will_wait) = (self.ring, waiting.will());
        let Some(seen) = self.seen.take() else { return Ok(true) };
        let is_starved = std::mem::take(&mut self.is_starved);
        let waits_on = &ring.shared.put.waits_on;
        waits_on.store(if is_starved { LEASES } else { seen.to_word() }, Relaxed);
        if let Some(deadline) = waiting.left() {
            // A put that needs more room than it found when it began.
            let has_moved = || ring.shared.head.has_moved(seen) || is_starved && ring.shared.starved.load(SeqCst) == 0;
            let can_go = || has_moved() || ring.consumers_are_gone(true);
            point_until(Operation::change("queue.put_more"), &ring.shared, || deadline, can_go);
        }
        let waited = waiting.wait(&ring.shared.head, seen, &ring.shared.putters, &ring.put_spin, || {
            let has_memory = is_starved && ring.shared.starved.load(SeqCst) == 0;
            if !has_memory && ring.consumers_are_gone(will_wait) { Err(Error::Disconnected) } else { Ok(!has_memory) }
        });
        waits_on.store(0, Relaxed);
        waited
    }

    /// Releases the memory that the ring does not need.
    pub(crate) fn release_surplus(&mut self) -> Result<()> {
        let head = self.look()?;
        self.ring.recount(head.place, self.tail()?.place.chunk)?;
        self.ring.release(0, u32::MAX);
        Ok(())
    }
}

impl Drop for Writer<'_> {
    #[inline]
    fn drop(&mut self) {
        let was_ours = self.ring.shared.put.side.lock.unlock();
        debug_assert!(was_ours, "a writer stays in the thread that took the mutex");
    }
}
