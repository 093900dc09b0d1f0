//! The reading side of a ring: removes records in order by publishing the reader's position.

use super::cursor::{Place, Position, Seen};
use super::{HEADER_BYTES, Ring, Side, Waiting, record_bytes};
use crate::ipc::error::{Error, Result};
use crate::ipc::queue::participants::Rights;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sys::robust::Locked;
use crate::sys::shm::shared_layout;

shared_layout! {
    /// Accessed only by the holder of the readers' mutex.
    pub(crate) struct GetSide {
        pub(super) side: Side,
        /// Where to look for a free lease slot.
        pub(crate) lease_hint: AtomicU32,
        /// Leases made since the last check of the table.
        pub(crate) lease_ticks: AtomicU32,
        /// The count of returned items up to which all are leased again.
        pub(crate) returned_seen: AtomicU32,
        /// How many new lease slots may be used before the next search for free ones.
        pub(super) lease_credit: AtomicU32,
        distance: [AtomicU64; 7],
    }
}
const _: () = assert!(size_of::<GetSide>() == 128);

/// A record in the ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// Where its bytes begin.
    pub(crate) place: Place,
    /// Number of bytes.
    pub(crate) len: u32,
    /// The reader's position after removing it.
    pub(crate) after: Position,
}

/// The readers' mutex, held.
pub(crate) struct Reader<'a> {
    ring: &'a Ring,
    /// The writers' cursor word when this reader last looked.
    seen: Option<Seen>,
}

impl Ring {
    /// Acquires the readers' mutex. Returns `None` on timeout if there is nothing to get, or if the mutex's holder is
    /// stopped.
    ///
    /// `has_more`: whether there is something to get that is not in the ring. `may_come`: whether something may arrive
    /// without a put.
    #[inline]
    pub(crate) fn reader(
        &self,
        waiting: &Waiting,
        has_more: impl Fn() -> bool,
        may_come: impl Fn() -> bool,
    ) -> Result<Option<Reader<'_>>> {
        let has_something = || !self.is_empty() || has_more();
        let refusal = || {
            let is_over = self.producers_are_gone(waiting.will()) && !may_come() && !has_something();
            is_over.then_some(Error::Disconnected)
        };
        let locked = self.lock(&self.shared.get.side.lock, waiting, has_something, refusal)?;
        let Some(was_abandoned) = locked else { return Ok(None) };
        Ok(Some(self.reading(was_abandoned)))
    }

    /// Acquires the readers' mutex if it is free.
    #[inline(always)]
    pub(crate) fn reader_now(&self) -> Option<Reader<'_>> {
        match self.shared.get.side.lock.try_lock() {
            Locked::Busy | Locked::WouldDeadlock => None,
            locked => Some(self.reading(locked == Locked::Abandoned)),
        }
    }

    #[inline]
    fn reading(&self, was_abandoned: bool) -> Reader<'_> {
        if was_abandoned {
            self.clean_up_after_reader();
        }
        Reader { ring: self, seen: None }
    }

    /// Discards what a dead reader wrote but did not publish. The caller must hold the readers' mutex.
    #[cold]
    fn clean_up_after_reader(&self) {
        let head_items = self.shared.head.own().items;
        // It may have written part of a bound: this makes the next readers read the cursor again.
        self.shared.get.side.seen_items.store(head_items, Relaxed);
        self.roll_back_unpublished(head_items);
    }

    /// Returns whether the ring is empty. `true` only if it was empty at some moment of the call.
    pub(crate) fn is_empty(&self) -> bool {
        // In this order: concurrent writers make the content look larger, never smaller.
        let (_, head) = self.shared.head.read();
        let (_, tail) = self.shared.tail.read();
        head.items == tail.items
    }

    /// Returns whether a get would not block: there is an item, or the get would fail.
    pub(crate) fn can_get(&self) -> bool {
        !self.is_empty() || self.no_producer_is_left(true)
    }

    /// Returns whether nothing can be added to the ring after this returns: no producer remains or can appear. A handle
    /// that can also put and does not wait may still do so itself.
    ///
    /// A put may still be in progress through a handle that has been closed. It checks the handle and publishes while
    /// it holds the writers' mutex. So a process that acquires that mutex after the handle has left either finds the
    /// item in the ring, or precedes the put, which then finds its handle closed.
    pub(crate) fn producers_are_gone(&self, will_wait: bool) -> bool {
        self.no_producer_is_left(will_wait) && self.writer_now().is_some()
    }

    /// Like [`producers_are_gone`](Self::producers_are_gone), but a put may still be in progress through a handle that
    /// has been closed.
    pub(crate) fn no_producer_is_left(&self, will_wait: bool) -> bool {
        (will_wait || !self.may_put()) && !self.is_right_left(Rights::PUT)
    }

    /// Copies the bytes of a record that stays in place: the readers' mutex is held, or it is leased.
    pub(crate) fn copy(&self, place: Place, bytes: &mut [u8]) -> Result<()> {
        self.copy_out(&mut self.checked(place)?, bytes)
    }

    /// Releases memory that the ring does not need, unless a writer is active: then it is needed.
    pub(crate) fn release_surplus(&self) {
        if self.has_surplus()
            && let Some(mut writer) = self.writer_now()
        {
            // Memory that cannot be released now is released later.
            let _ = writer.release_surplus();
        }
    }
}

impl<'a> Reader<'a> {
    /// Returns the number of the first item in the ring.
    pub(crate) fn head_items(&self) -> u64 {
        self.ring.shared.head.own().items
    }

