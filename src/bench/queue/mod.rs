//! The queue between real processes, and `std::sync::mpsc::sync_channel` between threads doing the same work in the
//! same run.

mod baseline;
mod bytes;
mod load;
mod one_by_one;
mod processes;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::bytes::{GetsBytes, PutsBytes, Way};
pub(super) use self::load::{Block, Load};
use self::processes::{Gets, Puts};
use super::workload::{Point, Workload};
use crate::RoleEntry;

/// Roles of the benchmark's workers.
pub(super) const ROLES: &[RoleEntry] = &[
    RoleEntry::of::<Puts<u64>>(),
    RoleEntry::of::<Gets<u64>>(),
    RoleEntry::of::<Puts<Block>>(),
    RoleEntry::of::<Gets<Block>>(),
    RoleEntry::of::<PutsBytes>(),
    RoleEntry::of::<GetsBytes>(),
    RoleEntry::of::<one_by_one::Echoes>(),
];

pub(super) const CAPACITY: usize = 1024;
/// For growing sizes, the maximum number of bytes in a queue at once, as long as that is a few items.
const MOST_BYTES: usize = 16 << 20;
const FEW: usize = 2;
/// Capacity where memory is used again while it is in the processor's cache.
const AT_ONCE: usize = 64;
/// Items of this length pass through the whole queue often enough that the first use of its memory does not count.
const LONG: usize = 32 << 10;
const OFTEN: usize = 16;

const PRODUCERS: [u64; 5] = [1, 2, 4, 8, 16];
const SIZES: [usize; 8] = [8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 2 << 20, 16 << 20];

/// What is sent, and by how many processes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Case {
    bytes: usize,
    producers: u64,
    consumers: u64,
    /// Items per step; 1 is plain put and get.
    batch: usize,
    capacity: usize,
}

impl Case {
    fn new(bytes: usize, producers: u64, consumers: u64) -> Self {
        Case { bytes, producers, consumers, batch: 1, capacity: CAPACITY }
    }

    fn at_most(self, capacity: usize) -> Self {
        Case { capacity, ..self }
    }

    /// Limits the content of the queue to what a machine has memory for.
    fn limited(self) -> Self {
        self.at_most((MOST_BYTES / self.bytes).clamp(FEW, CAPACITY))
    }

    /// Returns the minimum number of items for a meaningful result.
    fn least(self) -> u64 {
        if self.bytes < LONG { 1 } else { (OFTEN * self.capacity) as u64 }
    }

    fn in_batches_of(self, batch: usize) -> Self {
        Case { batch, ..self }
    }

    /// Adds the queue and its baseline.
    fn sides<'a, T: Load>(self, point: Point<'a>, [ours, channel]: [&str; 2]) -> Point<'a> {
        self.channel::<T>(self.typed::<T>(point, ours), channel)
    }

    fn typed<'a, T: Load>(self, point: Point<'a>, name: &str) -> Point<'a> {
        point.ours(name, move |items| processes::processes::<T>(self, items.max(self.least())))
    }

    fn channel<'a, T: Load>(self, point: Point<'a>, name: &str) -> Point<'a> {
        let point = point.baseline(name, move |items| baseline::threads::<T>(self, items.max(self.least())));
        // Python puts and gets items one by one.
        if self.batch == 1 { point.python(self.for_python()) } else { point }
    }

    /// Adds a queue of bytes.
    fn bytes<'a>(self, point: Point<'a>, name: &str, way: Way) -> Point<'a> {
        point.ours(name, move |items| bytes::bytes(self, way, items.max(self.least())))
    }

    /// Adds the time of copying alone.
    fn copies<'a>(self, point: Point<'a>, name: &str) -> Point<'a> {
        point.baseline(name, move |items| Ok(baseline::copies(self.bytes, items)))
    }

    fn for_python(self) -> Value {
        let Case { bytes, producers, consumers, capacity, .. } = self;
        json!({ "task": "queue", "bytes": bytes, "producers": producers, "consumers": consumers, "capacity": capacity })
    }
}

const NAMES: [&str; 2] = ["Queue between processes", CHANNEL];
const COPIES: &str = "memcpy in and out";
const CHANNEL: &str = "sync_channel between threads";

