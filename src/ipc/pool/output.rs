//! The memory for the long outputs of a worker.
//!
//! # State
//! Outputs lie in the order in which they were written, and around again. The worker alone knows where; the parent has
//! taken one when its slot's word has changed.

use std::collections::VecDeque;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use super::table::{Area, Run, Slot, Table};
use super::task::too_long;
use super::word::Word;
use crate::ipc::codec::{CodecError, Sink};

/// Outputs begin at multiples of this.
const PLACES: usize = 64;
/// How much memory is allocated at once.
const GROWTH: usize = 256 << 10;
/// Memory that a worker keeps for its next outputs.
const KEPT: usize = 4 << 20;
/// Free memory at the beginning that is used again before memory behind the last output: it is still in the cache.
const AGAIN: usize = 1 << 20;
/// Interval at which a worker whose memory is full checks for room. The parent takes outputs at least ten times a second.
const CHECK_EVERY: Duration = Duration::from_millis(1);

/// An output that the parent may not have taken.
struct Outstanding {
    slot: u32,
    done: Word,
    place: usize,
}

/// The memory for outputs, as its worker knows it.
#[derive(Default)]
pub(super) struct OutputMemory {
    outstanding: VecDeque<Outstanding>,
    /// Where the next output begins.
    next: usize,
    /// How far there is memory.
    populated: usize,
    /// How far it was used since it was empty.
    used: usize,
    /// Length of the last long output: the next one may be as long.
    last_len: usize,
}

impl OutputMemory {
    /// Returns the range of free memory to use next: at least `len` bytes, if there are.
    fn free(&mut self, table: &Table, area: &Area, len: usize) -> Range<usize> {
        while let Some(oldest) = self.outstanding.front()
            && !table.slot(oldest.slot).is_some_and(|slot| oldest.done.is_at(slot.word()))
        {
            self.outstanding.pop_front();
        }
        let bytes = table.plan.bytes;
        match self.outstanding.front().map(|oldest| oldest.place) {
            None => {
                if self.populated > KEPT && self.used < self.populated / 4 {
                    area.release(KEPT, self.populated - KEPT);
                    self.populated = KEPT;
                }
                (self.next, self.used) = (0, 0);
                0..bytes
            }
            Some(oldest) if self.next <= oldest => self.next..oldest,
            Some(oldest) if oldest >= len.max(AGAIN) || oldest > bytes.saturating_sub(self.next) => 0..oldest,
            Some(_) => self.next..bytes,
        }
    }

    /// Allocates memory up to `end`.
    fn populate(&mut self, area: &Area, end: usize, bytes: usize) -> Result<(), CodecError> {
        if end > self.populated {
            let grown = end.max(self.populated + GROWTH).min(bytes);
            let populated = area.populate(self.populated, grown - self.populated);
            populated.map_err(|error| CodecError::Refused(format!("there is no memory for it: {error}")))?;
            self.populated = grown;
        }
        self.used = self.used.max(end);
        Ok(())
    }

    /// Writes the output of a run into its slot, or into memory. `encode` is called again if there was not enough room.
    pub(super) fn write(
        &mut self,
        table: &Table,
        area: &Area,
        run: &Run<'_>,
        encode: impl Fn(&mut Output<'_>) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        loop {
            let mut output = Output { short: [0; SHORT], len: 0, long: None, failure: None, memory: self, table, area };
            encode(&mut output)?;
            let Output { short, len, mut long, failure, .. } = output;
            if let Some(failure) = failure {
                return Err(failure);
            }
            if len <= run.slot.output_room() {
                run.slot.set_output(&short[..len]);
                return Ok(());
            }
            if len > table.plan.bytes {
                return Err(too_long(len, table.plan.bytes));
            }
            if long.is_none() {
                // It is too long for the slot alone.
                let room = self.free(table, area, len);
                if room.len() >= len {
                    self.populate(area, room.start + len, table.plan.bytes)?;
                    area.write_output(room.start, &short[..len]);
                    long = Some(room);
                }
            }
            match long {
                Some(room) if room.len() >= len => {
                    self.keep(run, room.start, len);
                    return Ok(());
                }
                _ => {
                    self.last_len = len;
                    self.await_room(table, area, len);
                }
            }
        }
    }

    fn keep(&mut self, run: &Run<'_>, place: usize, len: usize) {
        Slot::set_output_place(run.slot, len, place);
        self.last_len = len;
        self.outstanding.push_back(Outstanding { slot: run.number, done: run.done(), place });
        self.next = (place + len).next_multiple_of(PLACES);
    }

    #[cold]
    fn await_room(&mut self, table: &Table, area: &Area, len: usize) {
        while self.free(table, area, len).len() < len {
            table.wake_callers();
            thread::sleep(CHECK_EVERY);
        }
    }
}

/// Outputs up to this length are written to the stack first.
const SHORT: usize = super::table::CONTENT_BYTES;

/// The destination of an output while it is serialised.
pub(super) struct Output<'a> {
    short: [u8; SHORT],
    len: usize,
    /// The place of a long output, and the room that it has. Once that is exceeded, only the length is counted.
    long: Option<Range<usize>>,
    failure: Option<CodecError>,
    memory: &'a mut OutputMemory,
    table: &'a Table,
    area: &'a Area,
}

impl Output<'_> {
    fn put_long(&mut self, bytes: &[u8]) {
        if self.long.is_none() {
            let len = self.memory.last_len;
            self.long = Some(self.memory.free(self.table, self.area, len));
            let (short, len) = (self.short, self.len);
            self.write_at(0, &short[..len]);
        }
        self.write_at(self.len, bytes);
        self.len += bytes.len();
    }

    fn write_at(&mut self, at: usize, bytes: &[u8]) {
        let Some(room) = self.long.clone().filter(|room| room.len() >= at + bytes.len()) else { return };
        let end = room.start + at + bytes.len();
        match self.memory.populate(self.area, end, self.table.plan.bytes) {
            Ok(()) => self.area.write_output(room.start + at, bytes),
            Err(failure) => self.failure = Some(failure),
        }
    }
}

impl Sink for Output<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        match self.short.get_mut(self.len..).and_then(|room| room.get_mut(..bytes.len())) {
            Some(place) if self.long.is_none() => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.put_long(bytes),
        }
    }
}
