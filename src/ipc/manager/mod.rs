//! A manager: one process that holds objects, and proxies to them in other processes, near and far.
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
//! | `store` | the objects, without a wire: another protocol can be put in front of them |
//! | `wire` | frames, seals, the proof of the key, messages: without a socket |
//! | `server` | a thread for each client, between its socket and the store |
//! | `client` | a process's one connection |
//! | `proxy` | [`Dict`], [`List`], [`Lock`] … |
//! | `access`, `start`, `address` | [`Manager`]; starting one; where one is |
//!
//! # Death
//! What a process holds in a manager (locks, permits, leased items, references) is given back when it ends in any way. A
//! manager that ends is an error for everybody who waits, at once, and for every later call. It ends with the process that
//! started it.
//!
//! # Security
//! Own workers come in through a socket pair without a name; other processes over a Unix socket (of the same user only), or
//! over TCP (this machine alone unless told otherwise). Client and manager prove to each other that they have the key
//! (Noise, with the key as pre-shared key). Over TCP every frame is sealed: nobody on the way can read or change it.
//!
//! # Standard
//! Python `multiprocessing.managers.SyncManager`. Differs: changes in one step and by path, whole copies in one round trip,
//! one connection for all objects and threads of a process, data only (nothing that is received is ever run).

mod access;
mod address;
mod client;
mod data;
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
    Beyond64Bits, DEPTH_LIMIT, Int, JsonError, Key, Kind, Map, ObjectId, ObjectRef, Tagged, Unhashable, Variant,
};
pub use proxy::*;
pub use server::Limits;
pub use start::{ManagerBuilder, ManagerServer, Serving};
pub use status::{Refusals, Status};
pub use store::{Failure, KeyText, Method, Signature, UnknownMethod};
pub use wire::{AuthKey, EmptyKey, HandshakeError};
