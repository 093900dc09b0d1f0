//! The manager: a process that holds objects, and proxies to them in other processes, near and far.

mod data;
mod status;
mod store;
mod wire;

pub use data::{
    Beyond64Bits, DEPTH_LIMIT, Datum, Int, JsonError, Key, Kind, Map, ObjectId, ObjectRef, Tagged, Unhashable,
};
pub use status::{Refusals, Status};
pub use store::{Failure, KeyText, Method, UnknownMethod};
pub use wire::{AuthKey, EmptyKey};
