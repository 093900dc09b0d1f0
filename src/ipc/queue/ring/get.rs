//! Getting items out of a ring.

use std::slice;
use std::thread;
use std::time::Duration;

use super::extension::is_extended;
use super::large::MOST_TOGETHER;
use super::segments::{Spot, known};
use super::slot::{INLINE_BYTES, Slot};
use super::word::{Pack, State, Word};
use super::{DAMAGED, Ring, Waiting};
use crate::ipc::buffer::Buffer;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result};
use crate::ipc::queue::batch::HEADER_BYTES;
use crate::ipc::queue::leasing::LeaseToken;
use crate::ipc::queue::participants::Rights;
use crate::sys::atomic::{Ordering::SeqCst, fence};
use crate::sys::task::Task;

/// The first item.
enum First<'r> {
    /// Its slot, which this process has taken, and the word now.
    Taken(Spot, &'r Slot, Word),
    /// The first slot of its run, the word, and what that says.
    Packed(Spot, Word, Pack),
}

impl Ring {
    /// Returns whether there is no item to get.
    pub(crate) fn is_empty(&self) -> bool {
        self.first_ready().is_none()
    }

    /// Returns whether a get would not block: there is an item, or the get would fail.
    pub(crate) fn can_get(&self) -> bool {
        !self.is_empty() || self.no_producer_is_left(true)
    }

    /// Returns whether nothing can be added to the ring after this returns: no producer remains or can appear. A handle
    /// that can also put and does not wait may still do so itself.
    ///
    /// A put may still be in progress through a handle that has been closed. It claims a slot, and then checks the
    /// handle. So a process that has seen the handle leave either finds the claim, or precedes it, and then the put
    /// finds its handle closed.
    pub(crate) fn producers_are_gone(&self, will_wait: bool) -> bool {
        self.no_producer_is_left(will_wait) && {
            fence(SeqCst);
            !self.slots().any(|(_, word)| word.state() == State::Claimed && self.is_owner_alive(word))
        }
    }

    fn no_producer_is_left(&self, will_wait: bool) -> bool {
        (will_wait || !self.may_put()) && !self.is_right_left(Rights::PUT)
    }

    pub(crate) fn is_owner_alive(&self, word: Word) -> bool {
        word.owner().is_some_and(|owner| self.process_table.is_alive(owner))
    }

    /// Releases the slot of a consumer that was killed in the middle of a get. Returns `false` if it is alive.
    pub(super) fn release_of_dead(&self, spot: Spot, taking: Word) -> bool {
        !self.is_owner_alive(taking) && self.release_run(spot, taking)
    }

    /// Returns the first slot that was not taken, and the word that tells of it: `None` at the end of the chain.
    #[inline(never)]
    pub(super) fn first_untaken(&self) -> (Spot, Option<Word>) {
        let mut spot = self.head();
        loop {
            let word = self.word(spot);
            if word.is_of(self.number(spot)) {
                match word.state() {
                    State::Ready => return (self.behind(spot, word.taken()), Some(word)),
                    State::Claimed if self.is_owner_alive(word) => return (spot, Some(word)),
                    State::Claimed => self.abort(spot, word),
                    _ => match self.next_behind(spot, word) {
                        Some(next) => spot = next,
                        None => return (Spot { position: spot.position + 1, ..spot }, None),
                    },
                }
            } else if word.is_free_in(self.number(spot)) {
                return (spot, Some(word));
            } else {
                // The segment is another by now.
                spot = self.oldest();
            }
        }
    }

    /// Returns the slot of the first item, or the first slot of its run, and the word.
    #[inline]
    pub(crate) fn first_ready(&self) -> Option<(Spot, Word)> {
        let (spot, word) = self.first_untaken();
        let word = word.filter(|word| word.state() == State::Ready)?;
        Some((Spot { position: spot.position - u64::from(word.taken()), ..spot }, word))
    }

    /// Takes the first item: changes its word to what `then` returns. Returns `None` if there is no item, or if it is
    /// packed.
    #[inline(always)]
    pub(crate) fn take(&self, then: impl Fn(Spot, Word) -> Word) -> Option<(Spot, &Slot, Word)> {
        self.take_noted(&then).or_else(|| match self.take_first(then)? {
            First::Taken(spot, slot, taken) => Some((spot, slot, taken)),
            First::Packed(..) => None,
        })
    }

    /// As [`take`](Self::take) if the first item is where it is expected.
    #[inline(always)]
    fn take_noted(&self, then: impl Fn(Spot, Word) -> Word) -> Option<(Spot, &Slot, Word)> {
        let (spot, slot, word) = self.noted_or_known(&self.shared.head, &self.known_head)?;
        let ready = self.ready(spot);
        if word == ready { self.try_take(spot, slot, ready, then(spot, ready)) } else { None }
    }

