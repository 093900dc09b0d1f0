//! The manager: a process that holds objects, and proxies to them in other processes, near and far.

mod data;
mod store;

pub use data::{
    Beyond64Bits, DEPTH_LIMIT, Datum, Int, JsonError, Key, Kind, Map, ObjectId, ObjectRef, Tagged, Unhashable,
};
pub use store::{Failure, KeyText, Method, UnknownMethod};
