//! A manager: one process that holds objects, with proxies to them in other processes, local or remote.
//!
//! ```no_run
//! use ipc_demo::manager::Manager;
//!
//! let manager = Manager::start()?;
//! let dict = manager.dict()?;
//! dict.insert("tickets", 3)?;
//! dict.add("tickets", -1)?; // one step, whatever others do meanwhile
//! let queue = manager.queue(10)?;
//! dict.insert("orders", &queue)?; // a reference, not a copy
//! assert_eq!(dict.get("tickets")?.and_then(|left| left.as_int()), Some(2));
//! # Ok::<(), ipc_demo::Error>(())
//! ```
//!
//! The program's table of roles needs [`ManagerServer`]. Clones of objects and of the manager itself go to workers
//! as fields of their roles.
//!
//! | file | what it is |
//! |---|---|
//! | `data` | [`Variant`]: what objects hold |
//! | `store` | the objects, independent of the protocol: another one can be put in front of them |
//! | `wire` | frames, encryption, handshake, messages: independent of sockets |
//! | `server` | a thread per client, between its socket and the store |
//! | `handshake` | sending and receiving the frames of a handshake, for both sides |
//! | `client` | a process's single connection |
//! | `proxy` | [`Dict`], [`List`], [`Lock`] … |
//! | `access`, `start`, `address` | [`Manager`]; starting one; its address |
//! | `error` | [`ManagerError`] |
//!
//! # Death
//! Everything a process holds in a manager (locks, permits, leased items, references) is released when the process ends
//! in any way. When a manager ends, every waiting call fails at once, and so does every later call. It ends with the
//! process that started it.
//!
//! # Security
//! The starter's own workers connect through an unnamed socket pair; other processes over a Unix socket (same user
//! only), or over TCP (this machine only, unless told otherwise). Client and manager authenticate each other by their
//! common key (Noise, with the key as pre-shared key). Over TCP every frame is encrypted and authenticated.
//!
//! # Standard
//! Python `multiprocessing.managers.SyncManager`. Differs: atomic changes, also by path; whole copies in one round
//! trip; one connection for all objects and threads of a process; data only (nothing received is ever executed).

mod access;
mod address;
mod client;
mod data;
pub(super) mod error;
mod handshake;
mod proxy;
mod server;
mod start;
mod status;
mod store;
mod wire;

pub use access::Manager;
pub use address::{Address, BadAddress};
pub use client::Object;
pub use data::{
    Beyond64Bits, DEPTH_LIMIT, Int, JsonError, Key, Kind, Map, NotComparable, ObjectId, ObjectRef, Tagged, Unhashable,
    Variant,
};
pub use error::ManagerError;
pub use proxy::*;
pub use server::Limits;
pub use start::{ManagerBuilder, ManagerServer, Serving};
pub use status::{Refusals, Status};
pub use store::{Failure, Method, Signature, Swap, UnknownMethod};
pub use wire::{AuthKey, EmptyKey, HandshakeError};
