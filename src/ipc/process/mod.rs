//! Processes: starting workers in a role, sending them handles, waiting for them, stopping, and liveness.
//!
//! | file | what it is |
//! |---|---|
//! | `child` | a worker process, from start to end |
//! | `role`, `transfer`, `codec` | a worker's role, the handles in it, and its serialised form |
//! | `boot` | worker bootstrap and outcome |
//! | `stop` | requests to stop |
//! | `table`, `members` | living processes, and the members of a shared object |

pub(crate) mod boot;
pub(crate) mod child;
pub(crate) mod codec;
pub(crate) mod members;
pub(crate) mod role;
pub(crate) mod stop;
pub(crate) mod table;
pub(crate) mod transfer;
