//! Transfer of handles to a worker: they are fields of its role, and are collected while the role is encoded.
//!
//! # State
//! A scope of this thread that exists only while [`encode`] or [`decode`] runs. Inside it a handle is serialised as the
//! index of its descriptors in a list, with whatever else the worker needs; outside of it a handle cannot be
//! serialised. Descriptors that several handles of a role share are in the list once.
//!
//! # Death
//! An object that counts its users (a queue, a barrier) counts the recipient from the moment the handle is encoded,
//! which is before the sender's own handle can be dropped. The recipient counts each handle that it decodes, and only
//! then releases the count of the encoding: the object never looks abandoned. A failed start releases the recipient's
//! counts.
//!
//! # Standard
//! servo/ipc-channel collects channels and shared memory in a thread-local while it serialises a message; Python passes
//! a spawned child the descriptors collected while it was pickled (`Lib/multiprocessing/popen_spawn_posix.py`).

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::table::ProcessSlot;
use crate::ipc::codec;
use crate::ipc::error::{Error, Result, chain, os};
use crate::sys::shm::{Layout, Mapping};
use crate::sys::stream::Stream;

/// What this thread is encoding or decoding.
enum Scope {
    Sending(Sending),
    Receiving(Receiving),
}

struct Sending {
    recipient: ProcessSlot,
    descriptors: Vec<Arc<OwnedFd>>,
    undo: Vec<Box<dyn FnOnce()>>,
    failure: Option<Error>,
    counts: u32,
}

struct Receiving {
    descriptors: Vec<Arc<OwnedFd>>,
    received: BTreeMap<u32, Box<dyn FnOnce()>>,
    made: Vec<Box<dyn Any>>,
}

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Runs `work` in a scope, and returns the scope afterwards. Any outer scope is then restored.
fn within<R>(scope: Scope, work: impl FnOnce() -> R) -> (R, Scope) {
    /// Restores the outer scope, even if `work` panics.
    struct Outer(Option<Scope>);
    impl Drop for Outer {
        fn drop(&mut self) {
            SCOPE.set(self.0.take());
        }
    }
    let _outer = Outer(SCOPE.replace(Some(scope)));
    let outcome = work();
    let scope = SCOPE.take().expect("every scope within puts this one back");
    (outcome, scope)
}

fn sending<R>(work: impl FnOnce(&mut Sending) -> R) -> Option<R> {
    SCOPE.with_borrow_mut(|scope| match scope {
        Some(Scope::Sending(sending)) => Some(work(sending)),
        _ => None,
    })
}

fn receiving<R>(work: impl FnOnce(&mut Receiving) -> R) -> Option<R> {
    SCOPE.with_borrow_mut(|scope| match scope {
        Some(Scope::Receiving(receiving)) => Some(work(receiving)),
        _ => None,
    })
}

/// A role on its way to a worker. If dropped before it has [gone](Self::has_gone), it releases the counts made for it.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<Arc<OwnedFd>>,
    undo: Vec<Box<dyn FnOnce()>>,
}

impl Encoded {
    /// The recipient exists: from now on its own life determines its counts.
    pub(crate) fn has_gone(mut self) {
        self.undo.clear();
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        self.undo.drain(..).rev().for_each(|undo| undo());
    }
}

/// Encodes a role and collects what its handles need, for the process with the slot `recipient`.
///
/// # Errors
/// [`Error::Role`] if the role cannot be serialised, or the error that kept a handle from being sent. Nothing is
/// counted then.
pub(crate) fn encode<R: Serialize>(role: &R, recipient: ProcessSlot) -> Result<Encoded> {
    let scope = Sending { recipient, descriptors: Vec::new(), undo: Vec::new(), failure: None, counts: 0 };
    let (bytes, scope) = within(Scope::Sending(scope), || codec::to_vec(role));
    let Scope::Sending(Sending { descriptors, undo, failure, .. }) = scope else {
        unreachable!("it stays what it was")
    };
    let mut encoded = Encoded { bytes: Vec::new(), descriptors, undo };
    if let Some(failure) = failure {
        return Err(failure);
    }
    encoded.bytes = bytes.map_err(|source| Error::Role { role: std::any::type_name::<R>(), source })?;
    Ok(encoded)
}

