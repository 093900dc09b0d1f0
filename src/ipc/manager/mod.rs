//! The manager: a process that holds objects, and proxies to them in other processes, near and far.

mod address;
mod client;
mod data;
mod manager;
mod proxy;
mod server;
mod status;
mod store;
mod wire;

pub use address::{Address, BadAddress};
pub use client::Object;
pub use data::{
    Beyond64Bits, DEPTH_LIMIT, Datum, Int, JsonError, Key, Kind, Map, ObjectId, ObjectRef, Tagged, Unhashable,
};
pub use manager::{Manager, ManagerBuilder, ManagerServer, Serving};
pub use proxy::*;
pub use server::Limits;
pub use status::{Refusals, Status};
pub use store::{Failure, KeyText, Method, UnknownMethod};
pub use wire::{AuthKey, EmptyKey, Unwelcome};
