//! Queues of bytes: items without serde, written and read where they are in shared memory.
//!
//! # Death
//! A [`Reservation`] of a killed process never becomes an item. What it reads by an [`ItemRef`] is lost with it; what it
//! reads by a [`LeaseRef`] goes to another consumer. The memory of all three is free for the next put that needs it.
//!
//! # Standard
//! `reserve` and `commit` of ring buffers in the Linux kernel (`bpf_ringbuf_reserve`, `bpf_ringbuf_submit`); iceoryx2's
//! `loan_slice_uninit`, `send` and `receive`.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::access::{Gets, Puts};
use super::joinable_queue::{DeadLetter, JoinableQueue};
use super::lease::Lease;
use super::put_error::PutError;
use super::ring::{InPlace, Ring, Room, Spot, Waiting};
use super::shm_queue::{GET, PUT, Queue};
use crate::ipc::error::{Error, Result, check_len, check_not_forked};
use crate::ipc::operation::Waits;
use crate::sys::fork::forked_from;

const RESERVE: Waits = Waits::change(["queue.reserve", "queue.reserve_timeout", "queue.try_reserve"]);
const COMMIT: Waits = Waits::change(["queue.commit", "queue.commit_timeout", "queue.try_commit"]);

/// A queue of bytes: each item is a slice of any length up to the byte limit.
///
/// ```
/// use ipc_demo::Queue;
///
/// let queue = Queue::<[u8]>::bounded(4)?;
/// queue.put_bytes(b"copied in")?;
///
/// let mut frame = queue.reserve(640 * 480)?; // in the memory of the queue
/// frame.fill(7);
/// frame.commit()?;
///
/// let mut buffer = Vec::new();
/// queue.get_into(&mut buffer)?; // copied out
/// assert_eq!(buffer, b"copied in");
///
/// let frame = queue.get_ref()?; // read where it is
/// assert_eq!((frame.len(), frame[0]), (640 * 480, 7));
/// # Ok::<(), ipc_demo::Error>(())
/// ```
impl<A: Puts> Queue<[u8], A> {
    /// Puts a copy of `bytes` as one item. Blocks while the queue is full.
    ///
    /// When it returns, the item is in the queue even if this process dies.
    ///
    /// # Errors
    /// As [`put`](Self::put), but for [`Error::Codec`].
    ///
    /// # Death
    /// As [`put`](Self::put).
    ///
    /// # Cost
    /// As [`put`](Self::put): one copy, and no serialisation.
    #[inline]
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.put_waiting_bytes(bytes, Waiting::FOREVER)
    }

    /// As [`put_bytes`](Self::put_bytes), blocking for at most `timeout`.
    ///
    /// # Errors
    /// [`Error::Full`] if there was no room, and as [`put_bytes`](Self::put_bytes).
    pub fn put_bytes_timeout(&self, bytes: &[u8], timeout: Duration) -> Result<()> {
        self.put_waiting_bytes(bytes, Waiting::at_most(timeout))
    }

    /// As [`put_bytes`](Self::put_bytes), if there is room.
    ///
    /// # Errors
    /// [`Error::Full`] as [`try_put`](Self::try_put), and others as that.
    #[inline]
    pub fn try_put_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.put_waiting_bytes(bytes, Waiting::NO)
    }

    #[inline]
    fn put_waiting_bytes(&self, bytes: &[u8], waiting: Waiting) -> Result<()> {
        waiting.point(&PUT, &self.ring.shared, || self.ring.can_put());
        self.ring.check_may_put()?;
        check_len(bytes.len(), self.ring.plan.longest())?;
        self.ring.put_item(bytes, waiting)
    }

    /// Reserves memory of the queue for an item of `len` bytes, to be written in place and then
    /// [committed](Reservation::commit). Blocks while the queue is full, or has too little memory.
    ///
    /// A reservation of more than 128 bytes takes consecutive memory within the byte limit. None has a place in the order of
    /// the items: the commit determines that. A thread that waits for memory which only its own reservations and
    /// [`ItemRef`]s take waits forever.
    ///
    /// # Errors
    /// As [`put_bytes`](Self::put_bytes).
    ///
    /// # Death
    /// If the process is killed before the commit, nothing was put, and the memory is free again.
    ///
    /// # Cost
    /// One atomic exchange for each piece of memory; no byte is written. New memory comes from the kernel zeroed, which
    /// takes as long as a copy: a queue that is in use has memory. An item of up to 128 bytes is written in memory of the
    /// process, and the commit copies it.
    pub fn reserve(&self, len: usize) -> Result<Reservation<'_>> {
        Ok(self.reserve_waiting(len, Waiting::FOREVER)?.expect("a wait without end ends with room or an error"))
    }

    /// As [`reserve`](Self::reserve), blocking for at most `timeout`. Returns `None` on timeout.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn reserve_timeout(&self, len: usize, timeout: Duration) -> Result<Option<Reservation<'_>>> {
        self.reserve_waiting(len, Waiting::at_most(timeout))
    }

    /// As [`reserve`](Self::reserve) if there is room, and otherwise `None`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn try_reserve(&self, len: usize) -> Result<Option<Reservation<'_>>> {
        self.reserve_waiting(len, Waiting::NO)
    }

    fn reserve_waiting(&self, len: usize, waiting: Waiting) -> Result<Option<Reservation<'_>>> {
        waiting.point(&RESERVE, &self.ring.shared, || self.ring.can_put());
        self.ring.check_may_put()?;
        let room = self.ring.reserve(len, waiting)?;
        Ok(room.map(|room| Reservation { ring: &self.ring, room, len }))
    }
}

