//! The process table in shared memory: one slot for each process that descends from the first one, to tell which are
//! alive.
//!
//! # State
//! A slot's `state` is one word, `parent's slot << 32 | generation << 2 | phase`: FREE -> CLAIMED (its parent clears
//! the other words) -> RESERVED (a child is being started, `pid` is filled in when it is) -> LIVE (the child tied the
//! slot's life word to a thread of its own that never ends). Releasing frees it; the next claim increments the
//! generation, so a stale [`ProcessSlot`] is permanently invalid.
//!
//! # Ordering
//! `state` is stored with `Release` after the slot's other words and loaded with `Acquire` before them.
//!
//! # Death
//! The kernel marks the life word of a process that ends in any way. For a child that was killed before it took its
//! slot, its parent's word and its own pidfd are checked. No process has to run for a death to become visible, and a
//! process that needs a slot takes over one of a dead process.
//!
//! # Standard
//! Robust futexes (`set_robust_list(2)`), see [`crate::sys::life`]. Python's counterpart is `active_children()`, which
//! knows only its own children and forgets them when their parent is killed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use crate::ipc::error::{Error, Result, check_not_forked, os};
use crate::ipc::process::wait_record::{PLACES, WaitState};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::clock::monotonic_ns;
use crate::sys::life::{self, Life};
use crate::sys::shm::{Mapping, shared_layout};
use crate::sys::task::InternalThread;
use crate::sys::{Errno, Pid, fd, number, signal};

/// Maximum number of processes in one process table at a time.
pub(crate) const SLOTS: usize = 4096;
const INDEX_BITS: u32 = 12;

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const RESERVED: u64 = 2;
const LIVE: u64 = 3;
const PHASE_BITS: u32 = 2;
/// Generations that fit next to the index in a [`ProcessSlot`]; 0 is never used, so that no slot's word is 0.
const GENERATIONS: u32 = 1 << (32 - INDEX_BITS);

shared_layout! {
    struct SlotWords {
        state: AtomicU64,
        life: AtomicU32,
        pid: AtomicU32,
    }
}

shared_layout! {
    struct ProcessTableState = b"proctabl" {
        slots: [SlotWords; SLOTS],
        waits: [WaitState; PLACES],
    }
}

/// A process of the process table, for as long as it lives: index and generation of its slot. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProcessSlot(u32);

impl ProcessSlot {
    fn new(index: usize, generation: u32) -> Self {
        ProcessSlot(generation << INDEX_BITS | index as u32)
    }

    fn index(self) -> usize {
        self.0 as usize % SLOTS
    }

    fn generation(self) -> u32 {
        self.0 >> INDEX_BITS
    }

    /// Returns its representation in shared memory, where 0 means none.
    pub(crate) fn to_word(self) -> u32 {
        self.0
    }

    /// Reads what [`ProcessSlot::to_word`] wrote.
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        (word != 0).then_some(ProcessSlot(word))
    }
}

/// The table, and this process's own slot in it.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    table: Mapping<ProcessTableState>,
    me: AtomicU32,
    life: OnceLock<Life>,
}

/// A process belongs to one process table, which it joins or creates once.
static OURS: Mutex<Option<&'static ProcessTable>> = Mutex::new(None);