/// Decodes a role, with the descriptors that were collected while it was encoded.
///
/// # Errors
/// [`Error::Role`] if the bytes are not a valid `R`, or a handle cannot be created.
pub(crate) fn decode<R: DeserializeOwned>(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<R> {
    let descriptors = descriptors.into_iter().map(Arc::new).collect();
    let scope = Receiving { descriptors, received: BTreeMap::new(), made: Vec::new() };
    let (role, scope) = within(Scope::Receiving(scope), || codec::from_slice(bytes));
    let role = role.map_err(|source| Error::Role { role: std::any::type_name::<R>(), source })?;
    if let Scope::Receiving(Receiving { received, .. }) = scope {
        received.into_values().for_each(|give_back| give_back());
    }
    Ok(role)
}

/// Serialises a handle, named with its article for messages: `parts` returns its parts for the given recipient.
pub(crate) fn send<S: Serializer, P: Serialize>(
    serializer: S,
    handle: &str,
    parts: impl FnOnce(ProcessSlot) -> Result<P>,
) -> std::result::Result<S::Ok, S::Error> {
    let recipient = sending(|sending| sending.recipient).ok_or_else(|| not_in_a_role::<S::Error>(handle))?;
    match parts(recipient) {
        Ok(parts) => parts.serialize(serializer),
        Err(error) => {
            let message = chain(&error);
            sending(|sending| {
                sending.failure.get_or_insert(error);
            });
            Err(ser::Error::custom(message))
        }
    }
}

/// Deserialises a handle, which `make` creates from its parts.
pub(crate) fn receive<'de, D: Deserializer<'de>, P: Deserialize<'de>, H>(
    deserializer: D,
    handle: &str,
    make: impl FnOnce(P) -> Result<H>,
) -> std::result::Result<H, D::Error> {
    receiving(|_| ()).ok_or_else(|| de::Error::custom(format_args!("{handle} {ONLY_IN_A_ROLE}")))?;
    make(P::deserialize(deserializer)?).map_err(|error| de::Error::custom(chain(&error)))
}

const ONLY_IN_A_ROLE: &str =
    "can only be sent inside a role given to Process::spawn, not in a message, a queue item or a file";

fn not_in_a_role<E: ser::Error>(handle: &str) -> E {
    E::custom(format_args!("{handle} {ONLY_IN_A_ROLE}"))
}

/// Registers a count made for the recipient of the role that is being encoded: `undo` releases it if the start fails.
///
/// Returns a number that is sent with the handle, for [`received`].
pub(crate) fn counted(undo: impl FnOnce() + 'static) -> u32 {
    let number = sending(|sending| {
        sending.undo.push(Box::new(undo));
        sending.counts += 1;
        sending.counts
    });
    number.expect("called while a role is encoded")
}

/// To be called once the recipient has counted its own handle: `give_back` releases the count of the encoding, once and
/// after all handles are decoded, even if a handle is read several times (serde tries the variants of an untagged enum
/// one by one).
pub(crate) fn received(number: u32, give_back: impl FnOnce() + 'static) {
    receiving(|receiving| {
        receiving.received.entry(number).or_insert(Box::new(give_back));
    });
}

/// Returns what several handles of the role being decoded share, such as a connection: found, or created by the first.
pub(crate) fn made_once<T: Any + Clone>(is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let known = |receiving: &mut Receiving| {
        receiving.made.iter().filter_map(|made| made.downcast_ref()).find(|made| is_it(made)).cloned()
    };
    if let Some(known) = receiving(known).flatten() {
        return Ok(known);
    }
    let made = make()?;
    receiving(|receiving| receiving.made.push(Box::new(made.clone())));
    Ok(made)
}

