//! How a handle gets from one process into another: named by a [`Slot`] in the worker's role, and by nothing else.
//!
//! The parent packs the descriptors that a role names while it makes the role ([`Give`]); the worker unpacks each exactly
//! once ([`Inherited`]). A worker has no other descriptor of its parent's.
//!
//! # Standard
//! Python passes a spawned child "exactly the descriptors collected while it was serialised"
//! (`Lib/multiprocessing/popen_spawn_posix.py`); here they are named instead of collected by side effect.

use std::any::Any;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::family::{Family, Seat};
use crate::ipc::error::{Error, Result, os};
use crate::sys::exec::FIRST_DESCRIPTOR;
use crate::sys::fd::duplicate;

/// A place in a role for a handle that its worker is given.
///
/// Made by [`Give::share`] in the parent, turned back into the handle by [`Inherited::take`] in the worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Slot<T> {
    index: u32,
    #[serde(skip)]
    handle: PhantomData<fn() -> T>,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slot<T> {}

/// A handle that can be given to a worker.
///
/// Implemented by everything in this library that processes share, and by [`OwnedFd`] for a descriptor of any kind. A
/// handle made of others implements it by lending and adopting its parts in the same order.
pub trait Share: Sized {
    /// What it is, for the check in the worker and for error messages.
    const KIND: &'static str;

    /// Puts what the worker needs into `parcel`.
    ///
    /// # Errors
    /// Whatever keeps the handle from being given, such as running out of descriptors.
    fn lend(&self, parcel: &mut Parcel) -> Result<()>;

    /// Makes the handle from what [`Share::lend`] put in.
    ///
    /// # Errors
    /// Whatever keeps the handle from being used here, such as shared memory of another version.
    fn adopt(parcel: &mut Adopted) -> Result<Self>;
}

/// What a slot of the parent's parcel holds: written into the boot record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SlotRecord {
    kind: String,
    descriptors: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Vec<u8>>,
}

impl SlotRecord {
    pub(crate) fn descriptors(&self) -> usize {
        self.descriptors
    }
}

/// The descriptors on their way to a worker.
#[derive(Debug)]
pub struct Parcel {
    pub(crate) descriptors: Vec<OwnedFd>,
    notes: Vec<Vec<u8>>,
    handed_over: bool,
    recipient: Seat,
}

impl Parcel {
    /// Adds a copy of `descriptor`. The original stays open here.
    ///
    /// # Errors
    /// [`Error::Os`] if this process cannot have another descriptor.
    pub fn add(&mut self, descriptor: BorrowedFd<'_>) -> Result<()> {
        let copy = duplicate(descriptor, FIRST_DESCRIPTOR).map_err(os("copy a descriptor for a worker"))?;
        self.descriptors.push(copy);
        Ok(())
    }

    /// Adds a few bytes that the worker has to know beside the descriptors.
    pub fn add_note(&mut self, note: Vec<u8>) {
        self.notes.push(note);
    }

    /// Whether this process gives the handle away, and does not keep its own.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over
    }

    /// The process that the parcel is for.
    pub(crate) fn recipient(&self) -> Seat {
        self.recipient
    }
}

/// Collects what a worker is given, while its role is made.
#[derive(Debug)]
pub struct Give {
    pub(crate) parcel: Parcel,
    pub(crate) slots: Vec<SlotRecord>,
    failure: Option<Error>,
}

impl Give {
    pub(crate) fn to(recipient: Seat, first: Vec<OwnedFd>) -> Self {
        let parcel = Parcel { descriptors: first, notes: Vec::new(), handed_over: false, recipient };
        Give { parcel, slots: Vec::new(), failure: None }
    }

    /// Gives the worker a share of `handle`; this process keeps its own.
    ///
    /// A handle that cannot be given makes the start of the worker fail with that error.
    pub fn share<T: Share>(&mut self, handle: &T) -> Slot<T> {
        let before = self.parcel.descriptors.len();
        if let Err(error) = handle.lend(&mut self.parcel) {
            self.failure.get_or_insert(error);
        }
        let descriptors = self.parcel.descriptors.len() - before;
        let notes = std::mem::take(&mut self.parcel.notes);
        self.slots.push(SlotRecord { kind: T::KIND.to_owned(), descriptors, notes });
        Slot { index: self.slots.len() as u32 - 1, handle: PhantomData }
    }