/// Returns all workloads, in the order of the output.
pub(super) fn workloads<'a>() -> Vec<Workload<'a>> {
    let numbers = |name, about, case: Case| Workload::new(name, about, case.sides::<u64>(Point::only(), NAMES));
    let blocks = |name, about, case: Case| Workload::new(name, about, case.sides::<Block>(Point::only(), NAMES));
    let large = |name, about, case: Case| {
        Workload::new(name, about, case.copies(case.sides::<Block>(Point::only(), NAMES), COPIES))
    };
    let bytes = |name, about, case: Case, ways: &[(&str, Way)]| {
        let point = ways.iter().fold(Point::only(), |point, (side, way)| case.bytes(point, side, *way));
        Workload::new(name, about, case.copies(point, COPIES))
    };
    let (small, kib, kib_64) = (8, 1 << 10, 64 << 10);
    vec![
        numbers("queue", "u64 from one process to another, capacity 1024", Case::new(small, 1, 1)),
        numbers("queue-2to2", "u64 from two processes to two others", Case::new(small, 2, 2)),
        numbers("queue-batch", "u64 in batches of 256, one to one", Case::new(small, 1, 1).in_batches_of(256)),
        numbers("queue-batch-2to2", "u64 in batches of 256, two to two", Case::new(small, 2, 2).in_batches_of(256)),
        blocks("queue-1k", "1 KiB from one process to another", Case::new(kib, 1, 1)),
        blocks("queue-1k-2to2", "1 KiB from two processes to two others", Case::new(kib, 2, 2)),
        blocks("queue-1k-batch", "1 KiB in batches of 64, one to one", Case::new(kib, 1, 1).in_batches_of(64)),
        blocks("queue-1k-batch-2to2", "1 KiB in batches of 64, two to two", Case::new(kib, 2, 2).in_batches_of(64)),
        large("queue-64k", "64 KiB from one process to another", Case::new(kib_64, 1, 1)),
        large("queue-64k-2to2", "64 KiB from two processes to two others", Case::new(kib_64, 2, 2)),
        bytes(
            "queue-64k-bytes",
            "64 KiB as bytes from one process to another",
            Case::new(kib_64, 1, 1).at_most(AT_ONCE),
            &[("put_bytes, get_into", Way::Copied)],
        ),
        bytes(
            "queue-64k-in-place",
            "64 KiB written and read in the queue's memory",
            Case::new(kib_64, 1, 1).at_most(AT_ONCE),
            &[("the first and the last byte", Way::Ends), ("all bytes", Way::InPlace)],
        ),
        Workload::new(
            "queue-ping-pong",
            "round trip of a u64 through two queues, median",
            Point::only()
                .ours(NAMES[0], one_by_one::through_process)
                .baseline(CHANNEL, one_by_one::through_thread)
                .python(json!({ "task": "ping_pong", "capacity": CAPACITY })),
        ),
        Workload::new(
            "queue-alone",
            "put and get a u64 in one thread, uncontended",
            Point::only().ours("Queue", one_by_one::alone).baseline("sync_channel", one_by_one::alone_with_channel),
        ),
    ]
}

/// Returns the workloads in which the number of producers or the item size grows.
pub(super) fn growing<'a>() -> Vec<Workload<'a>> {
    let with = |producers| Case::new(8, producers, 1).sides::<u64>(Point::at(producers), ["Queue", "channel"]);
    let of = |bytes: usize| {
        let case = Case::new(bytes, 1, 1).limited();
        let point = case.typed::<Block>(Point::at(bytes as u64), "typed");
        let point = case.bytes(case.bytes(point, "bytes", Way::Copied), "in place", Way::InPlace);
        let point = case.channel::<Block>(point, "channel");
        case.copies(point, "memcpy")
    };
    let (producers, sizes) = (PRODUCERS.map(with).into(), SIZES.map(of).into());
    vec![
        Workload::growing("queue-producers", "u64 from several processes to one", "producers", producers),
        Workload::growing("queue-sizes", "items of different sizes from one process to another", "bytes", sizes),
    ]
}
