//! A handle's side of leases: the channel, and the tasks that it owes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use super::channel::Channel;
use super::leasing::{Leasing, Ticket};
use crate::ipc::error::{Error, Result};
use crate::sys::fork::forked_from;

/// A handle on a ring whose items are leased, and the leases whose items were taken out of their [`Lease`](crate::ipc::Lease).
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) channel: Channel,
    owed: Mutex<VecDeque<Ticket>>,
}

impl Desk {
    pub(crate) fn of(channel: Channel) -> Self {
        Desk { channel, owed: Mutex::default() }
    }

    pub(crate) fn leasing(&self) -> Leasing<'_> {
        Leasing { ring: &self.channel.ring }
    }

    fn owed(&self) -> MutexGuard<'_, VecDeque<Ticket>> {
        self.owed.lock().expect("nothing panics while it holds the lock")
    }

    /// Notes a lease that [`pay`](Self::pay) will end.
    pub(crate) fn owe(&self, ticket: Ticket) {
        self.owed().push_back(ticket);
    }

    /// Ends the oldest of the noted leases.
    pub(crate) fn pay(&self) -> Result<()> {
        let ticket = self.owed().pop_front().ok_or(Error::TaskDoneTooOften)?;
        self.leasing().done(&ticket)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if forked_from().is_some() {
            return;
        }
        // Nobody can report these tasks any more.
        for ticket in self.owed().drain(..) {
            let _ = self.leasing().give_back(&ticket);
        }
    }
}
