//! Numbers in shared memory.
//!
//! | file | what it is |
//! |---|---|
//! | `value`, `array` | one number, and an array of numbers |
//! | `plain` | the supported types of numbers |
//! | `value_lock` | the lock that protects them, if any |

pub(crate) mod array;
pub(crate) mod plain;
pub(crate) mod value;
pub(crate) mod value_lock;