    /// Returns the readers' position.
    #[inline]
    fn head(&self) -> Result<Position> {
        let head = self.ring.shared.head.own();
        self.ring.checked(head.place).map(|_| head)
    }

    pub(crate) fn side(&self) -> &'a GetSide {
        &self.ring.shared.get
    }

    /// Returns how many items and bytes lie ahead of `from`.
    #[inline(always)]
    fn ahead(&mut self, from: &Position) -> (u64, u64) {
        let get = &self.side().side;
        let items = get.seen_items.load(Relaxed).wrapping_sub(from.items);
        if items != 0 && items <= u64::MAX / 2 {
            return (items, get.seen_bytes.load(Relaxed).wrapping_sub(from.bytes));
        }
        let tail = self.look();
        (tail.items.wrapping_sub(from.items), tail.bytes.wrapping_sub(from.bytes))
    }

    /// Reads the writers' cursor.
    #[cold]
    fn look(&mut self) -> Position {
        let ring = self.ring;
        let (seen, tail) = ring.look(&ring.shared.get.side, &ring.shared.tail, &ring.get_spin);
        self.seen = Some(seen);
        tail
    }

    /// Copies up to `most` records, as they lie in the ring, into `bytes`, and removes them in one step. Returns the
    /// bytes and the number of records.
    pub(crate) fn take_many<'b>(&mut self, most: u64, bytes: &'b mut Vec<u8>) -> Result<(&'b [u8], u64)> {
        let (tail, head) = (self.look(), self.head()?);
        let mut after = head;
        if tail.items.wrapping_sub(after.items) <= most {
            after = Position { place: self.ring.checked(tail.place)?, ..tail };
        } else {
            for _ in 0..most {
                let Some(record) = self.record_at(after)? else { break };
                after = record.after;
            }
        }
        let len = usize::try_from(after.bytes.wrapping_sub(head.bytes)).unwrap_or(usize::MAX);
        if len > self.ring.plan.ring_bytes() as usize {
            return Err(Error::Damaged { object: "queue" });
        }
        let bytes = first_bytes(bytes, len);
        if len > 0 {
            let mut at = head.place;
            self.ring.copy_out(&mut at, bytes)?;
            self.take_until(after);
        }
        Ok((bytes, after.items.wrapping_sub(head.items)))
    }

    /// Returns the first record in the ring.
    #[inline(always)]
    pub(crate) fn first(&mut self) -> Result<Option<Record>> {
        let head = self.head()?;
        self.record_at(head)
    }

    /// Returns the record behind `from`, if there is one.
    #[inline(always)]
    pub(crate) fn record_at(&mut self, from: Position) -> Result<Option<Record>> {
        let (items, bytes) = self.ahead(&from);
        if items == 0 {
            return Ok(None);
        }
        let ring = self.ring;
        let mut place = ring.start(from.place)?;
        let mut header = [0; HEADER_BYTES];
        ring.copy_out(&mut place, &mut header)?;
        let len = u32::from_ne_bytes(header);
        let whole = record_bytes(len as usize);
        if whole as u64 > bytes {
            return Err(Error::Damaged { object: "queue" });
        }
        let mut end = place;
        ring.skip(&mut end, whole - HEADER_BYTES)?;
        let after =
            Position { bytes: from.bytes.wrapping_add(whole as u64), items: from.items.wrapping_add(1), place: end };
        Ok(Some(Record { place, len, after }))
    }

    /// Removes the first record and copies its bytes. Returns their number; `None`, without any effect, if there is no
    /// record, or if it does not fit into `bytes`.
    #[inline(always)]
    pub(crate) fn take_first(&mut self, bytes: &mut [u8]) -> Result<Option<usize>> {
        let Some(record) = self.first()? else { return Ok(None) };
        let Some(bytes) = bytes.get_mut(..record.len as usize) else { return Ok(None) };
        let mut at = record.place;
        self.ring.copy_out(&mut at, bytes)?;
        self.take_until(record.after);
        Ok(Some(bytes.len()))
    }

    /// Publishes `after`: everything before it is removed from the ring.
    #[inline]
    pub(crate) fn take_until(&mut self, after: Position) {
        self.ring.shared.head.publish(after);
    }

    /// Calls `attempt` until it returns a result. Between calls, blocks until there may be more than
    /// [`first`](Self::first) found. Returns `None` on timeout. For `can_happen`, see [`Waiting::wait`].
    pub(crate) fn retry<R>(
        &mut self,
        mut waiting: Waiting,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<R>>,
        can_happen: impl Fn() -> Result<bool>,
    ) -> Result<Option<R>> {
        let ring = self.ring;
        let mut is_idle = false;
        loop {
            if let Some(result) = attempt(self)? {
                return Ok(Some(result));
            }
            if is_idle {
                ring.release_surplus();
            }
            is_idle = true;
            if let Some(seen) = self.seen.take()
                && !waiting.wait(&ring.shared.tail, seen, &ring.shared.getters, &ring.get_spin, &can_happen)?
            {
                return Ok(None);
            }
        }
    }
}

/// Returns the first `len` bytes of a buffer, growing it if necessary. Only new bytes are zeroed.
pub(crate) fn first_bytes(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

impl Drop for Reader<'_> {
    #[inline]
    fn drop(&mut self) {
        let was_ours = self.ring.shared.get.side.lock.unlock();
        debug_assert!(was_ours, "a reader stays in the thread that took the mutex");
    }
}
