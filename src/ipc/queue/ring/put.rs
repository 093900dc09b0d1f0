//! Putting items into a ring.

use std::slice;

use super::extension::{SHORT_BYTES, is_extended};
use super::large::{MOST_TOGETHER, Place};
use super::segments::{AHEAD, Spot, distance, known};
use super::slot::{INLINE_BYTES, Slot};
use super::word::{LONGEST_RUN, State, Word};
use super::{Ring, Waiting};
use crate::ipc::deadline::LIVENESS_CHECK_NS;
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::operation::{Operation, point_until};
use crate::ipc::queue::batch::{HEADER_BYTES, Items};
use crate::ipc::queue::participants::Rights;
use crate::sys::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::sys::clock::monotonic_ns;
use crate::sys::shm::prefetch_ahead;

impl Ring {
    /// Returns whether a put could go on now: there is room for a short item, or it would fail.
    pub(crate) fn can_put(&self) -> bool {
        !self.may_put() || !self.is_full() || self.consumers_are_gone(true)
    }

    /// Returns why this handle cannot put, now or later.
    #[inline(always)]
    pub(crate) fn check_may_put(&self) -> Result<()> {
        check_not_forked()?;
        if !self.may_put() {
            return Err(Error::Closed);
        }
        // A handle that can also get reports this only when it would block.
        if self.consumers_are_gone(false) { Err(Error::Disconnected) } else { Ok(()) }
    }

    /// Returns whether items can no longer be got: no consumer remains or can appear. A handle that can also get and
    /// does not wait may still do so itself.
    #[inline]
    fn consumers_are_gone(&self, will_wait: bool) -> bool {
        (will_wait || !self.rights().has(Rights::GET)) && !self.is_right_left(Rights::GET)
    }

    /// Returns whether no further item is accepted.
    pub(crate) fn is_full(&self) -> bool {
        let has_room = || self.has_room_at(self.first_unclaimed().position);
        !has_room() && {
            self.abort_of_dead();
            !has_room()
        }
    }

    /// Returns whether a put waits for room. Another large item has to wait behind it: a put that waits for more room
    /// would wait forever if others took what becomes free.
    #[inline]
    pub(super) fn is_put_waiting(&self) -> bool {
        self.shared.putters.mutex.owner_tid().is_some()
    }

    /// Puts one item. [`Error::Full`] if there was no room within the timeout.
    #[inline]
    pub(crate) fn put_item(&self, bytes: &[u8], waiting: Waiting) -> Result<()> {
        let is_put = match bytes.len() <= SHORT_BYTES {
            true => self.try_put_short(bytes)?,
            false if self.is_put_waiting() => None,
            false => self.try_put_large(bytes)?,
        };
        if is_put.is_some() {
            return Ok(());
        }
        self.put_slowly(bytes, waiting)?.ok_or(Error::Full)
    }

    /// Puts items in order, and counts them in `put`. [`Error::Full`] if there was no room for all of them within the
    /// timeout.
    pub(crate) fn put_items(&self, mut items: Items<'_>, waiting: Waiting, put: &mut usize) -> Result<()> {
        // Consumers are notified once, before a wait and at the end.
        let mut is_notified = true;
        let notify = || self.notify_getters();
        let outcome = loop {
            let is_long = items.clone().next().is_some_and(|bytes| bytes.len() > SHORT_BYTES);
            let together = if is_long { self.try_put_long_run(&mut items) } else { self.try_put_run(&mut items) };
            match together {
                Ok(Some(count)) => {
                    is_notified = false;
                    *put += count;
                }
                Ok(None) => {
                    let Some(bytes) = items.next() else { break Ok(()) };
                    if !std::mem::replace(&mut is_notified, true) {
                        notify();
                    }
                    if let Err(error) = self.put_item(bytes, waiting) {
                        break Err(error);
                    }
                    *put += 1;
                }
                Err(error) => break Err(error),
            }
        };
        if !is_notified {
            notify();
        }
        outcome
    }

    /// Puts an item as soon as there is room. Returns `None` on timeout.
    #[cold]
    pub(crate) fn put_slowly(&self, bytes: &[u8], waiting: Waiting) -> Result<Option<()>> {
        let is_large = bytes.len() > SHORT_BYTES;
        let attempt = || if is_large { self.try_put_large(bytes) } else { self.try_put_short(bytes) };
        self.as_soon_as_room(if is_large { bytes.len() } else { 0 }, waiting, attempt)
    }

