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
#[derive(Default)]
struct Scope {
    /// The process for which a role is being encoded; `None` while one is being decoded.
    recipient: Option<ProcessSlot>,
    descriptors: Vec<Arc<OwnedFd>>,
    /// Callbacks that release the counts made for the recipient, by number.
    releases: Releases,
    /// The first error of a handle that was encoded.
    failure: Option<Error>,
    /// What the decoded handles share.
    made: Vec<Box<dyn Any>>,
}

type Releases = BTreeMap<u32, Box<dyn FnOnce()>>;

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

/// Runs `work` on the scope if a role is being encoded.
fn sending<R>(work: impl FnOnce(&mut Scope, ProcessSlot) -> R) -> Option<R> {
    SCOPE.with_borrow_mut(|scope| scope.as_mut().and_then(|scope| Some(work(scope, scope.recipient?))))
}

/// Runs `work` on the scope if a role is being decoded.
fn receiving<R>(work: impl FnOnce(&mut Scope) -> R) -> Option<R> {
    SCOPE.with_borrow_mut(|scope| scope.as_mut().filter(|scope| scope.recipient.is_none()).map(work))
}

/// A role on its way to a worker. If dropped before it has [gone](Self::has_gone), it releases the counts made for it.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<Arc<OwnedFd>>,
    releases: Releases,
}

impl Encoded {
    /// The recipient exists: from now on its own life determines its counts.
    pub(crate) fn has_gone(mut self) {
        self.releases.clear();
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        std::mem::take(&mut self.releases).into_values().rev().for_each(|release| release());
    }
}

/// Encodes a role and collects what its handles need, for the process with the slot `recipient`.
///
/// # Errors
/// [`Error::Role`] if the role cannot be serialised, or the error that kept a handle from being sent. Nothing is
/// counted then.
pub(crate) fn encode<R: Serialize>(role: &R, recipient: ProcessSlot) -> Result<Encoded> {
    let scope = Scope { recipient: Some(recipient), ..Scope::default() };
    let (bytes, Scope { descriptors, releases, failure, .. }) = within(scope, || codec::to_vec(role));
    let mut encoded = Encoded { bytes: Vec::new(), descriptors, releases };
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
    let scope = Scope { descriptors: descriptors.into_iter().map(Arc::new).collect(), ..Scope::default() };
    let (role, scope) = within(scope, || codec::from_slice(bytes));
    let role = role.map_err(|source| Error::Role { role: std::any::type_name::<R>(), source })?;
    scope.releases.into_values().for_each(|release| release());
    Ok(role)
}

const ONLY_IN_A_ROLE: &str =
    "can only be sent inside a role given to Process::spawn, not in a message, a queue item or a file";

/// Serialises a handle, named with its article for messages: `parts` returns its parts for the given recipient.
pub(crate) fn send<S: Serializer, P: Serialize>(
    serializer: S,
    handle: &str,
    parts: impl FnOnce(ProcessSlot) -> Result<P>,
) -> std::result::Result<S::Ok, S::Error> {
    let recipient = sending(|_, recipient| recipient);
    let recipient = recipient.ok_or_else(|| ser::Error::custom(format_args!("{handle} {ONLY_IN_A_ROLE}")))?;
    let parts = parts(recipient).map_err(|error| {
        let message = chain(&error);
        sending(|scope, _| _ = scope.failure.get_or_insert(error));
        ser::Error::custom(message)
    });
    parts?.serialize(serializer)
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

/// Registers a count made for the recipient of the role that is being encoded: `release` undoes it if the start fails.
///
/// Returns a number that is sent with the handle, for [`received`].
pub(crate) fn counted(release: impl FnOnce() + 'static) -> u32 {
    let number = sending(|scope, _| {
        let number = scope.releases.len() as u32;
        scope.releases.insert(number, Box::new(release));
        number
    });
    number.expect("called while a role is encoded")
}

/// Must be called once the recipient has counted its own handle: `release` undoes the count made for the recipient,
/// once and after all handles are decoded, even if a handle is read several times (serde tries the variants of an
/// untagged enum one by one).
pub(crate) fn received(number: u32, release: impl FnOnce() + 'static) {
    receiving(|scope| _ = scope.releases.entry(number).or_insert(Box::new(release)));
}

/// Returns what several handles of the role being decoded share, such as a connection: found, or created by the first.
pub(crate) fn made_once<T: Any + Clone>(is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let known =
        |scope: &mut Scope| scope.made.iter().filter_map(|made| made.downcast_ref()).find(|made| is_it(made)).cloned();
    if let Some(known) = receiving(known).flatten() {
        return Ok(known);
    }
    let made = make()?;
    receiving(|scope| scope.made.push(Box::new(made.clone())));
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

impl Fd {
    /// Adds the descriptor to those of the role that is being encoded. Returns its index.
    fn listed(&self) -> Result<u32> {
        let index = sending(|Scope { descriptors, .. }, _| {
            let known = descriptors.iter().position(|known| known.as_raw_fd() == self.0.as_raw_fd());
            known.unwrap_or_else(|| {
                descriptors.push(Arc::clone(&self.0));
                descriptors.len() - 1
            })
        });
        Ok(index.expect("called while a role is encoded") as u32)
    }

    /// Returns the descriptor that was added at `index` when the role that is being decoded was encoded.
    fn at(index: u32) -> Result<Self> {
        let found = receiving(|Scope { descriptors, .. }| {
            let given = descriptors.len();
            descriptors.get(index as usize).cloned().ok_or(Error::NoSuchDescriptor { index, given })
        });
        found.expect("called while a role is decoded").map(Fd)
    }
}

sent_in_roles!([] Fd, "a descriptor", |fd, _| fd.listed(), |index: u32| Fd::at(index));

// Shared memory is sent as a descriptor; its header describes the content.
sent_in_roles!(
    [T: Layout] Mapping<T>, "shared memory", |mapping, _| Ok(Fd(Arc::clone(mapping.memfd()))),
    |fd: Fd| Mapping::open(fd.0).map_err(os("open shared memory"))
);

sent_in_roles!(
    [] Stream, "a stream", |stream, _| Ok(Fd(Arc::clone(stream.descriptor()))),
    |fd: Fd| Stream::of(fd.0).map_err(os("open a stream"))
);