/// Gets items as bytes.
impl<A: Gets> Queue<[u8], A> {
    /// Removes the oldest item, and leaves its bytes where they are until the guard is dropped. Blocks while the queue is
    /// empty.
    ///
    /// Until then the bytes of an item longer than 128 count for the byte limit, and producers use other memory.
    ///
    /// # Errors
    /// As [`get`](Self::get), but for [`Error::Codec`].
    ///
    /// # Death
    /// As [`get`](Self::get): the item is in the queue, or lost with this process, also while the guard exists. Use a
    /// [`JoinableQueue`] where it must go to another consumer.
    ///
    /// # Cost
    /// As [`get`](Self::get), without a copy if the item is longer than 48 bytes.
    #[inline]
    pub fn get_ref(&self) -> Result<ItemRef<'_>> {
        Ok(self.take_ref(Waiting::FOREVER)?.expect("a wait without end ends with an item or an error"))
    }

    /// As [`get_ref`](Self::get_ref), blocking for at most `timeout`. Returns `None` on timeout.
    ///
    /// # Errors
    /// As [`get_ref`](Self::get_ref).
    pub fn get_ref_timeout(&self, timeout: Duration) -> Result<Option<ItemRef<'_>>> {
        self.take_ref(Waiting::at_most(timeout))
    }

    /// As [`get_ref`](Self::get_ref) if there is an item, and otherwise `None`.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get), but for [`Error::Codec`].
    #[inline]
    pub fn try_get_ref(&self) -> Result<Option<ItemRef<'_>>> {
        self.take_ref(Waiting::NO)
    }

    /// Removes the oldest item, and replaces the content of `buffer` by its bytes. Blocks while the queue is empty.
    ///
    /// The buffer keeps its memory, and after an error its content.
    ///
    /// # Errors
    /// As [`get_ref`](Self::get_ref).
    ///
    /// # Death
    /// As [`get`](Self::get).
    pub fn get_into(&self, buffer: &mut Vec<u8>) -> Result<()> {
        copy_to(buffer, &self.get_ref()?);
        Ok(())
    }

    /// As [`get_into`](Self::get_into), blocking for at most `timeout`. Returns `false` on timeout.
    ///
    /// # Errors
    /// As [`get_ref`](Self::get_ref).
    pub fn get_into_timeout(&self, buffer: &mut Vec<u8>, timeout: Duration) -> Result<bool> {
        Ok(self.get_ref_timeout(timeout)?.map(|item| copy_to(buffer, &item)).is_some())
    }

    /// As [`get_into`](Self::get_into) if there is an item. Returns whether there was one.
    ///
    /// # Errors
    /// As [`try_get_ref`](Self::try_get_ref).
    pub fn try_get_into(&self, buffer: &mut Vec<u8>) -> Result<bool> {
        Ok(self.try_get_ref()?.map(|item| copy_to(buffer, &item)).is_some())
    }

    #[inline]
    fn take_ref(&self, waiting: Waiting) -> Result<Option<ItemRef<'_>>> {
        waiting.point(&GET, &self.ring.shared, || self.ring.can_get());
        check_not_forked()?;
        let attempt = |_| self.ring.take_in_place();
        let taken = match attempt(false)? {
            None => self.ring.get_slowly(waiting, attempt, || false)?,
            taken => taken,
        };
        Ok(taken.map(|(spot, item)| ItemRef { ring: &self.ring, spot, item }))
    }
}

fn copy_to(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(bytes);
}

/// Leases items as bytes.
impl<A: Gets> JoinableQueue<[u8], A> {
    /// Leases the oldest item, returned ones first, to read its bytes where they are. Blocks while there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get), but for [`Error::Codec`].
    ///
    /// # Death
    /// If the process is killed in the call or while it has the lease, the item goes to another consumer.
    ///
    /// # Cost
    /// As [`get`](Self::get), without a copy if the item is longer than 48 bytes.
    pub fn get_ref(&self) -> Result<LeaseRef<'_>> {
        Ok(self.lease_ref(Waiting::FOREVER)?.expect("a wait without end ends with an item or an error"))
    }

    /// As [`get_ref`](Self::get_ref), blocking for at most `timeout`. Returns `None` on timeout.
    ///
    /// # Errors
    /// As [`get_ref`](Self::get_ref).
    pub fn get_ref_timeout(&self, timeout: Duration) -> Result<Option<LeaseRef<'_>>> {
        self.lease_ref(Waiting::at_most(timeout))
    }

    /// As [`get_ref`](Self::get_ref) if there is an item, and otherwise `None`.
    ///
    /// # Errors
    /// As [`get_ref`](Self::get_ref).
    pub fn try_get_ref(&self) -> Result<Option<LeaseRef<'_>>> {
        self.lease_ref(Waiting::NO)
    }

    /// Removes the dead letters from the queue, oldest first, and returns copies of their bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] in the place of a letter whose bytes are not in the queue's memory.
    pub fn drain_dead_letters(&self) -> Vec<Result<DeadLetter<Vec<u8>>>> {
        // Not in place: another process may drain the same letters.
        self.drain_letters(Ok)
    }

    fn lease_ref(&self, waiting: Waiting) -> Result<Option<LeaseRef<'_>>> {
        let lease = self.lease(waiting, |token| self.ring.in_place(token.spot))?;
        Ok(lease.map(|lease| LeaseRef { lease }))
    }
}

