//! Processes: started in a role, given handles, waited for, stopped; and who of them lives.
//!
//! | file | what it is |
//! |---|---|
//! | `process` | a worker, from its start to its end |
//! | `role`, `transfer`, `codec` | what a worker is told, the handles in it, and its form in bytes |
//! | `boot` | the first and the last thing a worker does |
//! | `stop` | being asked to stop |
//! | `process_table`, `members` | who lives, and whom a shared object counts on |

pub(crate) mod boot;
pub(crate) mod child;
pub(crate) mod codec;
pub(crate) mod members;
pub(crate) mod role;
pub(crate) mod stop;
pub(crate) mod table;
pub(crate) mod transfer;
