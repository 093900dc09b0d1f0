//! Numbers in shared memory.
//!
//! | file | what it is |
//! |---|---|
//! | `value`, `array` | one, and a row |
//! | `plain` | which numbers can lie there |
//! | `guardian` | the lock that guards them, if any |

pub(crate) mod array;
pub(crate) mod guardian;
pub(crate) mod plain;
pub(crate) mod value;