    /// Gives the worker `handle`; this process no longer has it.
    ///
    /// The way to hand over an end whose peer waits for the last copy to be closed.
    #[expect(clippy::needless_pass_by_value, reason = "taking it is the point")]
    pub fn hand_over<T: Share>(&mut self, handle: T) -> Slot<T> {
        self.parcel.handed_over = true;
        let slot = self.share(&handle);
        self.parcel.handed_over = false;
        slot
    }

    pub(crate) fn packed(self) -> Result<(Vec<OwnedFd>, Vec<SlotRecord>)> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok((self.parcel.descriptors, self.slots)),
        }
    }
}

/// What arrived for one slot.
#[derive(Debug)]
pub struct Adopted {
    descriptors: std::vec::IntoIter<OwnedFd>,
    notes: std::vec::IntoIter<Vec<u8>>,
    slot: u32,
    company: Vec<Box<dyn Any + Send>>,
}

impl Adopted {
    /// The next descriptor, in the order in which [`Share::lend`] added them.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`] if fewer were added than are asked for.
    pub fn descriptor(&mut self) -> Result<OwnedFd> {
        self.descriptors.next().ok_or(Error::NoSuchSlot { slot: self.slot, given: 0 })
    }

    /// The next note, in the order in which [`Share::lend`] added them.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`] if fewer were added than are asked for.
    pub fn note(&mut self) -> Result<Vec<u8>> {
        self.notes.next().ok_or(Error::NoSuchSlot { slot: self.slot, given: 0 })
    }

    /// What earlier slots of this worker left for later ones, such as a connection that they all use.
    pub(crate) fn company<T: Any>(&self) -> impl Iterator<Item = &T> {
        self.company.iter().filter_map(|left| left.downcast_ref())
    }

    /// Leaves something for later slots of this worker.
    pub(crate) fn keep_company<T: Any + Send>(&mut self, left: T) {
        self.company.push(Box::new(left));
    }
}

/// What a worker was given, to be taken slot by slot.
#[derive(Debug)]
pub struct Inherited {
    slots: Vec<Option<(SlotRecord, Vec<OwnedFd>)>>,
    worker: String,
    company: Vec<Box<dyn Any + Send>>,
}

impl Inherited {
    pub(crate) fn new(worker: String, records: Vec<SlotRecord>, descriptors: Vec<OwnedFd>) -> Self {
        let mut descriptors = descriptors.into_iter();
        let unpack = |record: SlotRecord| {
            let own = descriptors.by_ref().take(record.descriptors).collect();
            Some((record, own))
        };
        Inherited { slots: records.into_iter().map(unpack).collect(), worker, company: Vec::new() }
    }

    /// The worker's own name.
    pub fn worker_name(&self) -> &str {
        &self.worker
    }

    /// Takes the handle that a slot of the role names.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`], [`Error::SlotTaken`] or [`Error::WrongKind`] if the slot does not hold it (a slot of another
    /// worker's role), or what [`Share::adopt`] says.
    pub fn take<T: Share>(&mut self, slot: Slot<T>) -> Result<T> {
        let given = self.slots.len();
        let slot = slot.index;
        let place = self.slots.get_mut(slot as usize).ok_or(Error::NoSuchSlot { slot, given })?;
        if let Some((record, _)) = place
            && record.kind != T::KIND
        {
            return Err(Error::WrongKind { slot, held: record.kind.clone(), wanted: T::KIND });
        }
        let (record, descriptors) = place.take().ok_or(Error::SlotTaken { slot })?;
        let (descriptors, notes) = (descriptors.into_iter(), record.notes.into_iter());
        let company = std::mem::take(&mut self.company);
        let mut adopted = Adopted { descriptors, notes, slot, company };
        let handle = T::adopt(&mut adopted);
        self.company = adopted.company;
        handle
    }
}

/// Another handle of this process for the same, made as a worker's would be.
pub(crate) fn again<T: Share>(handle: &T) -> Result<T> {
    let mut give = Give::to(Family::ours()?.me(), Vec::new());
    let slot = give.share(handle);
    let (descriptors, records) = give.packed()?;
    Inherited::new(String::new(), records, descriptors).take(slot)
}

impl Share for OwnedFd {
    const KIND: &'static str = "descriptor";

    fn lend(&self, parcel: &mut Parcel) -> Result<()> {
        parcel.add(self.as_fd())
    }

    fn adopt(parcel: &mut Adopted) -> Result<Self> {
        parcel.descriptor()
    }
}
