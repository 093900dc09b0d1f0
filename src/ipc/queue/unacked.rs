//! A handle's side of leases: the channel, and the unacked leases.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use super::channel::Channel;
use super::leasing::{LeaseToken, Leasing};
use crate::ipc::error::{Error, Result};
use crate::sys::fork::forked_from;

/// A handle on a ring whose items are leased, and the leases whose items were moved out of their
/// [`Lease`](crate::queue::Lease).
#[derive(Debug)]
pub(crate) struct UnackedLeases {
    pub(crate) channel: Channel,
    owed: Mutex<VecDeque<LeaseToken>>,
}

impl UnackedLeases {
    pub(crate) fn of(channel: Channel) -> Self {
        UnackedLeases { channel, owed: Mutex::default() }
    }

    pub(crate) fn leasing(&self) -> Leasing<'_> {
        Leasing { ring: &self.channel.ring }
    }

    fn owed(&self) -> MutexGuard<'_, VecDeque<LeaseToken>> {
        self.owed.lock().expect("nothing panics while it holds the lock")
    }

    /// Records a lease that [`ack_oldest`](Self::ack_oldest) will end.
    pub(crate) fn push(&self, token: LeaseToken) {
        self.owed().push_back(token);
    }

    /// Ends the oldest recorded lease.
    pub(crate) fn ack_oldest(&self) -> Result<()> {
        let token = self.owed().pop_front().ok_or(Error::TaskDoneTooOften)?;
        self.leasing().done(&token)
    }
}

impl Drop for UnackedLeases {
    fn drop(&mut self) {
        if forked_from().is_some() {
            return;
        }
        // No one can acknowledge these tasks any more.
        for token in self.owed().drain(..) {
            let _ = self.leasing().nack(&token);
        }
    }
}
