//! The writing side of a ring: whole records in, published at once.

use super::progress::{Mark, Seen};
use super::{Ring, Waited, Waiting, record_bytes};
use crate::ipc::error::Result;
use crate::ipc::participants::Right;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::robust::Locked;

/// Records as they stand in a ring, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) items: u64,
}

impl Records<'_> {
    /// Bytes of the first one's item.
    #[inline]
    pub(crate) fn len_of_first(self) -> usize {
        self.bytes.first_chunk().map_or(0, |header| u32::from_ne_bytes(*header) as usize)
    }

    /// What follows `done`, which is a beginning of these.
    pub(crate) fn after(self, done: Records<'_>) -> Self {
        Records { bytes: &self.bytes[done.bytes.len()..], items: self.items - done.items }
    }

    /// The longest beginning of whole records that has at most so many items and bytes.
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

/// The writers' mutex, held.
pub(crate) struct Writer<'a> {
    ring: &'a Ring,
    tail: Mark,
    /// The readers' progress when this writer last looked.
    head: Option<(Seen, Mark)>,
}

impl Ring {
    /// Takes the writers' mutex. `None` if the time passed, or if it did not want to wait and the ring is full.
    pub(crate) fn writer(&self, waiting: &Waiting) -> Result<Option<Writer<'_>>> {
        let put = &self.shared.put;
        let is_hopeless = || self.is_full() && self.nobody_gets(waiting.will());
        let locked = self.lock(&put.lock, waiting, || !self.is_full(), is_hopeless)?;
        let Some(was_abandoned) = locked else { return Ok(None) };
        self.writing(was_abandoned).map(Some)
    }

    /// The writers' mutex if it can be had at once.
    pub(crate) fn writer_now(&self) -> Result<Option<Writer<'_>>> {
        match self.shared.put.lock.try_lock() {
            Locked::Busy | Locked::WouldDeadlock => Ok(None),
            locked => self.writing(locked == Locked::Abandoned).map(Some),
        }
    }

    #[inline]
    fn writing(&self, was_abandoned: bool) -> Result<Writer<'_>> {
        let mut writer = Writer { ring: self, tail: self.shared.tail.own(), head: None };
        self.chunks.checked(writer.tail.place)?;
        if was_abandoned {
            writer.recover()?;
        }
        Ok(writer)
    }

    /// Whether no item more is taken: the capacity is reached, or not one byte is left.
    pub(crate) fn is_full(&self) -> bool {
        let (head, tail) = self.committed();
        tail.items - head.items >= self.plan.capacity
            || tail.bytes - head.bytes + record_bytes(0) as u64 > self.plan.ring_bytes()
    }

    /// Whether what is put will never be got: nobody else is left who gets, and nobody can come. A handle that gets too and
    /// does not wait may still do so itself.
    #[inline]
    pub(crate) fn nobody_gets(&self, will_wait: bool) -> bool {
        (will_wait || !self.rights().get) && !self.is_anybody_left(Right::Get)
    }
}

impl Writer<'_> {
    /// What a dead predecessor reserved is free again.
    #[cold]
    fn recover(&mut self) -> Result<()> {
        let head = self.look()?;
        self.ring.chunks.count_anew(&self.ring.shared, head.place, self.tail.place.chunk)
    }

    /// Looks at the readers' progress.
    fn look(&mut self) -> Result<Mark> {
        let (seen, head) = self.ring.shared.head.read();
        self.ring.chunks.checked(head.place)?;
        let put = &self.ring.shared.put;
        put.seen_bytes.store(head.bytes, Relaxed);
        put.seen_items.store(head.items, Relaxed);
        self.head = Some((seen, head));
        Ok(head)
    }

    /// Items and bytes for which there is room, if the readers have come as far as these counts say.
    fn room(&self, head_items: u64, head_bytes: u64) -> (u64, u64) {
        let plan = &self.ring.plan;
        let items = plan.capacity.saturating_sub(self.tail.items.wrapping_sub(head_items));
        let bytes = plan.ring_bytes().saturating_sub(self.tail.bytes.wrapping_sub(head_bytes));
        (items, bytes)
    }

    /// Writes as many whole records from the beginning of `records` as there is room for, and publishes them at once.
    /// Returns what was written: possibly nothing.
    pub(crate) fn write<'r>(&mut self, records: Records<'r>) -> Result<Records<'r>> {
        let put = &self.ring.shared.put;
        let (items, bytes) = self.room(put.seen_items.load(Relaxed), put.seen_bytes.load(Relaxed));
        let mut fitting = records;
        if records.items > items || records.bytes.len() as u64 > bytes {
            let head = self.look()?;
            let (items, bytes) = self.room(head.items, head.bytes);
            fitting = records.fitting(items, bytes);
        }
        if fitting.items > 0 && !self.append(fitting)? {
            // Leases hold the memory. One record may still find a place where many do not.
            fitting = records.fitting(1, u64::MAX);
            if !self.append(fitting)? {
                self.ring.shared.starved.store(1, Relaxed);
                fitting = records.fitting(0, 0);
            }
        }
        Ok(fitting)
    }

    fn append(&mut self, records: Records<'_>) -> Result<bool> {
        let Ring { shared, chunks, .. } = self.ring;
        let mut place = self.tail.place;
        let fits_chunk = chunks.copy_in_place(shared, &mut place, records.bytes);
        if !fits_chunk {
            let head = self.look()?;
            match chunks.copy_in(shared, &mut place, records.bytes, head.place) {
                Ok(true) => {}
                failed => {
                    chunks.count_anew(shared, head.place, self.tail.place.chunk)?;
                    return failed;
                }
            }
        }
        self.tail = Mark {
            bytes: self.tail.bytes.wrapping_add(records.bytes.len() as u64),
            items: self.tail.items.wrapping_add(records.items),
            place,
        };
        shared.tail.publish(self.tail);
        Ok(true)
    }

    /// Waits until there may be more room than [`write`](Self::write) found.
    pub(crate) fn wait(&mut self, waiting: &mut Waiting) -> Result<Waited> {
        let ring = self.ring;
        let seen = self.head.take().map_or_else(|| ring.shared.head.read().0, |(seen, _)| seen);
        let will_wait = waiting.will();
        let is_hopeless = || ring.nobody_gets(will_wait);
        Ok(waiting.wait(&ring.shared.head, seen, &ring.shared.putters, &ring.put_spin, is_hopeless))
    }

    /// Gives back the memory that the ring does not need.
    pub(crate) fn release_surplus(&mut self) -> Result<()> {
        let head = self.look()?;
        self.ring.chunks.release_surplus(&self.ring.shared, head.place, self.tail.place.chunk)
    }
}

impl Drop for Writer<'_> {
    #[inline]
    fn drop(&mut self) {
        let was_ours = self.ring.shared.put.lock.unlock();
        debug_assert!(was_ours, "a writer stays in the thread that took the mutex");
    }
}