    /// As [`take`](Self::take), wherever the first item is. Returns one that is packed as it is.
    #[inline]
    fn take_first(&self, then: impl Fn(Spot, Word) -> Word) -> Option<First<'_>> {
        loop {
            let (spot, ready) = self.first_ready()?;
            if let Some(pack) = ready.pack() {
                return Some(First::Packed(spot, ready, pack));
            }
            if let Some((spot, slot, taken)) = self.try_take(spot, self.slot(spot), ready, then(spot, ready)) {
                return Some(First::Taken(spot, slot, taken));
            }
        }
    }

    #[inline(always)]
    fn try_take<'r>(&self, spot: Spot, slot: &'r Slot, ready: Word, taken: Word) -> Option<(Spot, &'r Slot, Word)> {
        let is_ours = ready.replace(&slot.word, taken);
        is_ours.then(|| {
            self.note_passed(&self.shared.head, &self.known_head, spot);
            self.prefetch_to_take(spot, slice::from_ref(slot));
            (spot, slot, taken)
        })
    }

    /// Takes the first item for this process alone, hands the bytes to `read`, and releases the slot: before
    /// that, if the item is in the slot and is copied. Returns `None` if there is no item.
    #[inline]
    pub(crate) fn get_item<R>(&self, read: impl Fn(&[u8]) -> Result<R>) -> Result<Option<R>> {
        let Some((spot, slot, _)) = self.take_noted(|spot, _| self.taking(spot)) else {
            return self.get_first_item(read);
        };
        self.get_taken_item(spot, slot, read).map(Some)
    }

    /// As [`get_item`](Self::get_item), wherever the first item is.
    #[inline(never)]
    fn get_first_item<R>(&self, read: impl Fn(&[u8]) -> Result<R>) -> Result<Option<R>> {
        let mut got = None;
        let mut read_packed = |bytes: Result<&[u8]>| {
            self.notify_putters();
            got = Some(bytes.and_then(&read));
        };
        while let Some(first) = self.take_first(|spot, _| self.taking(spot)) {
            match first {
                First::Taken(spot, slot, _) => return self.get_taken_item(spot, slot, read).map(Some),
                First::Packed(spot, ready, pack) => {
                    if self.get_packed((spot, ready, pack), 1, &mut read_packed) > 0 {
                        break;
                    }
                }
            }
        }
        got.transpose()
    }

    #[inline(always)]
    fn get_taken_item<R>(&self, spot: Spot, slot: &Slot, read: impl Fn(&[u8]) -> Result<R>) -> Result<R> {
        if slot.len() > INLINE_BYTES {
            return self.get_longer_item(spot, slot, read);
        }
        let mut buffer = [0; INLINE_BYTES];
        let bytes = slot.copy_inline(&mut buffer);
        self.release_taken(spot, slice::from_ref(slot));
        self.notify_putters();
        read(bytes)
    }

    #[inline(never)]
    fn get_longer_item<R>(&self, spot: Spot, slot: &Slot, read: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
        let taken = Taken { ring: self, first: spot, slots: slice::from_ref(slot) };
        let outcome = self.read_item(spot, slot, read);
        drop(taken);
        self.notify_putters();
        outcome
    }

    /// Returns the word of a slot whose item this process has taken for itself.
    #[inline]
    pub(super) fn taking(&self, spot: Spot) -> Word {
        Word::owned(State::Taking, self.me, self.number(spot))
    }

    /// Takes up to `most` items, hands each to `read`, and returns their number.
    #[inline]
    pub(crate) fn get_items(&self, most: usize, mut read: impl FnMut(Result<&[u8]>)) -> usize {
        let mut count = 0;
        while count < most {
            match self.get_run(most - count, &mut read) {
                0 => break,
                got => count += got,
            }
        }
        if count > 0 {
            // Once.
            self.notify_putters();
        }
        count
    }

    /// As [`get_items`](Self::get_items) for items of one run, or for one item. The caller wakes the waiting producers.
    #[inline]
    fn get_run(&self, most: usize, read: &mut impl FnMut(Result<&[u8]>)) -> usize {
        match self.take_run(most) {
            Some((first, slots)) => self.read_taken(first, slots, read),
            None => self.get_first(most, read),
        }
    }

    /// As [`get_run`](Self::get_run), wherever the first item is.
    #[inline]
    fn get_first(&self, most: usize, read: &mut impl FnMut(Result<&[u8]>)) -> usize {
        while let Some(first) = self.take_first(|spot, _| self.taking(spot)) {
            let got = match first {
                First::Taken(spot, slot, _) => self.read_taken(spot, slice::from_ref(slot), read),
                First::Packed(spot, ready, pack) => self.get_packed((spot, ready, pack), most, read),
            };
            if got > 0 {
                return got;
            }
        }
        0
    }

    /// Hands the items of slots that this process has taken to `read`, and releases the slots. Returns their number.
    #[inline]
    fn read_taken(&self, first: Spot, slots: &[Slot], read: &mut impl FnMut(Result<&[u8]>)) -> usize {
        let _taken = Taken { ring: self, first, slots };
        let mut index = 0;
        for together in slots.chunk_by(Slot::is_followed_by) {
            if let [slot] = together {
                let outcome = self.read_item(self.behind(first, index), slot, |bytes| {
                    read(Ok(bytes));
                    Ok(())
                });
                outcome.unwrap_or_else(|error| read(Err(error)));
            } else {
                self.read_together(together, read);
            }
            index += together.len() as u32;
        }
        slots.len()
    }

    /// Hands long items to `read` that lie one behind the other. They are copied in one piece first: where one processor's
    /// cache is far from another's, that takes half as long as to read them line by line.
    fn read_together(&self, slots: &[Slot], read: &mut impl FnMut(Result<&[u8]>)) {
        let len = slots.iter().map(|slot| slot.len() + HEADER_BYTES).sum::<usize>() - HEADER_BYTES;
        let place = self.place(&slots[0], len);
        let mut copied = Buffer::borrow();
        copied.clear();
        copied.extend_from_slice(place.map_or(&[], |place| self.shared.bytes(self.plan.chunks_at + place, len)));
        let mut rest = copied.as_slice();
        for slot in slots {
            let (item, behind) = rest.split_at_checked(slot.len()).unzip();
            read(item.ok_or(DAMAGED));
            rest = behind.and_then(|behind| behind.get(HEADER_BYTES..)).unwrap_or_default();
        }
    }

    /// Takes the items behind the one that this handle took last: up to `most`, short ones or long ones that are not too
    /// long together. Returns the first spot and the slots; `None` if there is none, or if that is not the first.
    #[inline]
    fn take_run(&self, most: usize) -> Option<(Spot, &[Slot])> {
        let first = known(&self.known_head)?;
        let most = self.longest_run(first).min(u32::try_from(most).unwrap_or(u32::MAX));
        let (slots, ready) = (self.run(first, most), self.ready(first));
        let are_large = slots.first()?.is_large();
        let mut bytes = 0;
        let is_alike = |slot: &&Slot| {
            let is_ready = Word::load(&slot.word) == ready;
            bytes += slot.len();
            is_ready && slot.is_large() == are_large && bytes <= MOST_TOGETHER
        };
        // Those behind the first stay as they are: nobody takes one before the first.
        let len = slots.iter().take_while(is_alike).count() as u32;
        let taking = Word::owned_run(State::Taking, self.me, self.number(first), len.max(1));
        let is_ours = len > 0 && ready.replace(&slots[0].word, taking);
        is_ours.then(|| {
            let slots = &slots[..len as usize];
            self.note_passed(&self.shared.head, &self.known_head, self.behind(first, len - 1));
            self.prefetch_to_take(first, slots);
            (first, slots)
        })
    }

    /// Releases the slots of a run that this process has taken. The caller notifies the waiting producers.
    #[inline(always)]
    fn release_taken(&self, first: Spot, slots: &[Slot]) {
        self.done(first).store_run(slots.iter().map(|slot| &slot.word));
        if self.is_last(first) {
            self.note_done(first);
        }
    }

    /// Returns the word of a slot whose item is gone.
    #[inline]
    pub(crate) fn done(&self, spot: Spot) -> Word {
        Word::free(State::Done, self.number(spot))
    }

    /// Changes the word of a leased item. Returns `false` if it has changed since it was read.
    pub(crate) fn replace(&self, lease: &LeaseToken, then: Word) -> bool {
        lease.word.replace(&self.slot(lease.spot).word, then)
    }

    /// Records the process that has leased an item.
    pub(crate) fn set_pid(&self, spot: Spot, pid: u32) {
        self.slot(spot).set_pid(pid);
    }

    /// Returns the process that has leased an item.
    pub(crate) fn pid(&self, spot: Spot) -> u32 {
        self.slot(spot).pid()
    }

    /// Ends a lease whose task is done. Returns `false` if it has changed since it was read.
    pub(crate) fn finish(&self, lease: &LeaseToken) -> bool {
        let slot = self.slot(lease.spot);
        let is_large = slot.is_large();
        let then = if is_large { self.taking(lease.spot) } else { self.done(lease.spot) };
        let is_ours = self.replace(lease, then);
        if is_ours && is_large {
            self.release(lease.spot, slot);
        }
        is_ours
    }

    /// Releases a slot that this process has taken.
    #[inline]
    pub(super) fn release(&self, spot: Spot, slot: &Slot) {
        drop(Taken { ring: self, first: spot, slots: slice::from_ref(slot) });
        self.notify_putters();
    }

    /// Wakes the producers that wait for room.
    #[inline]
    pub(crate) fn notify_putters(&self) {
        if self.shared.putters.event.notify() {
            self.get_spin.peer_is_waking();
        }
    }

    /// Hands the bytes of an item that this process has taken or leased to `read`: a longer one where it is.
    #[inline]
    pub(crate) fn read_item<R>(&self, spot: Spot, slot: &Slot, read: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
        let len = slot.len();
        if len > INLINE_BYTES {
            return read(self.shared.bytes(self.longer_item(spot, slot, len)?, len));
        }
        read(slot.copy_inline(&mut [0; INLINE_BYTES]))
    }

    /// Returns a copy of the bytes of an item that another process may take meanwhile: then they are meaningless.
    pub(crate) fn copy_item(&self, spot: Spot) -> Result<Vec<u8>> {
        let slot = self.slot(spot);
        let len = slot.len();
        if len <= INLINE_BYTES {
            return Ok(slot.copy_inline(&mut [0; INLINE_BYTES]).to_vec());
        }
        let at = self.longer_item(spot, slot, len)?;
        let mut bytes = vec![0; len];
        self.shared.copy_out(at, &mut bytes);
        Ok(bytes)
    }

    /// Returns where an item of `len` bytes that is not in its slot is in the memory of the ring.
    #[inline]
    pub(super) fn longer_item(&self, spot: Spot, slot: &Slot, len: usize) -> Result<usize> {
        if is_extended(len) { Ok(self.extension_at(spot)) } else { Ok(self.plan.chunks_at + self.place(slot, len)?) }
    }

    /// Calls `attempt` until it gets something; blocks meanwhile. Returns `None` on timeout. See [`Waiting::until`].
    ///
    /// `may_come` tells whether something may come that is not put.
    pub(crate) fn get_slowly<R>(
        &self,
        waiting: Waiting,
        attempt: impl Fn(bool) -> Result<Option<R>>,
        may_come: impl Fn() -> bool,
    ) -> Result<Option<R>> {
        let refusal = || (self.producers_are_gone(waiting.will()) && !may_come()).then_some(Error::Disconnected);
        let spin = (&self.get_spin, self.first_untaken().0.position);
        let got = waiting.until(&self.shared.getters, spin, false, &attempt, refusal, || self.release_surplus())?;
        if got.is_none() && self.is_put_under_way() { attempt(true) } else { Ok(got) }
    }

    /// Waits for the put that the first item is behind, unless its process is stopped. Returns `false` if there is none.
    fn is_put_under_way(&self) -> bool {
        let grace = Deadline::after(GRACE);
        let mut waited = false;
        while let (_, Some(word)) = self.first_untaken()
            && word.state() == State::Claimed
            && !grace.has_passed()
        {
            let pid = word.owner().and_then(|owner| self.process_table.pid_of(owner));
            if pid.and_then(Task::of).is_some_and(|task| task.is_stopped) {
                break;
            }
            waited = true;
            thread::yield_now();
        }
        waited
    }

    /// Gives back memory that the ring does not need. If another process adds a segment now, segments are needed.
    fn release_surplus(&self) {
        // What cannot be swept now is released later.
        if self.sweep().is_ok() {
            self.release_chunks();
        }
        if let Some(_held) = self.try_lock_chaining() {
            self.release_segments();
        }
    }
}

/// Slots that this process has taken, all with short items or all with long ones, and releases when this is dropped.
struct Taken<'r> {
    ring: &'r Ring,
    first: Spot,
    slots: &'r [Slot],
}

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.slots[0].is_large() {
            // Before the slots are released: who does not find them in any slot knows that they are counted, or never
            // will be.
            self.ring.count_gone(self.slots);
        }
        self.ring.release_taken(self.first, self.slots);
    }
}

/// How long a get waits after its timeout for a put that is about to end: that takes as long as a copy, unless the
/// producer has no processor for a while.
const GRACE: Duration = Duration::from_secs(2);
