//! Counts the processes that can still put into a queue, and those that can still get from it.
//!
//! # State
//! The queue's [`Members`]. The upper half of a count is the number of handles that can put, the lower half the number
//! of handles that can get. A [`Handle`] is counted exactly once for each of its rights: from its creation, or from
//! when it is sent, until it gives up the right or is dropped.
//!
//! # Death
//! A dead process's word stays but no longer counts, because its slot is dead. A process that needs a free word reuses
//! it.
//!
//! # Standard
//! The semantics of a pipe's descriptors: end-of-file when the last writer is gone, EPIPE when the last reader is gone.

use serde::{Deserialize, Serialize};

use crate::ipc::error::Result;
use crate::ipc::operation::{Operation, always, is_observed, point};
use crate::ipc::process::members::{Member, Members};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::process::transfer;
use crate::sys::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use crate::sys::fork::forked_from;
use crate::sys::shm::{Layout, Mapping};

/// What a handle may do: a 1 in each half of a [`Member`]'s count in which the handle is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rights(pub(super) u32);

impl Rights {
    pub(crate) const NONE: Rights = Rights(0);
    pub(crate) const PUT: Rights = Rights(1 << 16);
    pub(crate) const GET: Rights = Rights(1);
    pub(crate) const BOTH: Rights = Rights(Rights::PUT.0 | Rights::GET.0);

    /// Returns the right to put, to get, both or none.
    pub(crate) fn of(puts: bool, gets: bool) -> Rights {
        Rights(if puts { Rights::PUT.0 } else { 0 } | if gets { Rights::GET.0 } else { 0 })
    }

    /// Returns whether the two have a right in common.
    #[inline]
    pub(crate) fn has(self, right: Rights) -> bool {
        self.and(right) != Rights::NONE
    }

    #[inline]
    fn and(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
}

/// The shared memory of a queue that counts its handles.
pub(crate) trait Counted: Layout {
    /// The processes that have handles.
    fn members(&self) -> &Members;

    /// Called after a process has lost rights. Wakes peers whose wait can no longer succeed.
    fn left(&self, _: Rights) {}
}

/// What is sent of a handle: the memory, its rights, and the number under which it is counted.
pub(crate) type Sent<M> = (M, Rights, u32);

/// A counted handle of this process on a queue.
pub(crate) struct Handle<S: Counted> {
    /// The memory, which is the object of every operation on the queue.
    pub(crate) shared: Mapping<S>,
    pub(crate) process_table: &'static ProcessTable,
    /// The slot of the process that has this handle.
    pub(crate) me: ProcessSlot,
    rights: Rights,
    /// The [`Rights`] that this handle gave up.
    given_up: AtomicU32,
    /// Where a participant with the other right was last found alive.
    peer: AtomicU32,
}

impl<S: Counted + 'static> Handle<S> {
    pub(crate) fn new(shared: Mapping<S>, rights: Rights) -> Result<Self> {
        let process_table = ProcessTable::ours()?;
        let me = process_table.me();
        join(&*shared, process_table, me, rights)?;
        let (given_up, peer) = (AtomicU32::new(0), AtomicU32::new(0));
        Ok(Handle { shared, process_table, me, rights, given_up, peer })
    }

    /// Creates another handle of this process, with the part of `rights` that this handle still has.
    pub(crate) fn another(&self, rights: Rights) -> Self {
        let handle = Handle::new(self.shared.clone(), self.rights().and(rights));
        handle.expect("there are fewer handles than 65,535 for each of 4,096 processes")
    }

    /// Counts a handle like this one for the process in `recipient`, before it is sent. Returns what is sent.
    pub(crate) fn counted_for(&self, recipient: ProcessSlot) -> Result<Sent<&Mapping<S>>> {
        let (shared, rights) = (self.shared.clone(), self.rights());
        join(&*shared, self.process_table, recipient, rights)?;
        Ok((&self.shared, rights, transfer::counted(move || leave(&*shared, recipient, rights))))
    }

    /// Creates a handle from what another process sent.
    pub(crate) fn received((shared, rights, counted): Sent<Mapping<S>>) -> Result<Self> {
        let handle = Handle::new(shared, rights)?;
        let (shared, me) = (handle.shared.clone(), handle.me);
        transfer::received(counted, move || leave(&*shared, me, rights));
        Ok(handle)
    }
}

impl<S: Counted> Handle<S> {
    /// Returns the rights that this handle still has.
    #[inline]
    pub(crate) fn rights(&self) -> Rights {
        // SeqCst: a put that has claimed a slot is not missed by whoever sees the handle closed, or sees that it is.
        Rights(self.rights.0 & !self.given_up.load(SeqCst))
    }

    /// Gives up `rights`. Returns whether this handle still had any of them.
    pub(crate) fn give_up(&self, rights: Rights) -> bool {
        // Cleared before the count is reduced: meanwhile there may seem to be another handle, but never none.
        let before = self.given_up.fetch_or(rights.0, SeqCst);
        let left = Rights(self.rights.0 & rights.0 & !before);
        // In a forked child, this is a copy of a handle that the parent still has.
        if left != Rights::NONE && forked_from().is_none() {
            leave(&*self.shared, self.me, left);
        }
        left != Rights::NONE
    }

