//! The turn of each worker of an exploration, in memory that it shares with the explorer.
//!
//! # State
//! One word per worker. The worker stores AT_POINT once it has written its next operation, and whether that would
//! block. The explorer then stores LOOK (check again, then AT_POINT) or RUNNING (perform the operation, or let it time
//! out). The worker stores ENDED at the end of its role. At most one process runs at a time: a worker or the explorer.
//!
//! # Ordering
//! Every store to a word is a release and every load an acquire: the process that has the turn sees all earlier writes.
//!
//! # Death
//! The explorer watches the process of the worker that has the turn. A worker that dies leaves its word unchanged.

use std::os::fd::AsFd;

use crate::ipc::deadline;
use crate::ipc::error::{Result, os};
use crate::ipc::operation::{ObjectId, Point};
use crate::sys::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::clock::monotonic_ns;
use crate::sys::shm::{Mapping, shared_layout};
use crate::sys::{fd, futex};

use super::schedule::WORKERS;
use super::search::Step;

const RUNNING: u32 = 0;
const AT_POINT: u32 = 1;
const LOOK: u32 = 2;
const ENDED: u32 = 3;

/// The deadline of an operation without one.
const NEVER: u64 = u64::MAX;

const NAME_WORDS: usize = 5;

shared_layout! {
    struct TurnWords {
        state: AtomicU32,
        can_go: AtomicU32,
        reads_only: AtomicU32,
        /// 1 if the operation that begins now times out.
        times_out: AtomicU32,
        /// The virtual time at which the operation times out.
        deadline_ns: AtomicU64,
        /// The virtual time at which this turn began.
        now_ns: AtomicU64,
        object: AtomicU64,
        lock: AtomicU64,
        operation: [AtomicU64; NAME_WORDS],
    }
}

shared_layout! {
    pub(crate) struct Control = b"explore " {
        workers: [TurnWords; WORKERS],
    }
}

/// Whether an operation could go on now, as its worker has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CanGo {
    No,
    Yes,
    /// It never blocks.
    Always,
}

impl CanGo {
    pub(crate) fn now(self) -> bool {
        self != CanGo::No
    }

    fn to_word(self) -> u32 {
        self as u32
    }

    fn from_word(word: u32) -> Self {
        [CanGo::No, CanGo::Yes].into_iter().find(|can_go| can_go.to_word() == word).unwrap_or(CanGo::Always)
    }
}

/// The state of a worker between its turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// It has the turn.
    Running,
    Point {
        step: Step,
        can_go: CanGo,
        deadline_ns: Option<u64>,
    },
    Ended,
    /// Its process died.
    Dead,
}

/// The time in which a worker that has the turn must reach its next point.
const TURN_TIMEOUT_NS: u64 = 5_000_000_000;
/// The interval at which the explorer checks that the worker is alive.
const CHECK_NS: u64 = 100_000_000;

/// Creates the shared memory.
pub(crate) fn create() -> Result<Mapping<Control>> {
    Mapping::create(0, |_| Ok(())).map_err(os("make the memory of an exploration"))
}

/// The turn of one worker.
#[derive(Clone)]
pub(crate) struct WorkerTurn {
    control: Mapping<Control>,
    index: usize,
}

impl WorkerTurn {
    pub(crate) fn new(control: &Mapping<Control>, index: usize) -> Self {
        WorkerTurn { control: control.clone(), index }
    }

    fn words(&self) -> &TurnWords {
        &self.control.workers[self.index]
    }

    // The worker's side.

    /// Publishes this worker's next operation, and blocks until it is this worker's turn.
    pub(crate) fn pass(&self, point: &Point<'_>) {
        let words = self.words();
        let mut name = [0; NAME_WORDS * 8];
        let length = point.operation.name.len().min(name.len());
        name[..length].copy_from_slice(&point.operation.name.as_bytes()[..length]);
        for (word, bytes) in words.operation.iter().zip(name.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Relaxed);
        }
        words.object.store(point.object.to_word(), Relaxed);
        words.lock.store(point.lock.map_or(0, ObjectId::to_word), Relaxed);
        words.reads_only.store(point.operation.reads_only.into(), Relaxed);
        words.deadline_ns.store(point.deadline.on_own_clock().unwrap_or(NEVER), Relaxed);
        loop {
            let can_go = match (point.never_blocks, point.can_go()) {
                (true, _) => CanGo::Always,
                (false, true) => CanGo::Yes,
                (false, false) => CanGo::No,
            };
            words.can_go.store(can_go.to_word(), Relaxed);
            self.hand_over(AT_POINT);
            loop {
                match words.state.load(Acquire) {
                    RUNNING => return self.advance_clock(),
                    LOOK => break,
                    other => _ = futex::wait(&words.state, other, None),
                }
            }
        }
    }

    /// Sets this thread's clock at the beginning of a turn.
    pub(crate) fn advance_clock(&self) {
        deadline::advance_virtual(self.words().now_ns.load(Relaxed), self.words().times_out.load(Relaxed) != 0);
    }

    /// Marks this worker's role as ended.
    pub(crate) fn end(&self) {
        self.hand_over(ENDED);
    }

    fn hand_over(&self, state: u32) {
        self.words().state.store(state, Release);
        futex::wake(&self.words().state, 1);
    }

    // The explorer's side.

    /// Gives the turn to a worker that is about to start: it runs to its first point.
    pub(crate) fn reset(&self, now_ns: u64) {
        self.words().now_ns.store(now_ns, Relaxed);
        self.words().times_out.store(0, Relaxed);
        self.words().state.store(RUNNING, Release);
    }

    /// Gives the worker the turn at this virtual time. Its operation is performed, or it `times_out`.
    pub(crate) fn give(&self, now_ns: u64, times_out: bool) {
        self.words().now_ns.store(now_ns, Relaxed);
        self.words().times_out.store(times_out.into(), Relaxed);
        self.hand_over(RUNNING);
    }

    /// Lets the worker check again whether its operation would block.
    pub(crate) fn ask_to_look(&self) {
        self.hand_over(LOOK);
    }

    /// Blocks until the worker has given the turn back. Returns `None` if it reaches no point in time. `pidfd` refers to
    /// its process.
    pub(crate) fn wait(&self, pidfd: &impl AsFd) -> Option<At> {
        let words = self.words();
        let begun_ns = monotonic_ns();
        loop {
            match words.state.load(Acquire) {
                AT_POINT => return Some(self.at_point()),
                ENDED => return Some(At::Ended),
                other => {
                    let now_ns = monotonic_ns();
                    if futex::wait(&words.state, other, Some(now_ns + CHECK_NS)) {
                        continue;
                    }
                    if fd::wait_readable(pidfd, Some(now_ns)).unwrap_or(true) {
                        return Some(At::Dead);
                    }
                    if now_ns - begun_ns > TURN_TIMEOUT_NS {
                        return None;
                    }
                }
            }
        }
    }

    fn at_point(&self) -> At {
        let words = self.words();
        let name: Vec<u8> = words.operation.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let lock = words.lock.load(Relaxed);
        let step = Step {
            operation: String::from_utf8_lossy(&name[..length]).into_owned(),
            object: ObjectId::from_word(words.object.load(Relaxed)),
            lock: (lock != 0).then(|| ObjectId::from_word(lock)),
            reads_only: words.reads_only.load(Relaxed) != 0,
        };
        let deadline_ns = Some(words.deadline_ns.load(Relaxed)).filter(|at_ns| *at_ns != NEVER);
        At::Point { step, can_go: CanGo::from_word(words.can_go.load(Relaxed)), deadline_ns }
    }
}
