//! The worker's side of an exploration. The process waits for its turn at each point, and is reused when its role has
//! ended.
//!
//! # State
//! The boot record is rewritten for each role. The descriptors of the role's handles are sent through a socket as one
//! message, which is also the request to begin.
//!
//! # Death
//! The process ends with the explorer, like every worker, and also when the explorer closes the socket.

use std::os::fd::{AsFd, OwnedFd};

use super::control::{Control, WorkerTurn};
use crate::ipc::deadline;
use crate::ipc::error::{Result, os};
use crate::ipc::operation::{self, Observing};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::sys::shm::Mapping;
use crate::sys::socket;

/// A process whose roles are scheduled.
pub(crate) struct Explored {
    control: Mapping<Control>,
    socket: OwnedFd,
    /// The descriptors of the next role's handles.
    next: Vec<OwnedFd>,
    turn: Option<WorkerTurn>,
}

impl Explored {
    pub(crate) fn new(control: OwnedFd, socket: OwnedFd) -> Result<Self> {
        let control = Mapping::open(control).map_err(os("open the memory of an exploration"))?;
        Ok(Explored { control, socket, next: Vec::new(), turn: None })
    }

    /// Begins the role of the worker with this index: from now on this thread waits for its turn at each point.
    pub(crate) fn begin(&mut self, index: usize) -> Observing {
        let turn = WorkerTurn::new(&self.control, index);
        self.turn = Some(turn.clone());
        deadline::set_virtual(None);
        turn.advance_clock();
        operation::observe(move |point| turn.pass(point))
    }

    /// Takes the process slot of the next role, and returns the descriptors of its handles.
    pub(crate) fn take_next(&mut self, slot: u32) -> Result<Vec<OwnedFd>> {
        let slot = ProcessSlot::from_word(slot).expect("the explorer reserved it");
        ProcessTable::ours()?.take_reserved(slot);
        Ok(std::mem::take(&mut self.next))
    }

    /// Ends the role: other processes now see this process as ended. Blocks until another role arrives. Returns `false`
    /// if none will.
    pub(crate) fn wait_for_next(&mut self) -> bool {
        if let Ok(table) = ProcessTable::ours() {
            table.end_slot();
        }
        if let Some(turn) = self.turn.take() {
            turn.end();
        }
        let next = socket::wait_for_descriptors(self.socket.as_fd()).ok().flatten();
        next.is_some_and(|next| {
            self.next = next;
            true
        })
    }
}
