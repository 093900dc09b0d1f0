//! The common part of `Queue` and `JoinableQueue`: a ring, a handle's rights on it, and the producer side.

use std::time::Duration;

use super::encoding::{self, SMALL, Scratch};
use super::item::Item;
use super::participants::Rights;
use super::ring::{Plan, Records, Ring, RingState, Waited, Waiting, Writer, record_bytes};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::process::table::ProcessSlot;
use crate::sys::shm::Mapping;

/// What a handle may do, as a type that the compiler checks.
pub trait Access: sealed::Sealed {}
/// May put.
pub trait Puts: Access {}
/// May get.
pub trait Gets: Access {}

/// A handle that puts and gets.
#[derive(Debug, Clone, Copy)]
pub enum Both {}
/// A handle that only puts.
#[derive(Debug, Clone, Copy)]
pub enum PutOnly {}
/// A handle that only gets.
#[derive(Debug, Clone, Copy)]
pub enum GetOnly {}

mod sealed {
    use super::{Both, GetOnly, PutOnly};

    pub trait Sealed {
        #[doc(hidden)]
        const PUTS: bool;
        #[doc(hidden)]
        const GETS: bool;
        #[doc(hidden)]
        const QUEUE: &'static str;
        #[doc(hidden)]
        const JOINABLE: &'static str;
    }
    impl Sealed for Both {
        const PUTS: bool = true;
        const GETS: bool = true;
        const QUEUE: &'static str = "queue";
        const JOINABLE: &'static str = "joinable queue";
    }
    impl Sealed for PutOnly {
        const PUTS: bool = true;
        const GETS: bool = false;
        const QUEUE: &'static str = "queue's producer";
        const JOINABLE: &'static str = "joinable queue's producer";
    }
    impl Sealed for GetOnly {
        const PUTS: bool = false;
        const GETS: bool = true;
        const QUEUE: &'static str = "queue's consumer";
        const JOINABLE: &'static str = "joinable queue's consumer";
    }
}
impl Access for Both {}
impl Access for PutOnly {}
impl Access for GetOnly {}
impl Puts for Both {}
impl Puts for PutOnly {}
impl Gets for Both {}
impl Gets for GetOnly {}

pub(crate) fn rights_of<A: Access>() -> Rights {
    Rights { put: A::PUTS, get: A::GETS }
}

/// A handle on a ring, with a buffer for items.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) ring: Ring,
    pub(crate) scratch: Scratch,
}

impl Channel {
    pub(crate) fn create(plan: Plan, rights: Rights, init: impl FnOnce(&RingState)) -> Result<Self> {
        Ring::create(plan, rights, init).map(Self::of)
    }

    fn of(ring: Ring) -> Self {
        Channel { ring, scratch: Scratch::default() }
    }

    /// Creates another handle of this process, with those of `rights` that this one still has.
    pub(crate) fn another(&self, rights: Rights) -> Self {
        Channel::of(self.ring.another(rights))
    }

    /// Returns what is sent to the process in `recipient`, and counts a handle for it.
    pub(crate) fn counted_for(&self, recipient: ProcessSlot) -> Result<(&Mapping<RingState>, Rights, u32)> {
        self.ring.counted_for(recipient)
    }

    /// Creates a handle of this process from what it received.
    pub(crate) fn received((shared, rights, counted): (Mapping<RingState>, Rights, u32)) -> Result<Self> {
        Ring::received(shared, rights, counted).map(Self::of)
    }

    /// Returns the number of items in the ring at one moment.
    pub(crate) fn items(&self) -> u64 {
        let (head, tail) = self.ring.committed();
        tail.items.wrapping_sub(head.items).min(self.ring.plan().capacity)
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        let capacity = self.ring.plan().capacity;
        (capacity != u64::MAX).then_some(capacity as usize)
    }

    /// Puts one item. [`Error::Full`] if there was no room within the timeout.
    #[inline]
    pub(crate) fn put<T: Item>(&self, item: &T, waiting: Waiting) -> Result<()> {
        self.check_may_put()?;
        let (mut small, mut large) = ([0; SMALL], Vec::new());
        match encoding::encode(item, &mut small, &mut large, &self.scratch)? {
            Some(records) => {
                let longest = self.ring.plan().longest();
                // Only a ring created for tiny items refuses a small one.
                if records.bytes.len() > longest && records.len_of_first() > longest {
                    return Err(Error::TooLong { bytes: records.len_of_first(), limit: longest });
                }
                self.put_record(records, waiting)
            }
            None => self.put_large(large, waiting),
        }
    }

    #[cold]
    fn put_large(&self, mut buffer: Vec<u8>, waiting: Waiting) -> Result<()> {
        let fits = encoding::finish(0, self.ring.plan().longest(), &mut buffer);
        let put = fits.and_then(|()| self.put_record(Records { bytes: &buffer, items: 1 }, waiting));
        let used = buffer.len();
        self.scratch.recycle(buffer, used);
        put
    }

    /// Puts all items contiguously as room becomes free.
    pub(crate) fn put_all<T: Item>(&self, items: &[T]) -> Result<()> {
        self.put_many(items, Waiting::FOREVER, &mut 0)
    }

    /// Puts items contiguously as room becomes free in time. Returns the count; an error only if it is 0.
    pub(crate) fn put_some<T: Item>(&self, items: &[T], timeout: Duration) -> Result<usize> {
        let mut put = 0;
        let outcome = self.put_many(items, Waiting::at_most(timeout), &mut put);
        // The next call meets the same error again.
        if put > 0 { Ok(put as usize) } else { outcome.map(|()| 0) }
    }

    fn put_many<T: Item>(&self, items: &[T], waiting: Waiting, put: &mut u64) -> Result<()> {
        self.check_may_put()?;
        let mut buffer = self.scratch.borrow();
        buffer.clear();
        let longest = self.ring.plan().longest();
        let encoded = items.iter().try_for_each(|item| encoding::append(item, longest, &mut buffer));
        let records = Records { bytes: &buffer, items: items.len() as u64 };
        let outcome = encoded.and_then(|()| self.put_slowly(None, records, waiting, put));
        let used = buffer.len();
        self.scratch.recycle(buffer, used);
        outcome
    }

    #[inline]
    fn check_may_put(&self) -> Result<()> {
        check_not_forked()?;
        if !self.ring.may_put() {
            return Err(Error::Closed);
        }
        // A handle that can also get reports this only when it would block.
        if self.ring.nobody_gets(false) { Err(Error::Disconnected) } else { Ok(()) }
    }

    #[inline]
    fn put_record(&self, record: Records<'_>, waiting: Waiting) -> Result<()> {
        let mut writer = self.ring.writer_now();
        if let Some(writer) = &mut writer
            && self.ring.may_put()
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
    fn put_slowly(
        &self,
        writer: Option<Writer<'_>>,
        mut left: Records<'_>,
        mut waiting: Waiting,
        put: &mut u64,
    ) -> Result<()> {
        let writer = match writer {
            Some(writer) => Some(writer),
            None => self.ring.writer(&waiting, record_bytes(left.len_of_first()) as u64)?,
        };
        let Some(mut writer) = writer else { return Ok(()) };
        loop {
            // The handle may have been closed since the call began.
            if !self.ring.may_put() {
                drop(writer);
                // A waiting consumer cannot detect disconnection until the mutex is free.
                self.ring.state().getters.notify();
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
            match writer.wait(&mut waiting) {
                Waited::Retry => {}
                Waited::TimedOut => return Ok(()),
                Waited::Disconnected => return Err(Error::Disconnected),
            }
        }
    }
}
