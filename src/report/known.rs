//! What the events of a run have said so far that later sentences need: who had which lock, and whose a process id is.

use std::collections::HashMap;
use std::fmt::Write;

use super::event::{Event, Fact};

/// How long a line of the filled queue may get, in bytes; what follows is not shown.
const LONGEST_LINE: usize = 4_000;

/// A run up to some event.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) scenario: String,
    is_written: bool,
    /// Whether a buyer looked how many tickets are left after another had bought one.
    pub(super) is_read_after_write: bool,
    names: HashMap<u32, String>,
    holders: HashMap<String, String>,
    /// The one before the last who took each lock.
    former_holders: HashMap<String, String>,
    /// The lines that the reference program of the filled queue prints: sizes while it fills, numbers while it empties.
    pub(super) sizes: String,
    pub(super) numbers: String,
}

impl Known {
    /// Takes an event into account.
    pub(super) fn follow(&mut self, event: &Event) {
        match &event.fact {
            Fact::RunStarted { scenario, .. } => self.scenario.clone_from(scenario),
            Fact::TicketBought { .. } => self.is_written = true,
            Fact::StockChecked { .. } => self.is_read_after_write |= self.is_written,
            Fact::WorkerStarted { .. } => _ = self.names.insert(event.pid, event.worker.clone()),
            Fact::LockAcquired { lock, .. } => {
                if let Some(former) = self.holders.insert(lock.clone(), event.worker.clone()) {
                    self.former_holders.insert(lock.clone(), former);
                }
            }
            Fact::LockReleased { lock, .. } => _ = self.holders.remove(lock),
            // Writing to a string does not fail.
            Fact::ItemPut { size: Some(size), .. } if self.is_filled() && self.sizes.len() < LONGEST_LINE => {
                let _ = write!(self.sizes, "{size} ");
            }
            Fact::ItemGot { value, size: Some(_), .. } if self.is_filled() && self.numbers.len() < LONGEST_LINE => {
                let _ = write!(self.numbers, "{value}->");
            }
            _ => {}
        }
    }

    /// Whether it is the queue that one process fills and empties.
    fn is_filled(&self) -> bool {
        self.scenario == "queue"
    }

    /// How the process with this id is called.
    pub(super) fn name_of(&self, pid: u32) -> Option<&str> {
        self.names.get(&pid).map(String::as_str)
    }

    /// Who had a lock before its last taker: it died, if the lock was abandoned.
    pub(super) fn former_holder(&self, lock: &str) -> Option<&str> {
        self.former_holders.get(lock).map(String::as_str)
    }
}
