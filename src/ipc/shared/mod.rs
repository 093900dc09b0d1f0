//! Numbers in shared memory.
//!
//! [`Value`] is one number, [`Array`] a fixed count of them; both hold any [`Plain`] number, and have a lock of
//! their own, a given one, or none.

pub(crate) mod array;
pub(crate) mod numbers;
pub(crate) mod plain;
pub(crate) mod value;

pub use array::Array;
pub use plain::Plain;
pub use value::Value;