impl ProcessTable {
    /// Returns the process table of this process. The first process creates it.
    pub(crate) fn ours() -> Result<&'static ProcessTable> {
        // Before the mutex: in a forked child, the thread that holds it may not exist.
        check_not_forked()?;
        let mut ours = OURS.lock().expect("nothing panics while it holds the lock");
        if let Some(table) = *ours {
            return Ok(table);
        }
        let table = Mapping::create(0, |_| Ok(())).map_err(os("make the table of processes"))?;
        let table = ProcessTable::leaked(table);
        let me = ProcessSlot::new(0, 1);
        table.started(me, Pid::this());
        table.live(None).map_err(os("start the thread that stands for this process"))?;
        table.take(me);
        *ours = Some(table);
        Ok(table)
    }

    /// Joins the parent's process table, in a worker: takes the slot that the parent reserved, and ends this process
    /// when the parent ends.
    pub(crate) fn join(memfd: OwnedFd, slot: u32, parent: OwnedFd) -> Result<()> {
        let table = Mapping::open(memfd).map_err(os("open the table of processes"))?;
        let me = ProcessSlot::from_word(slot)
            .filter(|slot| slot.index() < SLOTS)
            .ok_or(Error::Damaged { object: "boot record" })?;
        let table = ProcessTable::leaked(table);
        table.live(Some(parent)).map_err(os("start the thread that stands for this worker"))?;
        table.take_reserved(me);
        *OURS.lock().expect("nothing panics while it holds the lock") = Some(table);
        Ok(())
    }

    fn leaked(table: Mapping<ProcessTableState>) -> &'static Self {
        Box::leak(Box::new(ProcessTable { table, me: AtomicU32::new(0), life: OnceLock::new() }))
    }

    /// Takes a slot that the parent reserved for this process. A worker that is kept after its role has ended
    /// [ends its slot](Self::end_slot) and takes another for its next role: to all others it is another process then,
    /// whose objects are numbered from the beginning. No handle of the former role may be left.
    pub(crate) fn take_reserved(&'static self, slot: ProcessSlot) {
        number::count_as(slot.to_word());
        self.take(slot);
    }

    /// Ends this process's slot, as the end of the process would.
    pub(crate) fn end_slot(&self) {
        life::end(&self.table.slots[self.me().index()].life);
    }

    fn take(&'static self, slot: ProcessSlot) {
        let place = &self.table.slots[slot.index()];
        self.life.get().expect("the thread was started first").own(&place.life);
        let parent = place.state.load(Relaxed) >> 32 << 32;
        place.state.store(parent | u64::from(slot.generation()) << PHASE_BITS | LIVE, Release);
        self.me.store(slot.to_word(), Relaxed);
    }

    /// Returns this process's slot.
    ///
    /// # Panics
    /// In a forked child, which has none. Operations that can return an error check before ([`check_not_forked`]);
    /// drops do nothing there.
    #[inline]
    pub(crate) fn me(&self) -> ProcessSlot {
        check_not_forked().unwrap_or_else(|error| panic!("{error}"));
        ProcessSlot(self.me.load(Relaxed))
    }

    /// Returns the slot of the process that started this one, if that is in the table.
    pub(crate) fn parent(&self) -> Option<ProcessSlot> {
        SlotState::of(self.table.slots[self.me().index()].state.load(Acquire)).parent
    }

    /// Returns the descriptor to hand to a child.
    pub(crate) fn memfd(&self) -> &Arc<OwnedFd> {
        self.table.memfd()
    }

    /// Returns the process id of the process in `slot`; `None` if the slot was reused, or its process is about to
    /// start.
    pub(crate) fn pid_of(&self, slot: ProcessSlot) -> Option<u32> {
        let place = &self.table.slots[slot.index()];
        let pid = place.pid.load(Acquire);
        (SlotState::of(place.state.load(Acquire)).generation == slot.generation() && pid != 0).then_some(pid)
    }

    /// Returns the table of threads that wait for locks.
    pub(crate) fn waits(&self) -> &[WaitState; PLACES] {
        &self.table.waits
    }

    /// Reserves a slot for a child that is about to be started.
    pub(crate) fn reserve(&self) -> Result<ProcessSlot> {
        // Those of dead processes last: until a dead process is waited for, its slot shows the death.
        let slots = || self.table.slots.iter().enumerate();
        for (is_last_resort, (index, place)) in
            slots().map(|slot| (false, slot)).chain(slots().map(|slot| (true, slot)))
        {
            let now = place.state.load(Acquire);
            let last = SlotState::of(now);
            if last.phase != FREE && (!is_last_resort || self.is_alive(ProcessSlot::new(index, last.generation))) {
                continue;
            }
            let slot = ProcessSlot::new(index, last.generation % (GENERATIONS - 1) + 1);
            if place.state.compare_exchange(now, self.slot_state(slot, CLAIMED), AcqRel, Relaxed).is_ok() {
                place.life.store(0, Relaxed);
                place.pid.store(0, Relaxed);
                place.state.store(self.slot_state(slot, RESERVED), Release);
                return Ok(slot);
            }
        }
        Err(Error::ProcessTableFull { limit: SLOTS })
    }

    /// Records the process id of the child that a reserved slot is for.
    pub(crate) fn started(&self, slot: ProcessSlot, pid: Pid) {
        self.table.slots[slot.index()].pid.store(pid.as_raw() as u32, Release);
    }

    /// Frees the slot of a child that is gone (or was never started).
    pub(crate) fn release_slot(&self, slot: ProcessSlot) {
        let place = &self.table.slots[slot.index()];
        let now = place.state.load(Acquire);
        if SlotState::of(now).generation == slot.generation() {
            // Fails if another process took over the dead slot meanwhile: then it is theirs.
            let _ = place.state.compare_exchange(now, self.slot_state(slot, FREE), AcqRel, Relaxed);
        }
    }

    /// Returns whether the process in `slot` is alive. A child counts from the moment its slot was reserved.
    #[inline]
    pub(crate) fn is_alive(&self, slot: ProcessSlot) -> bool {
        let place = &self.table.slots[slot.index()];
        let lives = slot.generation() << PHASE_BITS | LIVE as u32;
        place.state.load(Acquire) as u32 == lives && life::is_alive(&place.life) == Some(true) || self.may_live(slot)
    }

    /// As [`is_alive`](Self::is_alive), where that is less clear.
    #[cold]
    fn may_live(&self, slot: ProcessSlot) -> bool {
        let place = &self.table.slots[slot.index()];
        let slot_state = SlotState::of(place.state.load(Acquire));
        if slot_state.generation != slot.generation() {
            return false;
        }
        let parent_lives = || slot_state.parent.is_some_and(|parent| parent != slot && self.is_alive(parent));
        match slot_state.phase {
            FREE => false,
            CLAIMED => parent_lives(),
            // The child of a dead parent ends before its role begins, so the parent's death decides.
            _ => life::is_alive(&place.life).unwrap_or_else(|| parent_lives() && may_still_start(place)),
        }
    }

    /// Returns whether `word`, from [`ProcessSlot::to_word`], names a living process.
    pub(crate) fn is_living(&self, word: u32) -> bool {
        ProcessSlot::from_word(word).is_some_and(|slot| self.is_alive(slot))
    }

    /// Returns whether the parent of the process in `slot` has waited for its end and so knows that the process is
    /// gone.
    pub(crate) fn was_waited_for(&self, slot: ProcessSlot) -> bool {
        let slot_state = SlotState::of(self.table.slots[slot.index()].state.load(Acquire));
        slot_state.generation != slot.generation() || slot_state.phase == FREE
    }

    fn slot_state(&self, slot: ProcessSlot, phase: u64) -> u64 {
        u64::from(self.me().to_word()) << 32 | u64::from(slot.generation()) << PHASE_BITS | phase
    }

    /// Starts the thread whose end is this process's end: it owns the life word, and watches the parent.
    fn live(&'static self, parent: Option<OwnedFd>) -> io::Result<()> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let body = move || {
            let _internal = InternalThread::count();
            let life = Life::of_this_thread(&self.table.slots);
            let failed = life.is_err();
            // The starter waits for this message, so the receiver exists.
            let _ = tell.send(life);
            if failed {
                return;
            }
            loop {
                match &parent {
                    // Ends this process as SIGKILL would. If this fails, nothing else can be done.
                    Some(parent) if fd::wait_readable(parent, None).unwrap_or(false) => _ = signal::kill_self(),
                    Some(_) => {}
                    None => thread::park(),
                }
            }
        };
        thread::Builder::new().name("life".into()).stack_size(64 * 1024).spawn(body)?;
        let life = told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))?;
        self.life.set(life).expect("started once");
        Ok(())
    }
}