    /// Returns whether a living process has another handle with `right`. Takes only a few loads if the one found last
    /// still exists.
    #[inline(always)]
    pub(crate) fn has_other_handle(&self, right: Rights) -> bool {
        let members = self.shared.members();
        let last_found = members.word(self.peer.load(Relaxed) as usize).map_or(0, |word| word.load(Relaxed));
        Member::from_word(last_found).is_some_and(|member| self.is_other(&member, right))
            || self.find_other_handle(right)
    }

    #[cold]
    fn find_other_handle(&self, right: Rights) -> bool {
        let found = self.shared.members().all().find(|(_, member)| self.is_other(member, right));
        found.inspect(|(index, _)| self.peer.store(*index as u32, Relaxed)).is_some()
    }

    /// Returns whether a process is alive and has a handle with `right` that is not this one.
    #[inline]
    fn is_other(&self, member: &Member, right: Rights) -> bool {
        let ours = if member.slot == self.me { self.rights().and(right).0 } else { 0 };
        (member.handles & (right.0 * 0xFFFF)) > ours && self.process_table.is_alive(member.slot)
    }

    /// Returns whether this is the process's last handle with `right`, and its parent has none. If the parent has one,
    /// nobody can notice that this one is dropped.
    fn is_end(&self, right: Rights) -> bool {
        let parent = self.process_table.parent();
        let outlasts = |member: &Member| match member.handles & (right.0 * 0xFFFF) {
            own if member.slot == self.me => own > right.0,
            other => other != 0 && Some(member.slot) == parent,
        };
        self.rights().has(right) && !self.shared.members().all().any(|(_, member)| outlasts(&member))
    }
}

impl<S: Counted> Drop for Handle<S> {
    fn drop(&mut self) {
        if is_observed() && forked_from().is_none() && (self.is_end(Rights::PUT) || self.is_end(Rights::GET)) {
            point(Operation::change("queue.drop"), &self.shared, always);
        }
        self.give_up(Rights::BOTH);
    }
}

/// Counts one more handle of the process in `slot`.
fn join(shared: &impl Counted, process_table: &ProcessTable, slot: ProcessSlot, rights: Rights) -> Result<()> {
    if rights == Rights::NONE {
        return Ok(());
    }
    shared.members().add(slot, rights.0, |other| !process_table.is_alive(other)).map(drop)
}

/// Uncounts one handle of the process in `slot`.
fn leave(shared: &impl Counted, slot: ProcessSlot, rights: Rights) {
    let left = rights == Rights::NONE || shared.members().remove(slot, rights.0);
    debug_assert!(left, "every handle was counted when it was made");
    shared.left(rights);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{goes, passed};
    use crate::sys::shm::shared_layout;

    shared_layout! {
        struct Table = b"testpart" { members: Members }
    }

    impl Counted for Table {
        fn members(&self) -> &Members {
            &self.members
        }
    }

    fn handle() -> Handle<Table> {
        Handle::new(Mapping::create(0, |_| Ok(())).expect("memory"), Rights::BOTH).expect("room")
    }

    #[test]
    fn handles_are_counted_and_forgotten() {
        let handle = handle();
        let (process_table, table) = (handle.process_table, &*handle.shared);
        let child = process_table.reserve().expect("a slot");
        assert!(!handle.has_other_handle(Rights::PUT), "its own handle does not count");
        join(table, process_table, child, Rights::PUT).expect("room");
        assert!(handle.has_other_handle(Rights::PUT), "the child");
        assert!(handle.has_other_handle(Rights::PUT), "found again");
        assert!(!handle.has_other_handle(Rights::GET));
        process_table.release_slot(child);
        assert!(!handle.has_other_handle(Rights::PUT), "a dead process does not count");
        let getter = handle.another(Rights::GET);
        assert!(!handle.has_other_handle(Rights::PUT) && handle.has_other_handle(Rights::GET));
        assert!(handle.give_up(Rights::PUT) && !handle.give_up(Rights::PUT));
        assert!(!getter.has_other_handle(Rights::PUT) && getter.has_other_handle(Rights::GET));
        let table = handle.shared.clone();
        drop((handle, getter));
        assert!(table.members.all().all(|(_, member)| member.slot == child), "the dead process's word stays");
    }

    #[test]
    fn drop_of_the_last_handle_passes_a_point() {
        let (one, other) = (handle(), handle());
        let another = one.another(Rights::GET);
        assert_eq!(passed(|| drop(another)).1, [], "the first can get, too");
        goes("queue.drop", &one.shared.clone(), || drop(one));
        let putter = other.another(Rights::PUT);
        goes("queue.drop", &other.shared.clone(), || drop(other)); // the last that can get
        drop(putter);
    }

    #[test]
    fn place_of_a_dead_process_is_taken_over() {
        let handle = handle();
        let (process_table, table) = (handle.process_table, &*handle.shared);
        for _ in 0..3 {
            let child = process_table.reserve().expect("a slot");
            join(table, process_table, child, Rights::PUT).expect("room");
            process_table.release_slot(child);
        }
        assert_eq!(table.members.all().map(|(index, _)| index).collect::<Vec<_>>(), [0, 1]);
    }
}