/// Memory of a queue for one item, which is written in place; for an item of up to 128 bytes, memory of the process.
/// Dropped without [`commit`](Self::commit), it is free again, and nothing was put.
///
/// What the memory contains at first is unspecified: bytes of earlier items, or zeros. It begins at a multiple of 64
/// bytes if it is longer than 128.
#[must_use = "nothing is put without `commit`"]
pub struct Reservation<'q> {
    ring: &'q Ring,
    room: Room<'q>,
    len: usize,
}

impl Reservation<'_> {
    /// Shortens the item to its first `len` bytes; does nothing if it has no more.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Puts the item. Blocks only if other producers have filled the queue since the [`reserve`](Queue::reserve).
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Disconnected`] and [`Error::Os`] as [`put`](Queue::put). Nothing was put then, and the
    /// memory is free.
    ///
    /// # Death
    /// One atomic step: if the process is killed before it, nothing was put; after it, the item is in the queue.
    pub fn commit(self) -> Result<()> {
        self.commit_waiting(Waiting::FOREVER).map_err(Error::from)
    }

    /// As [`commit`](Self::commit), blocking for at most `timeout`; `Duration::ZERO` tries once.
    ///
    /// # Errors
    /// [`PutError::Full`] if there was no room, and [`PutError::Failed`] with the errors of [`commit`](Self::commit). Both
    /// return the reservation.
    pub fn commit_timeout(self, timeout: Duration) -> std::result::Result<(), PutError<Self>> {
        self.commit_waiting(Waiting::at_most(timeout))
    }

    fn commit_waiting(self, waiting: Waiting) -> std::result::Result<(), PutError<Self>> {
        waiting.point(&COMMIT, &self.ring.shared, || self.ring.can_put());
        let committed = self.ring.check_may_put().and_then(|()| self.ring.commit(&self.room, self.len, waiting));
        match committed {
            Ok(Some(())) => {
                self.room.keep(self.len);
                Ok(())
            }
            Ok(None) => Err(PutError::Full(self)),
            Err(error) => Err(PutError::Failed(self, error)),
        }
    }
}

impl Deref for Reservation<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.room.bytes(self.len)
    }
}

impl DerefMut for Reservation<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.room.bytes_mut(self.len)
    }
}

impl fmt::Debug for Reservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The bytes of an item that was got from a [`Queue`], in the memory of the queue. Dropping it frees the memory.
///
/// It begins at a multiple of 64 bytes if it is longer than 48.
pub struct ItemRef<'q> {
    ring: &'q Ring,
    spot: Spot,
    item: InPlace,
}

impl Deref for ItemRef<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.ring.bytes_of(&self.item)
    }
}

impl Drop for ItemRef<'_> {
    fn drop(&mut self) {
        // In a forked process it is a copy: the item is the parent's.
        if forked_from().is_none() {
            self.ring.release_in_place(self.spot, &self.item);
        }
    }
}

impl fmt::Debug for ItemRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemRef").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The bytes of a leased item, in the memory of its [`JoinableQueue`]. A [`Lease`] without the item itself: it belongs to
/// the holder until [`task_done`](Self::task_done), and goes to another consumer if the holder dies before, or drops it.
#[must_use = "dropping a lease gives the item back"]
pub struct LeaseRef<'q> {
    lease: Lease<'q, InPlace>,
}

impl LeaseRef<'_> {
    /// As [`Lease::redelivered`].
    pub fn redelivered(&self) -> u32 {
        self.lease.redelivered()
    }

    /// As [`Lease::number`].
    pub fn number(&self) -> u64 {
        self.lease.number()
    }

    /// Ends the lease: marks the task done, and frees the memory.
    ///
    /// # Errors
    /// As [`Lease::task_done`].
    ///
    /// # Death
    /// As [`Lease::task_done`].
    pub fn task_done(self) -> Result<()> {
        self.lease.task_done().map(drop)
    }

    /// As [`Lease::nack`].
    ///
    /// # Errors
    /// As [`Lease::task_done`].
    pub fn nack(self) -> Result<()> {
        self.lease.nack()
    }
}

impl Deref for LeaseRef<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.lease.bytes()
    }
}

impl fmt::Debug for LeaseRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lease = f.debug_struct("LeaseRef");
        lease.field("len", &self.len()).field("redelivered", &self.redelivered()).finish_non_exhaustive()
    }
}
