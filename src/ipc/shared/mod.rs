//! Numbers in shared memory.
//!
//! | file | what it is |
//! |---|---|
//! | `value`, `array` | one, and a row |
//! | `plain` | which numbers can lie there |
//! | `lock_choice` | the lock that guards them, if any |

pub(crate) mod array;
pub(crate) mod plain;
pub(crate) mod value;
pub(crate) mod value_lock;
