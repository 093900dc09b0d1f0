//! The memory for inputs that do not fit into their slots, as the parent, who allocates it, knows it.

use std::collections::BTreeMap;
use std::io;

use super::table::Table;

/// Inputs begin at multiples of this.
const PLACES: usize = 64;
/// Memory that is kept for the next inputs.
const KEPT: usize = 4 << 20;

/// Where an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) place: usize,
    len: usize,
}

/// The free parts of the memory.
#[derive(Debug)]
pub(super) struct InputMemory {
    /// Length by place. No two of them touch.
    free: BTreeMap<usize, usize>,
    bytes: usize,
    /// How far there is memory.
    populated: usize,
}

impl InputMemory {
    pub(super) fn new(bytes: usize) -> Self {
        InputMemory { free: BTreeMap::from([(0, bytes)]), bytes, populated: 0 }
    }

    /// Returns a place for `len` bytes, the first that is free, with memory; `None` if there is none now.
    pub(super) fn allocate(&mut self, table: &Table, len: usize) -> io::Result<Option<Extent>> {
        let Some(extent) = self.take(len) else { return Ok(None) };
        let end = extent.place + extent.len;
        if end > self.populated {
            if let Err(error) = table.populate(self.populated, end - self.populated) {
                self.put_back(extent);
                return Err(error);
            }
            self.populated = end;
        }
        Ok(Some(extent))
    }

    fn take(&mut self, len: usize) -> Option<Extent> {
        let len = len.next_multiple_of(PLACES).min(self.bytes);
        let (&place, &room) = self.free.iter().find(|(_, room)| **room >= len)?;
        self.free.remove(&place);
        if room > len {
            self.free.insert(place + len, room - len);
        }
        Some(Extent { place, len })
    }

    /// Frees a place.
    pub(super) fn free(&mut self, table: &Table, extent: Extent) {
        self.put_back(extent);
        if self.populated > KEPT && self.free.get(&0) == Some(&self.bytes) {
            table.release(KEPT, self.populated - KEPT);
            self.populated = KEPT;
        }
    }

    fn put_back(&mut self, Extent { mut place, mut len }: Extent) {
        if let Some(behind) = self.free.remove(&(place + len)) {
            len += behind;
        }
        if let Some((&before, &room)) = self.free.range(..place).next_back()
            && before + room == place
        {
            (place, len) = (before, room + len);
        }
        self.free.insert(place, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_disjoint_and_become_one_again() {
        let mut memory = InputMemory::new(1 << 10);
        let taken: Vec<Extent> = [1, 64, 65, 300].map(|len| memory.take(len).expect("room")).into();
        let places: Vec<_> = taken.iter().map(|extent| (extent.place, extent.len)).collect();
        assert_eq!(places, [(0, 64), (64, 64), (128, 128), (256, 320)]);
        assert_eq!(memory.take(1 << 10), None);
        for index in [1, 3, 0] {
            memory.put_back(taken[index]);
        }
        assert_eq!(memory.take(128).expect("the first two").place, 0);
        memory.put_back(Extent { place: 0, len: 128 });
        memory.put_back(taken[2]);
        assert_eq!(memory.free, BTreeMap::from([(0, 1 << 10)]));
        assert_eq!(memory.take(1 << 10).expect("all of it").len, 1 << 10);
    }
}
