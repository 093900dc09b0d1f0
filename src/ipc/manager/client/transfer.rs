//! How a proxy gets into a worker: with where the manager is, the key, and a number that is good for one taking over.
//!
//! # Death
//! The object lives on until the worker has taken it over. The number of a worker that died before it could do so is given
//! back when the next proxy is lent, or when the lender leaves. With a barrier the others must not wait for that: a thread
//! here looks every 100 ms until the worker has taken it over, or is dead.

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

/// What a worker is told. The key stands in its role's bytes, which lie in a memory file of the two processes.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConnectInfo {
    manager: u128,
    key: Vec<u8>,
    gate: Endpoint,
    answer_time: Option<Duration>,
    transfer: Option<(ObjectId, Kind, TransferToken)>,
}

/// What was lent to workers, and not known to be taken over.
#[derive(Debug, Default)]
pub(super) struct TransferTokens {
    open: Vec<Transfer>,
    /// Whether a thread looks after those that others wait for.
    is_watched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Transfer {
    token: TransferToken,
    recipient: ProcessSlot,
    kind: Kind,
}

impl Transfer {
    /// Whether others may wait for what the recipient does with it.
    fn is_awaited(&self) -> bool {
        self.kind == Kind::Barrier
    }
}

impl Client {
    /// What the process with the seat `recipient` needs to connect, and to take over `object`.
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

    /// Takes back what was lent to a worker that was not started.
    fn end_loan(&self, token: TransferToken) {
        unpoisoned(&self.transfers).open.retain(|transfer| transfer.token != token);
        // A manager that is gone has ended it.
        let _ = self.tell(Request::EndLoan { token });
    }

    fn end_loans_of_the_dead(&self) -> Result<()> {
        let process_table = ProcessTable::ours()?;
        let is_dead = |transfer: &mut Transfer| !process_table.is_alive(transfer.recipient);
        let dead: Vec<Transfer> = unpoisoned(&self.transfers).open.extract_if(.., is_dead).collect();
        dead.into_iter().try_for_each(|transfer| self.tell(Request::EndLoan { token: transfer.token }))
    }

    /// Starts the thread that looks after loans which others wait for, if there is none.
    fn watch_loans(self: &Arc<Self>) -> Result<()> {
        if std::mem::replace(&mut unpoisoned(&self.transfers).is_watched, true) {
            return Ok(());
        }
        let client = Arc::downgrade(self);
        let watch = move || {
            loop {
                thread::sleep(LOOK_EVERY);
                let Some(client) = client.upgrade() else { return };
                // A manager that is gone has nobody waiting.
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

    /// Whether there is still something to be looked after.
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

    /// Connects to the manager, and takes over the object that was lent, which is to be of this type.
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

/// The object, if it is of the type.
pub(crate) fn check_kind(object: Object, wanted: Kind) -> Result<Object> {
    let is = object.kind();
    if is == wanted {
        return Ok(object);
    }
    let doing = format!("using object {}", object.id());
    Err(Error::Managed { doing, source: Box::new(Failure::WrongKind { is, wanted }) })
}

/// Both ends of a door.
pub(crate) fn endpoint() -> Result<(OwnedFd, OwnedFd)> {
    crate::sys::socket::packet_pair().map_err(os("make a manager's door"))
}