/// The decoded state word of a slot.
struct SlotState {
    parent: Option<ProcessSlot>,
    generation: u32,
    phase: u64,
}

impl SlotState {
    fn of(word: u64) -> Self {
        SlotState {
            parent: ProcessSlot::from_word((word >> 32) as u32),
            generation: word as u32 >> PHASE_BITS,
            phase: word & ((1 << PHASE_BITS) - 1),
        }
    }
}

/// Returns whether a child of a living parent that has not tied its life word yet may still do so.
fn may_still_start(place: &SlotWords) -> bool {
    let pid = place.pid.load(Acquire);
    if pid == 0 {
        return true;
    }
    // The id is the child's until its parent waits for it, and the parent then releases the slot.
    match fd::pidfd_open(Pid::from_raw(pid as i32)) {
        Ok(pidfd) => !fd::wait_readable(&pidfd, Some(monotonic_ns())).unwrap_or(false),
        // Running out of descriptors says nothing about the child.
        Err(error) => error.raw_os_error() != Some(Errno::ESRCH as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::watchdog;
    use crate::queue::{PipeQueue, PutError};
    use crate::sync::OwnedSemaphore;
    use crate::sys::fork::in_fork;
    use crate::{Barrier, Condition, JoinableQueue, Lock, Process, Queue, RLock, Role, RoleResult};

    #[test]
    fn this_process_is_alive() {
        let table = ProcessTable::ours().expect("a table");
        assert!(table.is_alive(table.me()));
    }

    #[test]
    fn reserved_slot_is_alive_until_released() {
        let table = ProcessTable::ours().expect("a table");
        let slot = table.reserve().expect("a slot");
        assert!(table.is_alive(slot), "its parent, this process, is about to start it");
        table.release_slot(slot);
        assert!(!table.is_alive(slot));
    }

    #[test]
    fn released_slot_stays_dead_when_it_is_taken_again() {
        let table = ProcessTable::ours().expect("a table");
        let old = table.reserve().expect("a slot");
        table.release_slot(old);
        let slots: Vec<ProcessSlot> = std::iter::repeat_with(|| table.reserve().expect("a slot")).take(64).collect();
        assert!(!table.is_alive(old));
        slots.into_iter().for_each(|slot| table.release_slot(slot));
    }

    #[test]
    fn process_takes_another_slot_with_the_same_thread() {
        let table = ProcessTable::leaked(Mapping::create(0, |_| Ok(())).expect("memory"));
        table.live(None).expect("a thread");
        let first = ProcessSlot::new(0, 1);
        table.started(first, Pid::this());
        table.take(first);
        let second = table.reserve().expect("a slot");
        table.started(second, Pid::this());
        assert!(table.is_alive(first) && table.is_alive(second));
        table.end_slot();
        assert!(!table.is_alive(first) && !table.was_waited_for(first), "it has ended, and nobody waited for it yet");
        table.take(second);
        assert_eq!(table.me(), second);
        assert!(table.is_alive(second) && !table.is_alive(first));
        table.release_slot(first);
        let third = table.reserve().expect("the first slot, anew");
        assert_eq!((third.index(), table.is_alive(first)), (first.index(), false));
        assert!(table.is_alive(second), "its owner goes on");
    }

    /// Runs until its standard input ends, which never happens; enters no role.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Sleeps;

    impl Role for Sleeps {
        const NAME: &'static str = "test.sleeps";
        fn run(self) -> RoleResult {
            Ok(())
        }
    }

    fn is_refused<T>(result: Result<T>) -> bool {
        matches!(result, Err(Error::Forked { origin }) if origin == std::os::unix::process::parent_id())
    }

    #[test]
    fn forked_child_is_refused_by_every_handle_that_knows_its_process() {
        let _watchdog = watchdog();
        let (lock, rlock, condition) = (Lock::new(), RLock::new(), Condition::new());
        let (lock, rlock, condition) =
            (lock.expect("a lock"), rlock.expect("an rlock"), condition.expect("a condition"));
        let (queue, pipe_queue) =
            (Queue::<u32>::new().expect("a queue"), PipeQueue::<u32>::bounded(4).expect("a queue"));
        let producer = queue.producer();
        let tasks = JoinableQueue::<u32>::new().expect("a queue");
        tasks.put(1).expect("room");
        let barrier = Barrier::new(1).expect("a barrier");
        let guard = lock.acquire().expect("it is free");
        let mut process =
            Process::builder().program("/bin/sleep", &["600"]).spawn("sleeps", Sleeps).expect("it starts");
        assert!(in_fork(|| {
            [
                is_refused(ProcessTable::ours()),
                is_refused(lock.try_acquire()),
                is_refused(lock.acquire()),
                is_refused(rlock.acquire()),
                is_refused(rlock.try_acquire()),
                is_refused(condition.notify(&guard, 1)),
                is_refused(queue.try_get()),
                matches!(producer.try_put(1), Err(PutError::Failed(_, Error::Forked { .. }))),
                matches!(queue.try_put(1), Err(PutError::Failed(_, Error::Forked { .. }))),
                matches!(pipe_queue.try_put(1), Err(PutError::Failed(_, Error::Forked { .. }))),
                is_refused(pipe_queue.try_get()),
                is_refused(tasks.get()),
                is_refused(tasks.join()),
                is_refused(barrier.wait()),
                is_refused(process.kill()),
                is_refused(process.join_timeout(std::time::Duration::ZERO).map(|_| ())),
                Lock::new().is_err(),
            ]
            .into_iter()
            .all(|refused| refused)
        }));
        assert!(process.is_alive());
    }

    #[test]
    fn drops_in_a_forked_child_change_nothing() {
        let _watchdog = watchdog();
        let lock = Lock::new().expect("a lock");
        let semaphore = OwnedSemaphore::new(1).expect("a semaphore");
        let (queue, tasks) = (Queue::<u32>::new().expect("a queue"), JoinableQueue::<u32>::new().expect("a queue"));
        let consumer = queue.consumer();
        let producer = queue.producer();
        drop(queue);
        let bytes = Queue::<[u8]>::builder().byte_limit(8192).build().expect("a queue");
        let reserved = [(); 2].map(|()| bytes.reserve(4000).expect("room"));
        tasks.put(1).expect("room");
        let (lease, guard, permit) = (tasks.get().expect("a task"), lock.acquire().expect("free"), semaphore.acquire());
        let process = Process::builder().program("/bin/sleep", &["600"]).spawn("sleeps", Sleeps).expect("it starts");
        let mut held = Some((lease, guard, permit, producer, process, reserved));
        assert!(in_fork(|| {
            let (lease, guard, permit, producer, process, [dropped, committed]) = held.take().expect("a copy");
            drop((lease, guard, permit, producer, process, dropped));
            matches!(committed.commit(), Err(Error::Forked { .. }))
        }));
        let (lease, guard, permit, producer, process, reserved) = held.expect("the child had a copy");
        assert_eq!(lock.holder_pid(), Some(std::process::id()));
        assert!(semaphore.try_acquire().is_none(), "this process still holds the permit");
        assert!(process.is_alive());
        assert!(bytes.try_reserve(1000).expect("no error").is_none(), "the memory is still this process's");
        drop(reserved);
        producer.put(2).expect("somebody gets");
        assert_eq!(consumer.get().expect("an item"), 2);
        assert!(lease.task_done().is_ok(), "the task is still this process's");
        drop((guard, permit));
    }
}
