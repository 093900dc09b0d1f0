//! Sending a proxy to a worker: the manager's address, the key, and a token that can be used for one import.
//!
//! # Death
//! The object stays alive until the worker has imported it. If the worker dies before that, the token is cancelled when
//! the next proxy is exported, or when the exporter leaves. With a barrier the other parties must not wait for that: a
//! thread here looks every 100 ms whether a worker that was given one is dead.

use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};

use super::{CONNECT_TIME, Client, Object, Route, unpoisoned};
use crate::ipc::deadline::LOOK_EVERY;
use crate::ipc::error::{Result, os};
use crate::ipc::manager::data::{Kind, ObjectId};
use crate::ipc::manager::error::ManagerError;
use crate::ipc::manager::store::{Request, TransferToken};
use crate::ipc::manager::wire::random;
use crate::ipc::process::scheduler;
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::process::transfer;

/// What a worker needs to connect. The key is part of its role's bytes, in a memory file of the two processes.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConnectInfo {
    route: Route,
    transfer: Option<(ObjectId, Kind, TransferToken)>,
}

/// References that were exported to workers, which may have imported them.
#[derive(Debug, Default)]
pub(super) struct Exports {
    open: Vec<Export>,
    /// Whether a thread looks after those that others may wait for.
    is_watched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Export {
    token: TransferToken,
    recipient: ProcessSlot,
    /// Whether others may wait for the recipient.
    is_awaited: bool,
}

impl Client {
    /// Returns what the process in slot `recipient` needs to connect, and to import `object`.
    pub(crate) fn invite(self: &Arc<Self>, recipient: ProcessSlot, object: Option<&Object>) -> Result<ConnectInfo> {
        let transfer = object.map(|object| self.export(recipient, object)).transpose()?;
        Ok(ConnectInfo { route: self.route.clone(), transfer })
    }

    fn export(self: &Arc<Self>, recipient: ProcessSlot, object: &Object) -> Result<(ObjectId, Kind, TransferToken)> {
        self.cancel_exports_to_the_dead()?;
        let (id, kind) = (object.id(), object.kind());
        let token = TransferToken(u128::from_le_bytes(random().map_err(os("get random bytes"))?));
        self.request(Request::Export { object: id, token }, format!("sending {kind} {id}"))?;
        let export = Export { token, recipient, is_awaited: kind == Kind::Barrier };
        unpoisoned(&self.exports).open.push(export);
        let client = Arc::clone(self);
        // If the worker is not started.
        transfer::counted(move || {
            unpoisoned(&client.exports).open.retain(|export| export.token != token);
            // A manager that is gone has cancelled it.
            let _ = client.tell(Request::CancelExport(token));
        });
        // In an exploration, the end of a worker is noticed before the next step.
        if export.is_awaited && scheduler::current().is_none() {
            self.watch_exports()?;
        }
        Ok((id, kind, token))
    }

    pub(super) fn cancel_exports_to_the_dead(&self) -> Result<()> {
        let process_table = ProcessTable::ours()?;
        let is_dead = |export: &mut Export| !process_table.is_alive(export.recipient);
        let dead: Vec<Export> = unpoisoned(&self.exports).open.extract_if(.., is_dead).collect();
        dead.into_iter().try_for_each(|export| self.tell(Request::CancelExport(export.token)))
    }

    /// Starts the thread that looks after the exports that others may wait for, unless it runs already.
    fn watch_exports(self: &Arc<Self>) -> Result<()> {
        if std::mem::replace(&mut unpoisoned(&self.exports).is_watched, true) {
            return Ok(());
        }
        let client = Arc::downgrade(self);
        let watch = move || {
            loop {
                thread::sleep(LOOK_EVERY);
                let Some(client) = client.upgrade() else { return };
                // At a manager that is gone there are no waiters.
                let is_gone = client.cancel_exports_to_the_dead().is_err();
                let mut exports = unpoisoned(&client.exports);
                exports.is_watched = !is_gone && exports.open.iter().any(|export| export.is_awaited);
                if !exports.is_watched {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("manager exports".to_owned()).spawn(watch);
        if started.is_err() {
            unpoisoned(&self.exports).is_watched = false;
        }
        started.map(drop).map_err(os("start a thread"))
    }
}

impl ConnectInfo {
    /// Connects to the manager, once for all handles of a role.
    pub(crate) fn connect(self) -> Result<Arc<Client>> {
        let manager = self.route.manager;
        let is_it = |client: &Arc<Client>| client.route.manager == manager;
        transfer::made_once(is_it, || Client::connect(self.route, CONNECT_TIME))
    }

    /// Connects to the manager and imports the exported object.
    pub(crate) fn import(self) -> Result<Object> {
        let (id, kind, token) = self.transfer.ok_or_else(ManagerError::gone)?;
        let client = self.connect()?;
        let take = || {
            let object = client.fetch(Request::Import(token), format!("receiving {kind} {id}"))?;
            Ok((token.0, object))
        };
        transfer::made_once(|(taken, _): &(u128, Object)| *taken == token.0, take).map(|(_, object)| object)
    }
}
