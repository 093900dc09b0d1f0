//! A worker is single-stepped into an operation and killed there, once for each instruction.
//!
//! Random kills do not find the places where one instruction makes the difference; this does, for all of them. A system
//! call counts as one step. After each kill, a sleeper on the queue must be awake if and only if the operation
//! happened, before the queue is used again; then everything that was put and not removed must come out, once, and the
//! queue must still work.
//!
//! # Standard
//! `ptrace(2)`. Where the kernel does not allow it, the tests print a message and pass.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ipc_demo::process::Fd;
use ipc_demo::queue::JoinableConsumer;
use ipc_demo::{Consumer, Error, JoinableQueue, Process, Producer, Queue, Role, RoleResult};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_sleep_of, meeting_point, skip, worker};

/// The victim's operation between its two signals to the tracer.
#[derive(Serialize, Deserialize)]
pub(crate) enum Operation {
    Put(Producer<u32>, Vec<u32>),
    Get(Consumer<u32>),
    GetMany(Consumer<u32>),
    LeaseAndFinish(JoinableConsumer<u32>),
    LeaseAndGiveBack(JoinableConsumer<u32>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Victim {
    operation: Operation,
    here: Fd,
    go: Fd,
}

impl Role for Victim {
    const NAME: &'static str = "test.victim";
    fn run(self) -> RoleResult {
        let (here, go) = (self.here, self.go);
        let between_signals = |operation: &dyn Fn() -> RoleResult| {
            let mut told = std::fs::File::from(here.as_fd().try_clone_to_owned()?);
            told.write_all(&gettid().as_raw().to_le_bytes())?;
            crate::harness::await_word(&go);
            raise(Signal::SIGTRAP)?;
            operation()?;
            raise(Signal::SIGTRAP)?;
            Ok(())
        };
        match self.operation {
            Operation::Put(queue, items) => between_signals(&|| match items[..] {
                [item] => Ok(queue.put(item)?),
                _ => Ok(queue.put_many(&items)?),
            }),
            Operation::Get(queue) => between_signals(&|| Ok(queue.get().map(drop)?)),
            Operation::GetMany(queue) => between_signals(&|| Ok(queue.get_many(2).map(drop)?)),
            Operation::LeaseAndFinish(queue) => between_signals(&|| Ok(queue.get()?.task_done().map(drop)?)),
            Operation::LeaseAndGiveBack(queue) => between_signals(&|| Ok(queue.get()?.nack()?)),
        }
    }
}

/// A traced victim that is stopped at the first instruction of its operation.
struct Traced {
    process: Process,
    thread: Pid,
    _go: Fd,
}

/// Returns `None` if this process may not trace.
fn trace(operation: Operation) -> Option<Traced> {
    let ((here, says), (until, go)) = (std::io::pipe().expect("a pipe"), meeting_point());
    let process = worker("victim", Victim { operation, here: Fd::new(says), go: until.into() });
    let mut told = [0; 4];
    std::io::Read::read_exact(&mut &here, &mut told).expect("the victim is there");
    let thread = Pid::from_raw(i32::from_le_bytes(told));
    match ptrace::seize(thread, ptrace::Options::PTRACE_O_EXITKILL) {
        Ok(()) => {}
        Err(Errno::EPERM | Errno::ENOSYS) => {
            process.kill().expect("a signal");
            return None;
        }
        Err(errno) => panic!("cannot trace: {errno}"),
    }
    arrive(&go, b'g');
    let mut traced = Traced { process, thread, _go: go };
    assert!(traced.is_at_signal(), "the operation begins with a signal");
    Some(traced)
}

impl Traced {
    /// Waits until the victim stops. Returns whether its own signal stopped it, rather than a step.
    fn is_at_signal(&mut self) -> bool {
        match waitpid(self.thread, Some(WaitPidFlag::__WALL)).expect("the victim stops") {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                ptrace::getsiginfo(self.thread).expect("it stopped by a signal").si_code == libc::SI_TKILL
            }
            status => panic!("the victim did not stop: {status:?}"),
        }
    }

    /// Steps `count` instructions into the operation. Returns `false` if it ended before.
    fn step(&mut self, count: usize) -> bool {
        for _ in 0..count {
            ptrace::step(self.thread, None).expect("it is stopped");
            if self.is_at_signal() {
                return false;
            }
        }
        true
    }

    fn kill(mut self) {
        self.process.kill().expect("a signal");
        if self.thread.as_raw() as u32 != self.process.pid() {
            // The process of a dead thread ends only when its tracer has been notified.
            while !matches!(
                waitpid(self.thread, Some(WaitPidFlag::__WALL)).expect("the victim dies"),
                WaitStatus::Signaled(..) | WaitStatus::Exited(..)
            ) {}
        }
        self.process.join().expect("it ends");
    }
}

/// The number of instructions before and after the deciding one that are all tried.
const AROUND: usize = 20;

/// Asserts that one instruction decides.
///
/// A sleeper that a busy machine kept from its processor for [`AWAKE`] looks as if it had not been woken. That is
/// chance, and does not happen three times; an instruction that really loses a wake loses it each time.
fn kill_points(stride: usize, mut attempt: impl FnMut(usize) -> Option<Outcome>) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Some(outcomes) = outcomes(stride, &mut attempt) else {
            return skip("ptrace", "this process may not trace its children");
        };
        let flips = outcomes.values().zip(outcomes.values().skip(1)).filter(|(one, next)| one != next).count();
        let _ = writeln!(std::io::stderr(), "{} kill points, {flips} flip", outcomes.len());
        if flips == 1 && outcomes.first_key_value() == Some((&0, &Outcome::NeverHappened)) {
            return;
        }
        seen.push(outcomes);
    }
    panic!("not one instruction decides: {seen:?}");
}

