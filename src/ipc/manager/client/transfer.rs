//! Sending a proxy to a worker: the manager's address, the key, and a token that can be used for one import.
//!
//! # Death
//! The object stays alive until the worker has imported it. If the worker dies before that, the token is cancelled when
//! the next proxy is exported, or when the exporter leaves. With a barrier the other parties must not wait for that: a
//! thread here checks every 100 ms until the worker has imported the barrier, or is dead.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Client, Endpoint, Object, unpoisoned};
use crate::ipc::deadline::LOOK_EVERY;
use crate::ipc::error::{Error, Result, os};
use crate::ipc::manager::data::{Kind, ObjectId};
use crate::ipc::manager::store::{Failure, Reply, Request, TransferToken};
use crate::ipc::manager::wire::{AuthKey, random};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::process::transfer;

/// What a worker needs to connect. The key is part of its role's bytes, in a memory file of the two processes.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConnectInfo {
    manager: u128,
    key: Vec<u8>,
    gate: Endpoint,
    answer_time: Option<Duration>,
    transfer: Option<(ObjectId, Kind, TransferToken)>,
}

/// References that were exported to workers, and are not known to be imported.
#[derive(Debug, Default)]
pub(super) struct TransferTokens {
    open: Vec<Transfer>,
    /// Whether a thread watches those that others wait for.
    is_watched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Transfer {
    token: TransferToken,
    recipient: ProcessSlot,
    kind: Kind,
}

impl Transfer {
    /// Whether others may wait for the recipient.
    fn is_awaited(&self) -> bool {
        self.kind == Kind::Barrier
    }
}

impl Client {
    /// Returns what the process in slot `recipient` needs to connect, and to import `object`.
    pub(crate) fn invite(self: &Arc<Self>, recipient: ProcessSlot, object: Option<&Object>) -> Result<ConnectInfo> {
        let transfer = match object {
            None => None,
            Some(object) => {
                self.end_loans_of_the_dead()?;
                let token = TransferToken(u128::from_le_bytes(random().map_err(os("get random bytes"))?));
                let request = Request::Lend { object: object.id(), token };
                self.request(request, || format!("lending {} {}", object.kind(), object.id()))?;
                let transfer = Transfer { token, recipient, kind: object.kind() };
                unpoisoned(&self.transfers).open.push(transfer);
                let client = Arc::clone(self);
                transfer::counted(move || client.end_loan(token));
                if transfer.is_awaited() {
                    self.watch_loans()?;
                }
                Some((object.id(), object.kind(), token))
            }
        };
        let (key, gate) = (self.key.bytes().to_vec(), self.gate.clone());
        Ok(ConnectInfo { manager: self.manager, key, gate, answer_time: self.answer_time, transfer })
    }

    /// Cancels an export to a worker that was not started.
    fn end_loan(&self, token: TransferToken) {
        unpoisoned(&self.transfers).open.retain(|transfer| transfer.token != token);
        // A manager that is gone has cancelled it.
        let _ = self.tell(Request::EndLoan { token });
    }

    fn end_loans_of_the_dead(&self) -> Result<()> {
        let process_table = ProcessTable::ours()?;
        let is_dead = |transfer: &mut Transfer| !process_table.is_alive(transfer.recipient);
        let dead: Vec<Transfer> = unpoisoned(&self.transfers).open.extract_if(.., is_dead).collect();
        dead.into_iter().try_for_each(|transfer| self.tell(Request::EndLoan { token: transfer.token }))
    }

    /// Starts the thread that watches the exports that others wait for, unless it runs already.
    fn watch_loans(self: &Arc<Self>) -> Result<()> {
        if std::mem::replace(&mut unpoisoned(&self.transfers).is_watched, true) {
            return Ok(());
        }
        let client = Arc::downgrade(self);
        let watch = move || {
            loop {
                thread::sleep(LOOK_EVERY);
                let Some(client) = client.upgrade() else { return };
                // At a manager that is gone there are no waiters.
                if !client.look_after_loans().unwrap_or(false) {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("manager loans".to_owned()).spawn(watch);
        if started.is_err() {
            unpoisoned(&self.transfers).is_watched = false;
        }
        started.map(drop).map_err(os("start a thread"))
    }

    /// Cancels the exports to dead workers. Returns whether there is anything left to watch.
    fn look_after_loans(self: &Arc<Self>) -> Result<bool> {
        self.end_loans_of_the_dead()?;
        let awaited: Vec<Transfer> =
            unpoisoned(&self.transfers).open.iter().filter(|transfer| transfer.is_awaited()).copied().collect();
        for Transfer { token, .. } in awaited {
            let reply = self.request(Request::IsLent { token }, || "asking for a loan".to_owned())?;
            if reply == Reply::from(false) {
                unpoisoned(&self.transfers).open.retain(|transfer| transfer.token != token);
            }
        }
        let mut transfers = unpoisoned(&self.transfers);
        transfers.is_watched = transfers.open.iter().any(Transfer::is_awaited);
        Ok(transfers.is_watched)
    }
}

impl ConnectInfo {
    /// Connects to the manager, once for all handles of a role.
    pub(crate) fn connect(self) -> Result<Arc<Client>> {
        let ConnectInfo { manager, key, gate, answer_time, .. } = self;
        let connect = || Client::connect(gate, AuthKey::new(key)?, manager, answer_time);
        transfer::made_once(|client: &Arc<Client>| client.manager == manager, connect)
    }

    /// Connects to the manager and imports the exported object, which must be of this type.
    pub(crate) fn take_over(self, wanted: Kind) -> Result<Object> {
        let (id, kind, token) = self.transfer.ok_or_else(Error::manager_gone)?;
        let client = self.connect()?;
        let take = || {
            let object = client.fetch(Request::TakeLoan { token }, || format!("taking over {kind} {id}"))?;
            Ok((token.0, object))
        };
        let (_, object) = transfer::made_once(|(taken, _): &(u128, Object)| *taken == token.0, take)?;
        check_kind(object, wanted)
    }
}

/// Returns the object if it is of the type.
pub(crate) fn check_kind(object: Object, wanted: Kind) -> Result<Object> {
    let is = object.kind();
    if is == wanted {
        return Ok(object);
    }
    let doing = format!("using object {}", object.id());
    Err(Error::Managed { doing, source: Box::new(Failure::WrongKind { is, wanted }) })
}

/// Creates both ends of an endpoint.
pub(crate) fn endpoint() -> Result<(OwnedFd, OwnedFd)> {
    crate::sys::socket::packet_pair().map_err(os("make a manager's door"))
}