    /// Calls `attempt` until there was room, for an item that needs `len` bytes in chunks; blocks meanwhile. Returns `None`
    /// on timeout.
    #[cold]
    pub(super) fn as_soon_as_room<R>(
        &self,
        len: usize,
        waiting: Waiting,
        mut attempt: impl FnMut() -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let refusal = || match () {
            () if !self.may_put() => Some(Error::Closed),
            () if self.consumers_are_gone(waiting.will()) => Some(Error::Disconnected),
            () => None,
        };
        let is_large = len > 0;
        if let Some(deadline) = waiting.left() {
            // A put that needs more room than it found when it began.
            let has_memory = || !is_large || !matches!(self.allocate(len), Ok(None));
            let can_go = || refusal().is_some() || !self.is_full() && has_memory();
            point_until(Operation::change("queue.put_more"), &self.shared, || deadline, can_go);
        }
        let (queue, spin) = (&self.shared.putters, (&self.put_spin, self.first_unclaimed().position));
        let attempt = |is_last: bool| {
            if is_last {
                self.abort_of_dead();
            }
            attempt()
        };
        waiting.until(queue, spin, is_large, attempt, refusal, || ())
    }

    /// Puts a short item if there is room.
    #[inline]
    fn try_put_short(&self, bytes: &[u8]) -> Result<Option<()>> {
        let Some((spot, slot)) = self.claim(is_extended(bytes.len()))? else { return Ok(None) };
        #[cfg(all(debug_assertions, feature = "cli"))]
        crate::sys::failpoint::before_write(|| self.ready(spot).store(&slot.word));
        self.write_short(spot, slot, bytes);
        self.publish(spot, slot)?;
        self.notify_getters();
        Ok(Some(()))
    }

    /// Puts a long item if there is room.
    fn try_put_large(&self, bytes: &[u8]) -> Result<Option<()>> {
        let Some(place) = self.try_place(bytes.len())? else { return Ok(None) };
        self.shared.copy_in(self.plan.chunks_at + place.at, bytes);
        let is_put = self.try_publish(&place, bytes.len())?;
        // Nothing to keep if the ring is full, or the handle is closed.
        Ok(is_put.map(|()| place.keep(bytes.len())))
    }