/// Kills at every `stride`th instruction, and at every one around the deciding one. Returns `None` if tracing is not
/// allowed.
fn outcomes(stride: usize, attempt: &mut impl FnMut(usize) -> Option<Outcome>) -> Option<BTreeMap<usize, Outcome>> {
    let mut outcomes = BTreeMap::new();
    let may_trace = (0..).step_by(stride).try_for_each(|point| match attempt(point) {
        Some(Outcome::Over) => ControlFlow::Break(true),
        Some(outcome) => {
            outcomes.insert(point, outcome);
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(false),
    });
    if may_trace == ControlFlow::Break(false) {
        return None;
    }
    let mut at = |point: usize, outcomes: &mut BTreeMap<usize, Outcome>| match outcomes.entry(point) {
        Entry::Occupied(known) => *known.get(),
        Entry::Vacant(unknown) => *unknown.insert(attempt(point).expect("it was allowed before")),
    };
    // The deciding instruction lies between two samples, or after the last.
    let last_never = outcomes.iter().rfind(|(_, outcome)| **outcome == Outcome::NeverHappened);
    let mut never = *last_never.expect("before the first instruction nothing happened").0;
    let mut done = never + stride;
    while done - never > 1 {
        let middle = never.midpoint(done);
        let is_done = at(middle, &mut outcomes) != Outcome::NeverHappened;
        *(if is_done { &mut done } else { &mut never }) = middle;
    }
    for point in done.saturating_sub(AROUND)..done + AROUND {
        at(point, &mut outcomes);
    }
    outcomes.retain(|_, outcome| *outcome != Outcome::Over);
    Some(outcomes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Happened,
    NeverHappened,
    Over,
}

/// Well below the 100 ms after which a sleeper checks on its own.
const AWAKE: Duration = Duration::from_millis(60);

/// Runs `blocked` in a thread, lets it fall asleep, runs `meanwhile`, and returns whether `blocked` then ended on its
/// own. If it did not, `relieve` ends it.
fn with_a_sleeper<R: Send, M>(
    blocked: impl FnOnce() -> R + Send,
    meanwhile: impl FnOnce() -> M,
    relieve: impl FnOnce(),
) -> (bool, R, M) {
    thread::scope(|scope| {
        let ((tell_tid, tid), (done, is_done)) = (mpsc::channel(), mpsc::channel());
        scope.spawn(move || {
            tell_tid.send(gettid()).expect("the test listens");
            done.send(blocked()).expect("the test listens");
        });
        await_sleep_of(tid.recv().expect("it starts"));
        let outcome = meanwhile();
        match is_done.recv_timeout(AWAKE) {
            Ok(result) => (true, result, outcome),
            Err(_) => {
                relieve();
                (false, is_done.recv().expect("it ends"), outcome)
            }
        }
    })
}

/// Defines a test of sampled instructions for each operation, and one test of every instruction of all.
macro_rules! operations {
    ($($operation:ident)*) => {
        mod sampled {
            $(#[test]
            fn $operation() {
                let _watchdog = crate::harness::watchdog(concat!("crash_points::", stringify!($operation)));
                super::$operation(61);
            })*
        }

        /// cargo test --release --test it every_instruction -- --ignored --nocapture
        #[test]
        #[ignore = "takes minutes"]
        fn every_instruction() {
            $(let _ = writeln!(std::io::stderr(), stringify!($operation));
            $operation(1);)*
        }
    };
}
operations!(put_alone put_many_wakes_a_sleeper_or_never_happened get_wakes_a_sleeper_or_never_happened
    get_many_takes_all_or_nothing lease_is_finished_or_comes_back lease_that_is_given_back_is_never_lost
    taking_over_a_dead_mans_lease_can_be_killed_too);

fn still_works(queue: &Queue<u32>) {
    for number in 900..903 {
        queue.try_put(number).expect("room");
        assert_eq!(queue.try_get().expect("no error"), Some(number));
    }
    assert!(queue.is_empty());
}

fn put_alone(stride: usize) {
    kill_points(stride, |point| {
        let queue = Queue::bounded(4).expect("a queue");
        queue.put(1).expect("room");
        let producer = queue.producer();
        let mut victim = trace(Operation::Put(producer.clone(), vec![7]))?;
        let within = victim.step(point);
        victim.kill();
        let content: Vec<u32> = queue.drain().expect("no error").collect::<Result<_, _>>().expect("well-formed");
        still_works(&queue);
        assert!(within || content == [1, 7], "{content:?}");
        Some(match &content[..] {
            _ if !within => Outcome::Over,
            [1] => Outcome::NeverHappened,
            [1, 7] => Outcome::Happened,
            _ => panic!("at {point}: {content:?}"),
        })
    });
}

fn put_many_wakes_a_sleeper_or_never_happened(stride: usize) {
    kill_points(stride, |point| {
        let queue = Queue::<u32>::bounded(4).expect("a queue");
        let producer = queue.producer();
        let consumer = queue.consumer();
        let (awake, got, within) = with_a_sleeper(
            || consumer.get().expect("an item"),
            || {
                let mut victim = trace(Operation::Put(producer.clone(), vec![7, 8]))?;
                let within = victim.step(point);
                victim.kill();
                Some(within)
            },
            || {
                assert!(queue.is_empty(), "at {point}: the items are there and the sleeper sleeps");
                queue.put(9).expect("room");
            },
        );
        let within = within?;
        let rest: Vec<u32> = queue.drain().expect("no error").collect::<Result<_, _>>().expect("well-formed");
        still_works(&queue);
        Some(match (awake, got, &rest[..]) {
            (true, 7, [8]) if !within => Outcome::Over,
            (true, 7, [8]) => Outcome::Happened,
            (false, 9, []) if within => Outcome::NeverHappened,
            other => panic!("at {point}: {other:?}"),
        })
    });
}

fn get_wakes_a_sleeper_or_never_happened(stride: usize) {
    kill_points(stride, |point| {
        let queue = Queue::<u32>::bounded(1).expect("a queue");
        queue.put(1).expect("room");
        let consumer = queue.consumer();
        let producer = queue.producer();
        let (awake, (), within) = with_a_sleeper(
            || producer.put(2).expect("room in the end"),
            || {
                let mut victim = trace(Operation::Get(consumer.clone()))?;
                let within = victim.step(point);
                victim.kill();
                Some(within)
            },
            || assert_eq!(queue.get().expect("an item"), 1, "at {point}: there is room and the sleeper sleeps"),
        );
        let within = within?;
        let rest: Vec<u32> = queue.drain().expect("no error").collect::<Result<_, _>>().expect("well-formed");
        assert_eq!(rest, [2]);
        still_works(&queue);
        Some(match awake {
            true if !within => Outcome::Over,
            true => Outcome::Happened,
            false => Outcome::NeverHappened,
        })
    });
}

fn get_many_takes_all_or_nothing(stride: usize) {
    kill_points(stride, |point| {
        let queue = Queue::bounded(4).expect("a queue");
        queue.put_many(&[1, 2, 3]).expect("room");
        let consumer = queue.consumer();
        let mut victim = trace(Operation::GetMany(consumer.clone()))?;
        let within = victim.step(point);
        victim.kill();
        let content: Vec<u32> = queue.drain().expect("no error").collect::<Result<_, _>>().expect("well-formed");
        still_works(&queue);
        Some(match &content[..] {
            [3] if !within => Outcome::Over,
            [3] => Outcome::Happened,
            [1, 2, 3] if within => Outcome::NeverHappened,
            _ => panic!("at {point}: {content:?}"),
        })
    });
}

/// Returns the remaining numbers, each with its number of returns; every number comes once, and then `join` returns.
fn finish_all(queue: &JoinableQueue<u32>) -> Vec<(u32, u32)> {
    let mut left = Vec::new();
    while let Some(lease) = queue.try_get().expect("no error") {
        left.push((*lease, lease.redelivered()));
        lease.task_done().expect("it is ours");
    }
    assert!(queue.join_timeout(Duration::ZERO).expect("no error"), "nothing is left");
    queue.put(900).expect("room");
    let lease = queue.try_get().expect("no error").expect("an item");
    assert_eq!(lease.task_done().expect("it is ours"), 900);
    left.sort_unstable();
    left
}

fn lease_is_finished_or_comes_back(stride: usize) {
    kill_points(stride, |point| {
        let queue = JoinableQueue::bounded(4).expect("a queue");
        queue.put_many(&[1, 2]).expect("room");
        let consumer = queue.consumer();
        let mut victim = trace(Operation::LeaseAndFinish(consumer.clone()))?;
        let within = victim.step(point);
        victim.kill();
        let left = finish_all(&queue);
        Some(match &left[..] {
            [(2, 0)] if !within => Outcome::Over,
            [(2, 0)] => Outcome::Happened,
            // Still in the ring, or leased to a dead process.
            [(1, 0 | 1), (2, 0)] if within => Outcome::NeverHappened,
            _ => panic!("at {point}: {left:?}"),
        })
    });
}

fn lease_that_is_given_back_is_never_lost(stride: usize) {
    kill_points(stride, |point| {
        let queue = JoinableQueue::bounded(4).expect("a queue");
        queue.put_many(&[1, 2]).expect("room");
        let consumer = queue.consumer();
        let mut victim = trace(Operation::LeaseAndGiveBack(consumer.clone()))?;
        let within = victim.step(point);
        victim.kill();
        let left = finish_all(&queue);
        Some(match &left[..] {
            [(1, 1), (2, 0)] if !within => Outcome::Over,
            [(1, 1), (2, 0)] => Outcome::Happened,
            [(1, 0), (2, 0)] if within => Outcome::NeverHappened,
            _ => panic!("at {point}: {left:?}"),
        })
    });
}

fn taking_over_a_dead_mans_lease_can_be_killed_too(stride: usize) {
    kill_points(stride, |point| {
        let queue = JoinableQueue::<u32>::bounded(4).expect("a queue");
        queue.put(1).expect("room");
        let consumer = queue.consumer();
        let first = trace(Operation::LeaseAndFinish(consumer.clone()))?;
        let mut first = first;
        // Until the lease has begun: the item is then out of the ring.
        while !queue.is_empty() {
            assert!(first.step(1));
        }
        first.kill();
        let mut second = trace(Operation::LeaseAndFinish(consumer.clone()))?;
        let within = second.step(point);
        second.kill();
        let left = finish_all(&queue);
        assert!(!matches!(queue.get_timeout(Duration::ZERO), Err(Error::LeaseLost { .. })));
        Some(match &left[..] {
            [] if !within => Outcome::Over,
            [] => Outcome::Happened,
            [(1, 1 | 2)] if within => Outcome::NeverHappened,
            _ => panic!("at {point}: {left:?}"),
        })
    });
}