/// Makes a handle usable in roles. `parts` is an expression for its parts that may fail; from parts received, `make`
/// creates the handle in the worker.
macro_rules! sent_in_roles {
    ([$($generics:tt)*] $handle:ty, $name:expr, |$this:ident, $recipient:pat_param| $parts:expr, |$arrived:tt: $type:ty| $make:expr) => {
        /// Only inside a role that is given to [`Process::spawn`](crate::Process::spawn); an error everywhere
        /// else.
        impl<$($generics)*> serde::Serialize for $handle {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                let $this = self;
                $crate::ipc::process::transfer::send(serializer, $name, |$recipient| $parts)
            }
        }

        impl<'de, $($generics)*> serde::Deserialize<'de> for $handle {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                $crate::ipc::process::transfer::receive(deserializer, $name, |$arrived: $type| $make)
            }
        }
    };
}
pub(crate) use sent_in_roles;

/// A descriptor that can be sent in a role: of a file, a socket, or anything else without a handle type in this
/// library.
///
/// The worker gets its own descriptor of the same open file. Cloning it counts a reference.
///
/// ```
/// use ipc_demo::process::Fd;
///
/// let (reading, _writing) = std::io::pipe()?;
/// let fd = Fd::new(reading);
/// let reading = std::io::PipeReader::from(fd.clone().into_owned()?); // a copy, because `fd` still has it
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Fd(Arc<OwnedFd>);

impl Fd {
    /// Creates it from a file, a socket, a pipe's end, or any other owner of a descriptor.
    pub fn new(descriptor: impl Into<OwnedFd>) -> Self {
        Fd(Arc::new(descriptor.into()))
    }

    /// Returns the descriptor itself, or a duplicate if this value has other clones.
    ///
    /// # Errors
    /// If a duplicate is needed, and this process cannot have another descriptor.
    pub fn into_owned(self) -> std::io::Result<OwnedFd> {
        Arc::try_unwrap(self.0).or_else(|shared| shared.try_clone())
    }
}

impl From<OwnedFd> for Fd {
    fn from(descriptor: OwnedFd) -> Self {
        Fd::new(descriptor)
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<&Arc<OwnedFd>> for Fd {
    fn from(descriptor: &Arc<OwnedFd>) -> Self {
        Fd(Arc::clone(descriptor))
    }
}

impl From<Fd> for Arc<OwnedFd> {
    fn from(Fd(descriptor): Fd) -> Self {
        descriptor
    }
}

/// Only inside a role that is given to [`Process::spawn`](crate::Process::spawn); an error everywhere else.
impl Serialize for Fd {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let index = sending(|sending| {
            let known = sending.descriptors.iter().position(|known| known.as_raw_fd() == self.0.as_raw_fd());
            known.unwrap_or_else(|| {
                sending.descriptors.push(Arc::clone(&self.0));
                sending.descriptors.len() - 1
            })
        });
        let index = index.ok_or_else(|| not_in_a_role::<S::Error>("a descriptor"))?;
        serializer.serialize_u32(index as u32)
    }
}

impl<'de> Deserialize<'de> for Fd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        receive(deserializer, "a descriptor", |index: u32| {
            let found = receiving(|receiving| {
                receiving.descriptors.get(index as usize).cloned().ok_or(receiving.descriptors.len())
            });
            match found {
                Some(Ok(descriptor)) => Ok(Fd(descriptor)),
                Some(Err(given)) => Err(Error::NoSuchDescriptor { index, given }),
                None => unreachable!("asked above"),
            }
        })
    }
}

/// Shared memory is sent as its descriptor; its header describes the content.
impl<T: Layout> Serialize for Mapping<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Fd::from(self.memfd()).serialize(serializer)
    }
}

impl<'de, T: Layout> Deserialize<'de> for Mapping<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        receive(deserializer, "shared memory", |fd: Fd| Mapping::open(fd).map_err(os("open shared memory")))
    }
}

impl Serialize for Stream {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Fd::from(self.descriptor()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        receive(deserializer, "a stream", |fd: Fd| Stream::of(fd).map_err(os("open a stream")))
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, descriptors) = (self.bytes.len(), self.descriptors.len());
        f.debug_struct("Encoded").field("bytes", &bytes).field("descriptors", &descriptors).finish_non_exhaustive()
    }
}
