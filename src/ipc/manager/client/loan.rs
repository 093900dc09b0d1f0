//! How a proxy gets into a worker: with where the manager is, the key, and a number that is good for one taking over.
//!
//! # Death
//! The object lives on until the worker has taken it over. The number of a worker that died before it could do so is given
//! back when the next proxy is lent, or when the lender leaves. With a barrier the others must not wait for that: a thread
//! here looks every 100 ms until the worker has taken it over, or is dead.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::{Client, Gate, LOOK_EVERY, Object, unpoisoned};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::manager::address::Address;
use crate::ipc::manager::data::{Kind, ObjectId};
use crate::ipc::manager::store::{Failure, LoanToken, Reply, Request};
use crate::ipc::manager::wire::{AuthKey, random};
use crate::ipc::processes::family::{Family, Seat};
use crate::ipc::processes::share::{Adopted, Parcel};

/// What a worker is told, in a memory file of its own: the key stands nowhere else.
#[derive(Serialize, Deserialize)]
struct Invitation {
    manager: u128,
    key: Vec<u8>,
    /// `None`: the next descriptor is the door.
    address: Option<Address>,
    answer_time: Option<Duration>,
    loan: Option<(ObjectId, Kind, LoanToken)>,
}

/// What was lent to workers, and not known to be taken over.
#[derive(Debug, Default)]
pub(super) struct Loans {
    open: Vec<Loan>,
    /// Whether a thread looks after those that others wait for.
    is_watched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Loan {
    token: LoanToken,
    recipient: Seat,
    kind: Kind,
}

impl Loan {
    /// Whether others may wait for what the recipient does with it.
    fn is_awaited(&self) -> bool {
        self.kind == Kind::Barrier
    }
}

impl Client {
    /// Puts into the parcel what a worker needs to connect, and to take over `object`.
    pub(crate) fn lend(self: &Arc<Self>, object: Option<&Object>, parcel: &mut Parcel) -> Result<()> {
        let loan = match object {
            None => None,
            Some(object) => {
                self.end_loans_of_the_dead()?;
                let token = LoanToken(u128::from_le_bytes(random().map_err(os("get random bytes"))?));
                let request = Request::Lend { object: object.id(), token };
                self.request(request, || format!("lending {} {}", object.kind(), object.id()))?;
                let loan = Loan { token, recipient: parcel.recipient(), kind: object.kind() };
                unpoisoned(&self.loans).open.push(loan);
                if loan.is_awaited() {
                    self.watch_loans()?;
                }
                Some((object.id(), object.kind(), token))
            }
        };
        let address = match &self.gate {
            Gate::Door(_) => None,
            Gate::Address(address) => Some(address.clone()),
        };
        let key = self.key.bytes().to_vec();
        let invitation = Invitation { manager: self.manager, key, address, answer_time: self.answer_time, loan };
        let codec = |source| Error::Codec { action: "write an invitation", source };
        let invitation = postcard::to_stdvec(&invitation).map_err(codec)?;
        let memfd = memfd_create("ipc_demo-manager", MFdFlags::MFD_CLOEXEC)
            .map_err(|errno| os("make a memory file")(errno.into()));
        let mut file = File::from(memfd?);
        file.write_all(&invitation).map_err(os("write an invitation"))?;
        parcel.add(file.as_fd())?;
        match &self.gate {
            Gate::Door(door) => parcel.add(door.as_fd()),
            Gate::Address(_) => Ok(()),
        }
    }

    /// Connects to the manager of the parcel, once in a process, and takes over the object that was lent.
    pub(crate) fn adopt(parcel: &mut Adopted) -> Result<(Arc<Client>, Option<Object>)> {
        let invitation = read(File::from(parcel.descriptor()?))?;
        let gate = match invitation.address {
            None => Gate::Door(parcel.descriptor()?),
            Some(address) => Gate::Address(address),
        };
        let known = parcel.company().find(|client: &&Arc<Client>| client.manager == invitation.manager).cloned();
        let client = match known {
            Some(client) => client,
            None => {
                let key = AuthKey::new(invitation.key)?;
                let client = Client::connect(gate, key, invitation.manager, invitation.answer_time)?;
                parcel.keep_company(Arc::clone(&client));
                client
            }
        };
        let object = match invitation.loan {
            None => None,
            Some((id, kind, token)) => {
                Some(client.fetch(Request::TakeLoan { token }, || format!("taking over {kind} {id}"))?)
            }
        };
        Ok((client, object))
    }

    fn end_loans_of_the_dead(&self) -> Result<()> {
        let family = Family::ours()?;
        let is_dead = |loan: &mut Loan| !family.is_alive(loan.recipient);
        let dead: Vec<Loan> = unpoisoned(&self.loans).open.extract_if(.., is_dead).collect();
        dead.into_iter().try_for_each(|loan| self.tell(Request::EndLoan { token: loan.token }))
    }

    /// Starts the thread that looks after loans which others wait for, if there is none.
    fn watch_loans(self: &Arc<Self>) -> Result<()> {
        if std::mem::replace(&mut unpoisoned(&self.loans).is_watched, true) {
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
            unpoisoned(&self.loans).is_watched = false;
        }
        started.map(drop).map_err(os("start a thread"))
    }

    /// Whether there is still something to be looked after.
    fn look_after_loans(self: &Arc<Self>) -> Result<bool> {
        self.end_loans_of_the_dead()?;
        let awaited: Vec<Loan> =
            unpoisoned(&self.loans).open.iter().filter(|loan| loan.is_awaited()).copied().collect();
        for Loan { token, .. } in awaited {
            let reply = self.request(Request::IsLent { token }, || "asking for a loan".to_owned())?;
            if reply == Reply::from(false) {
                unpoisoned(&self.loans).open.retain(|loan| loan.token != token);
            }
        }
        let mut loans = unpoisoned(&self.loans);
        loans.is_watched = loans.open.iter().any(Loan::is_awaited);
        Ok(loans.is_watched)
    }
}

fn read(mut file: File) -> Result<Invitation> {
    let mut bytes = Vec::new();
    // Whoever wrote it shares the position with us.
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    read.map_err(os("read an invitation"))?;
    postcard::from_bytes(&bytes).map_err(|source| Error::Codec { action: "read an invitation", source })
}

/// The object that a parcel must hold.
pub(crate) fn adopted_object(parcel: &mut Adopted, wanted: Kind) -> Result<Object> {
    let (_, object) = Client::adopt(parcel)?;
    let object = object.ok_or_else(Error::manager_gone)?;
    check_kind(object, wanted)
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
pub(crate) fn door() -> Result<(OwnedFd, OwnedFd)> {
    crate::sys::socket::packet_pair().map_err(os("make a manager's door"))
}