    /// Returns a place for a long item, if there is room for it.
    #[inline(always)]
    pub(super) fn try_place(&self, len: usize) -> Result<Option<Place<'_>>> {
        if self.has_room_at(self.first_unclaimed().position) { self.allocate(len) } else { Ok(None) }
    }

    /// Publishes the item of `len` bytes in `place`, which the caller keeps. Returns `None` if the ring is full.
    pub(super) fn try_publish(&self, place: &Place<'_>, len: usize) -> Result<Option<()>> {
        let Some((spot, slot)) = self.claim(false)? else { return Ok(None) };
        slot.set_len(len);
        slot.content()[0].store(place.at as u64, Relaxed);
        self.publish(spot, slot)?;
        self.notify_getters();
        Ok(Some(()))
    }

    /// Claims the next slot, with an extension if it must be `extended`. Returns `None` if the ring is full.
    #[inline(always)]
    pub(crate) fn claim(&self, extended: bool) -> Result<Option<(Spot, &Slot)>> {
        if let Some((spot, slot, word)) = self.noted_or_known(&self.shared.tail, &self.known_tail)
            && word.is_free_in(self.number(spot))
            && self.is_below_capacity(spot.position)
            && (!extended || self.has_extension(spot))
            && self.claim_at(spot, slot, word)
        {
            return Ok(Some((spot, slot)));
        }
        self.claim_slowly(extended)
    }

    /// Claims up to `most` slots behind the one that this handle claimed last. Returns the first spot and the slots; `None`
    /// if they are not the next ones, if they must be `extended` and have no memory for that, or if the ring may be full.
    #[inline]
    fn claim_run(&self, most: u32, extended: bool) -> Option<(Spot, &[Slot])> {
        let first = known(&self.known_tail)?;
        let slot = self.slot(first);
        let word = Word::load(&slot.word);
        let most = most.min(self.longest_run(first));
        // After the look at the word: this handle may have been idle for so long that words of now look old to it.
        let is_next = most > 0 && word.is_free_in(self.number(first)) && self.is_current(first);
        if !is_next || extended && !self.has_extension(first) {
            return None;
        }
        let room = || self.plan.slots as i64 - distance(first.position, self.seen_head.load(Relaxed));
        if room() < i64::from(most) {
            self.seen_head.store(self.first_untaken().0.position, Relaxed);
        }
        // Those behind the first are free as well: nobody claims one before the first.
        let len = room().clamp(0, i64::from(most)) as u32;
        let is_ours = len > 0 && self.try_claim(first, slot, word, len);
        is_ours.then(|| {
            self.note_passed(&self.shared.tail, &self.known_tail, self.behind(first, len - 1));
            (first, self.run(first, len))
        })
    }

    /// Puts the first short items together, at most as many as a run has, and moves `items` past them: only items that fit
    /// into slots, or also others. Returns their number, or `None` if no run can be claimed.
    fn try_put_run(&self, items: &mut Items<'_>) -> Result<Option<usize>> {
        let mut rest = items.clone();
        let are_inline = items.clone().next().is_some_and(|bytes| bytes.len() <= INLINE_BYTES);
        let longest = if are_inline { INLINE_BYTES } else { SHORT_BYTES };
        let most = rest.advance(LONGEST_RUN, |item| item.len() <= longest);
        let Some((first, slots)) = self.claim_run(most, !are_inline) else { return Ok(None) };
        let len = slots.len() as u32;
        if self.plan.packs && are_inline && len > 1 {
            if len < most {
                rest = items.clone();
                rest.advance(len, |_| true);
            }
            let packed = items.before(&rest);
            *items = rest;
            self.publish_packed(first, slots, packed)?;
            return Ok(Some(slots.len()));
        }
        prefetch_ahead(slots, AHEAD);
        for ((index, slot), bytes) in (0..).zip(slots).zip(items) {
            self.write_short(self.behind(first, index), slot, bytes);
        }
        self.publish_run(first, slots)
    }

    /// As [`try_put_run`](Self::try_put_run) for long items: they are copied in one piece, with their headers.
    /// Not for queues of bytes, whose items begin at multiples of 64 bytes.
    fn try_put_long_run(&self, items: &mut Items<'_>) -> Result<Option<usize>> {
        let (mut rest, mut bytes) = (items.clone(), 0);
        let most = rest.advance(LONGEST_RUN, |item| {
            bytes += HEADER_BYTES + item.len();
            item.len() > SHORT_BYTES && bytes <= MOST_TOGETHER
        });
        if most == 0 || self.is_put_waiting() || known(&self.known_tail).is_none() {
            return Ok(None);
        }
        let together = items.before(&rest);
        let Some(mut place) = self.try_place(together.len())? else { return Ok(None) };
        self.shared.copy_in(self.plan.chunks_at + place.at, together);
        let Some((first, slots)) = self.claim_run(most, false) else { return Ok(None) };
        let start = place.at;
        let places = items.clone().take(slots.len()).scan(start, |end, bytes| {
            let at = *end + HEADER_BYTES;
            *end = at + bytes.len();
            Some((at, bytes.len()))
        });
        for (slot, (at, len)) in slots.iter().zip(places.clone()) {
            slot.set_len(len);
            slot.content()[0].store(at as u64, Relaxed);
        }
        let put = self.publish_run(first, slots)?;
        places.for_each(|(at, len)| place.keep_at(at, len));
        items.nth(slots.len() - 1);
        Ok(put)
    }

    /// Publishes the items of a run that this process has claimed, and returns their number. The caller notifies who
    /// waits.
    fn publish_run(&self, first: Spot, slots: &[Slot]) -> Result<Option<usize>> {
        self.check_open(first)?;
        self.ready(first).store_run(slots.iter().map(|slot| &slot.word));
        Ok(Some(slots.len()))
    }

    #[inline(always)]
    fn claim_at(&self, spot: Spot, slot: &Slot, free: Word) -> bool {
        let is_ours = self.try_claim(spot, slot, free, 1);
        if is_ours {
            prefetch_ahead(slice::from_ref(slot), AHEAD);
            self.note_passed(&self.shared.tail, &self.known_tail, spot);
        }
        is_ours
    }

    #[inline(always)]
    fn try_claim(&self, first: Spot, slot: &Slot, free: Word, len: u32) -> bool {
        let claimed = Word::owned_run(State::Claimed, self.me, self.number(first), len);
        free.replace(&slot.word, claimed)
    }

    #[inline(never)]
    fn claim_slowly(&self, extended: bool) -> Result<Option<(Spot, &Slot)>> {
        let mut spot = self.tail();
        loop {
            let slot = self.slot(spot);
            let word = Word::load(&slot.word);
            if word.is_of(self.number(spot)) {
                spot = match self.next_behind(spot, word) {
                    Some(next) => next,
                    None if !self.has_room_at(spot.position + 1) || !self.extend(spot)? => return Ok(None),
                    None => spot,
                };
            } else if !word.is_free_in(self.number(spot)) || !self.is_current(spot) {
                // The segment is another by now.
                spot = self.newest();
            } else if !self.has_room_at(spot.position) {
                return Ok(None);
            } else if extended && !self.has_extension(spot) {
                if !self.populate_extensions(spot)? {
                    return Ok(None);
                }
            } else if self.claim_at(spot, slot, word) {
                return Ok(Some((spot, slot)));
            }
        }
    }

    #[inline]
    fn is_below_capacity(&self, position: u64) -> bool {
        distance(position, self.seen_head.load(Relaxed)) < self.plan.slots as i64
    }

    /// Returns whether the capacity permits an item at `position`.
    fn has_room_at(&self, position: u64) -> bool {
        self.is_below_capacity(position) || {
            let (head, _) = self.first_untaken();
            self.seen_head.store(head.position, Relaxed);
            self.is_below_capacity(position)
                || self.is_any_aborted(head) && self.count_before(position) < self.plan.slots
        }
    }

    /// Returns whether slots behind `head` may have been released without an item.
    pub(super) fn is_any_aborted(&self, head: Spot) -> bool {
        distance(self.shared.last_aborted.load(Relaxed), head.position) >= 0
    }

    /// Counts the items before `position`, and those that are being put there.
    #[cold]
    fn count_before(&self, position: u64) -> u64 {
        let before = self.slots().take_while(|(spot, _)| distance(position, spot.position) > 0);
        before.map(|(_, word)| u64::from(word.items())).sum()
    }

    /// Releases the slots that dead producers have claimed and not published. Looks at all slots, and therefore only from
    /// time to time.
    #[cold]
    fn abort_of_dead(&self) {
        let now_ns = monotonic_ns();
        if now_ns < self.next_check_ns.load(Relaxed) {
            return;
        }
        self.next_check_ns.store(now_ns + LIVENESS_CHECK_NS, Relaxed);
        let claimed = self.slots().filter(|(_, word)| word.state() == State::Claimed);
        claimed.filter(|(_, word)| !self.is_owner_alive(*word)).for_each(|(spot, word)| self.abort(spot, word));
    }

    #[inline]
    pub(super) fn ready(&self, spot: Spot) -> Word {
        Word::free(State::Ready, self.number(spot))
    }

    /// Wakes the consumers that wait for items.
    #[inline]
    fn notify_getters(&self) {
        if self.shared.getters.event.notify() {
            self.put_spin.peer_is_waking();
        }
    }

    /// Publishes the item in a slot that this process has claimed. The caller wakes the waiting consumers.
    #[inline]
    pub(crate) fn publish(&self, spot: Spot, slot: &Slot) -> Result<()> {
        self.check_open(spot)?;
        self.ready(spot).store(&slot.word);
        Ok(())
    }

    /// Releases slots that this process has claimed if this handle was closed. After the claim: whoever has seen that
    /// the handle is closed, and no claim, has seen the last item.
    #[inline]
    pub(super) fn check_open(&self, first: Spot) -> Result<()> {
        if self.may_put() {
            return Ok(());
        }
        self.abort(first, self.word(first));
        self.shared.getters.event.notify();
        self.shared.putters.event.notify();
        Err(Error::Closed)
    }

    /// Releases claimed slots without an item: those of a dead producer, or this process's own.
    pub(super) fn abort(&self, first: Spot, claimed: Word) {
        // Before that: until they are passed, positions do not tell the number of items.
        let position = self.behind(first, claimed.run() - 1).position;
        let mut last = self.shared.last_aborted.load(SeqCst);
        while distance(position, last) > 0 {
            match self.shared.last_aborted.compare_exchange(last, position, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => last = now,
            }
        }
        self.release_run(first, claimed);
    }
}
