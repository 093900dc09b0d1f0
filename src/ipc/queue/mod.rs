//! Queues in shared memory, and Python's pipe-based queue.
//!
//! | type | what it is |
//! |---|---|
//! | [`Queue`] | first-in first-out queue; its one-sided handles are [`Producer`] and [`Consumer`] |
//! | [`JoinableQueue`] | queue of tasks with a [`Lease`] on every item; one-sided: [`JoinableProducer`], [`JoinableConsumer`] |
//! | [`PipeQueue`] | queue on a pipe with a feeder thread, as in Python |
//!
//! A `Queue<[u8]>` and a `JoinableQueue<[u8]>` have bytes as items, and can write and read them in place:
//! [`Reservation`], [`ItemRef`], [`LeaseRef`].
//!
//! A program that chooses between kinds of queues at run time uses them through [`Transport`], [`PutEnd`] and
//! [`GetEnd`].
//!
//! What can be put is an [`Item`]. A put that fails gives the item back, in a [`PutError`].

// The files: `lease`, `leasing` and `joining` are parts of `joinable_queue`, which otherwise is a `shm_queue`; `ring`
// is the ring in shared memory; `participants` counts the handles that can still put and get; `encoding` is the
// serialised form of items, and `batch` that of several.

pub(crate) mod access;
pub(crate) mod batch;
pub(crate) mod bytes;
pub(crate) mod encoding;
pub(crate) mod ends;
pub(crate) mod item;
pub(crate) mod joinable_queue;
pub(crate) mod joining;
pub(crate) mod lease;
pub(crate) mod leasing;
pub(crate) mod participants;
pub(crate) mod pipe_queue;
pub(crate) mod put_error;
#[cfg(feature = "redis")]
pub mod redis_queue;
pub(crate) mod ring;
pub(crate) mod shm_queue;

pub use access::{Access, Both, GetOnly, Gets, Leased, PutOnly, Puts};
pub use bytes::{ItemRef, LeaseRef, Reservation};
pub use ends::{GetEnd, PutEnd, Transport};
pub use item::Item;
pub use joinable_queue::{
    DEFAULT_REDELIVERIES, DeadLetter, JoinableConsumer, JoinableProducer, JoinableQueue, JoinableQueueBuilder,
};
pub use lease::Lease;
pub use leasing::OnConsumerDeath;
pub use pipe_queue::{Pipe, PipeQueue};
pub use put_error::PutError;
pub use shm_queue::{Consumer, DEFAULT_BYTE_LIMIT, Producer, Queue, QueueBuilder, SharedMemory};
