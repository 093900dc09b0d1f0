//! The one place that every public operation of a shared object passes before it does anything.
//!
//! # State
//! An operation calls [`point`] first: with its name, the object, and a *look*, a pure function that tells whether the
//! operation could go on now or would block. What an operation does by itself while it runs (the lock that an update
//! takes) passes no point. Starting a process, a pause and waiting for a process pass none either. The drop of a handle
//! passes one if others can notice it: the process's last on the end of a queue or a pipe, unless it is a queue's and
//! the parent has that end too. Whether it does must not depend on others, as the order of their steps does.
//!
//! A thread can have an [`Observer`], which is called at each point of that thread. Other threads pass by. Without any
//! observer in the process, a point is one relaxed load and a branch.
//!
//! Objects are numbered by the process that creates them, see [`crate::sys::number`]. Shared memory has its number in
//! its header, next to everything else that describes it, so that a handle that is sent needs no more than the
//! descriptor. An object that is no shared memory (a pipe) has the number in its handle, and sends it along.
//!
//! # Ordering
//! None: an observer is installed by the thread that it observes.
//!
//! # Standard
//! The points of CHESS (Musuvathi et al., OSDI 2008) and dBug (Simsa et al., SSV 2010), where a scheduler decides which
//! thread or process goes on.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use crate::sys::number;
use crate::sys::shm::{Layout, Mapping};

/// What a thread is about to do: the kind of object and the verb, as in `lock.acquire`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Whether it leaves the object as it is: two such operations can be exchanged.
    pub(crate) reads_only: bool,
}

impl Operation {
    /// An operation that may change its object.
    pub(crate) const fn change(name: &'static str) -> Self {
        Operation { name, reads_only: false }
    }

    /// An operation that only reads its object.
    pub(crate) const fn read(name: &'static str) -> Self {
        Operation { name, reads_only: true }
    }
}

/// Marks the number of a part: `IS_PART | whole << 32 | part`.
const IS_PART: u64 = 1 << 63;

/// A shared object, the same in every process that has a handle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ObjectId(u64);

impl ObjectId {
    /// Returns its representation in shared memory.
    pub(crate) fn to_word(self) -> u64 {
        self.0
    }

    /// Reads what [`to_word`](Self::to_word) wrote.
    pub(crate) fn from_word(word: u64) -> Self {
        ObjectId(word)
    }

    /// Numbers an object that is about to be created.
    pub(crate) fn new() -> Self {
        ObjectId(number::next())
    }

    /// Returns a part of this object, such as an object in a manager. Part 0 is the whole.
    ///
    /// Two wholes can have the same parts: then operations count as dependent that are not.
    pub(crate) fn part(self, part: u64) -> Self {
        let whole = self.0 >> 16 & 0x7fff_0000 | self.0 & 0xffff;
        ObjectId(IS_PART | whole << 32 | u64::from(part as u32))
    }

    /// Returns the whole of which it is a part, as its part 0.
    pub(crate) fn whole(self) -> Option<Self> {
        (self.0 & IS_PART != 0).then_some(ObjectId(self.0 & !u64::from(u32::MAX)))
    }

    /// Returns the number of the whole, and that of the part.
    pub(crate) fn parts(self) -> Option<(u64, u64)> {
        self.whole().map(|whole| ((whole.0 & !IS_PART) >> 32, self.0 & u64::from(u32::MAX)))
    }

    /// Returns the range with the object itself, and its parts if it is a whole.
    pub(crate) fn with_parts(self) -> RangeInclusive<Self> {
        let last = if self.whole() == Some(self) { ObjectId(self.0 | u64::from(u32::MAX)) } else { self };
        self..=last
    }

    /// Returns whether the two are the same, or one is the whole of which the other is a part.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.with_parts().contains(&other) || other.with_parts().contains(&self)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 >> 32, self.0 as u32) {
            (0, count) => write!(f, "{count}"),
            (creator, count) => write!(f, "{creator}.{count}"),
        }
    }
}

/// What a point concerns, asked for only if the point is observed.
pub(crate) trait Object {
    /// Returns the object, and the lock that the operation acquires or releases besides.
    fn objects(&self) -> (ObjectId, Option<ObjectId>);
}

impl Object for ObjectId {
    fn objects(&self) -> (ObjectId, Option<ObjectId>) {
        (*self, None)
    }
}

impl<T: Layout> Object for Mapping<T> {
    fn objects(&self) -> (ObjectId, Option<ObjectId>) {
        (ObjectId(self.number()), None)
    }
}

/// An operation that is about to begin.
pub(crate) struct Point<'a> {
    pub(crate) operation: Operation,
    pub(crate) object: ObjectId,
    /// The lock that the operation acquires or releases besides.
    pub(crate) lock: Option<ObjectId>,
    /// When the operation gives up.
    pub(crate) deadline: Deadline,
    /// Whether it could always go on.
    pub(crate) never_blocks: bool,
    look: &'a dyn Fn() -> bool,
}

impl Point<'_> {
    /// Returns whether the operation could go on now. It changes nothing, and the answer may change at any time.
    pub(crate) fn can_go(&self) -> bool {
        (self.look)()
    }
}

/// Called with each point of the thread that installed it. Points that it passes itself are not observed.
pub(crate) type Observer = Box<dyn Fn(&Point<'_>)>;

/// How many threads of this process have an observer.
static OBSERVED_THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Passes the point before `operation` on `object`. `look` tells whether it could go on now; it must be pure.
#[inline]
pub(crate) fn point(operation: Operation, object: &impl Object, look: impl Fn() -> bool) {
    point_until(operation, object, || Deadline::NEVER, look);
}

/// As [`point`], of an operation that gives up at a deadline.
#[inline]
pub(crate) fn point_until(
    operation: Operation,
    object: &impl Object,
    deadline: impl FnOnce() -> Deadline,
    look: impl Fn() -> bool,
) {
    if is_observed() {
        let (object, lock) = object.objects();
        // A look that captures nothing is `always`.
        let never_blocks = size_of_val(&look) == 0;
        pass(&Point { operation, object, lock, deadline: deadline(), never_blocks, look: &look });
    }
}

/// The same operation without a limit of time, with one, and without waiting.
pub(crate) struct Waits([Operation; 3]);

impl Waits {
    /// Defines operations that may change their object, with these names.
    pub(crate) const fn change([endless, timed, once]: [&'static str; 3]) -> Self {
        Waits([Operation::change(endless), Operation::change(timed), Operation::change(once)])
    }

    /// Defines operations that only read their object, with these names.
    pub(crate) const fn read([endless, timed, once]: [&'static str; 3]) -> Self {
        Waits([Operation::read(endless), Operation::read(timed), Operation::read(once)])
    }

    /// Passes the point of the one with this `timeout`. `look` tells whether it could go on without waiting.
    #[inline]
    pub(crate) fn pass(&self, timeout: Option<Duration>, object: &impl Object, look: impl Fn() -> bool) {
        let Waits([endless, timed, once]) = self;
        match timeout {
            None => point(*endless, object, look),
            Some(Duration::ZERO) => point(*once, object, always),
            Some(timeout) => point_until(*timed, object, || Deadline::after(timeout), look),
        }
    }

    /// Passes the point of the one with this deadline; `None` is the one without waiting.
    #[inline]
    pub(crate) fn pass_until(&self, until: Option<Deadline>, object: &impl Object, look: impl Fn() -> bool) {
        let Waits([endless, timed, once]) = self;
        match until {
            None => point(*once, object, always),
            Some(Deadline::NEVER) => point(*endless, object, look),
            Some(deadline) => point_until(*timed, object, || deadline, look),
        }
    }
}

/// The look of an operation that never blocks.
#[inline]
pub(crate) fn always() -> bool {
    true
}

/// Returns whether a thread of this process has an observer, so that a look at something may be worth its cost.
#[inline]
pub(crate) fn is_observed() -> bool {
    OBSERVED_THREADS.load(Relaxed) != 0
}

/// Returns whether this thread has an observer.
#[inline]
pub(crate) fn is_observed_here() -> bool {
    // There is none while the thread ends.
    is_observed() && OBSERVER.try_with(|observer| observer.borrow().is_some()).unwrap_or(false)
}

/// Runs `work` without the observer of this thread.
pub(crate) fn unobserved<R>(work: impl FnOnce() -> R) -> R {
    without_observer(|_| work())
}

#[cold]
fn pass(point: &Point<'_>) {
    without_observer(|observer| observer.iter().for_each(|observer| observer(point)));
}

/// Runs `work` as one operation on `object`, which never blocks.
pub(crate) fn as_one<R>(operation: Operation, object: &impl Object, work: impl FnOnce() -> R) -> R {
    point(operation, object, always);
    unobserved(work)
}

/// Runs `work` with the observer of this thread taken out: operations in it are not observed.
fn without_observer<R>(work: impl FnOnce(&Option<Observer>) -> R) -> R {
    /// Puts the observer back, even if `work` panics.
    struct TakenOut(Option<Observer>);
    impl Drop for TakenOut {
        fn drop(&mut self) {
            if let Some(observer) = self.0.take() {
                OBSERVER.set(Some(observer));
            }
        }
    }
    // There is none while the thread ends.
    let observer = TakenOut(OBSERVER.try_with(RefCell::take).unwrap_or(None));
    work(&observer.0)
}

/// Observes the points of the thread that created it, until it is dropped.
#[must_use]
pub(crate) struct Observing(PhantomData<*const ()>);

/// Has `observer` called at each point of this thread.
pub(crate) fn observe(observer: impl Fn(&Point<'_>) + 'static) -> Observing {
    OBSERVER.set(Some(Box::new(observer)));
    OBSERVED_THREADS.fetch_add(1, Relaxed);
    Observing(PhantomData)
}

impl Drop for Observing {
    fn drop(&mut self) {
        OBSERVED_THREADS.fetch_sub(1, Relaxed);
        OBSERVER.set(None);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::path::Path;
    use std::rc::Rc;
    use std::thread;

    use crate::Lock;
    use crate::sys::shm::shared_layout;
    use crate::sys::tests::sources_in;

    /// A point that an operation passed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Passed {
        pub(crate) operation: &'static str,
        pub(crate) object: ObjectId,
        pub(crate) lock: Option<ObjectId>,
        pub(crate) could_go: bool,
    }

    impl Passed {
        fn at(point: &Point<'_>) -> Self {
            let Point { operation, object, lock, .. } = *point;
            Passed { operation: operation.name, object, lock, could_go: point.can_go() }
        }
    }

    /// Runs an operation, and returns what it returned and the points that it passed.
    pub(crate) fn passed<R>(operation: impl FnOnce() -> R) -> (R, Vec<Passed>) {
        let all = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&all);
        let observing = observe(move |point| seen.borrow_mut().push(Passed::at(point)));
        let outcome = operation();
        drop(observing);
        (outcome, all.take())
    }

    /// Runs an operation up to its first point: nothing of it may have been done by then.
    pub(crate) fn up_to_the_point<R>(operation: impl FnOnce() -> R) -> Passed {
        let _observing = observe(|point| resume_unwind(Box::new(Passed::at(point))));
        let unwound = catch_unwind(AssertUnwindSafe(operation)).err().expect("it passes a point");
        *unwound.downcast().expect("it was unwound by the observer")
    }

    /// Runs an operation that nothing blocks: it passes one point.
    pub(crate) fn goes<R>(name: &str, object: &impl Object, operation: impl FnOnce() -> R) -> R {
        let (outcome, points) = passed(operation);
        let (object, lock) = object.objects();
        assert_eq!(points, [Passed { operation: points[0].operation, object, lock, could_go: true }]);
        assert_eq!(points[0].operation, name);
        outcome
    }

    /// Checks that an operation would block now. Nothing of it is done.
    pub(crate) fn would_block<R>(name: &str, object: &impl Object, operation: impl FnOnce() -> R) {
        let point = up_to_the_point(operation);
        assert_eq!((point.operation, (point.object, point.lock), point.could_go), (name, object.objects(), false));
    }

    #[test]
    fn thread_without_an_observer_passes_by() {
        let lock = Lock::new().expect("a lock");
        let (_, points) = passed(|| {
            thread::scope(|scope| scope.spawn(|| drop(lock.acquire().expect("free"))).join()).expect("no panic");
            drop(lock.acquire().expect("free"));
        });
        assert_eq!(points.len(), 2, "{points:?}");
        let ((), points) = passed(|| ());
        assert_eq!(points, [], "the observer is gone");
    }

    #[test]
    fn observer_is_not_observed() {
        let lock = Rc::new(Lock::new().expect("a lock"));
        let mine = Rc::clone(&lock);
        let count = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&count);
        let _observing = observe(move |_| {
            *counted.borrow_mut() += 1;
            drop(mine.try_acquire());
        });
        drop(lock.acquire().expect("free"));
        assert_eq!(count.take(), 2, "its acquisition and its release");
    }

    #[test]
    fn object_has_the_same_number_wherever_it_is_mapped_and_no_other_has_it() {
        shared_layout! { struct One = b"numbered" { word: crate::sys::atomic::AtomicU32 } }
        let make = || Mapping::<One>::create(0, |_| Ok(())).expect("memory");
        let (one, other) = (make(), make());
        let again = Mapping::<One>::open(one.memfd().try_clone().expect("a descriptor")).expect("the same kind");
        assert_eq!(one.objects(), again.objects());
        let numbers = [one.objects().0, other.objects().0, ObjectId::new()];
        assert!(numbers.is_sorted() && numbers[0] < numbers[1] && numbers[1] < numbers[2], "{numbers:?}");
    }

    #[test]
    fn whole_overlaps_its_parts_and_no_others() {
        let [one, other] = [1 << 32 | 1, 1 << 32 | 2].map(ObjectId);
        let [whole, first, second] = [0, 1, 2].map(|part| one.part(part));
        assert!(whole.overlaps(first) && second.overlaps(whole) && first.overlaps(first) && one.overlaps(one));
        assert!(!first.overlaps(second) && !one.overlaps(whole) && !other.overlaps(one));
        assert!([0, 1].iter().all(|&part| !other.part(part).overlaps(first) && !whole.overlaps(other.part(part))));
        assert_eq!((whole.whole(), second.whole(), one.whole()), (Some(whole), Some(whole), None));
        assert_eq!(second.parts(), Some((1 << 16 | 1, 2)));
    }

    /// Returns the quoted words between `before` and the next parenthesis in a text.
    fn quoted_after<'a>(before: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
        let arguments = text.split(before).skip(1).filter_map(|rest| rest.split(')').next());
        arguments.flat_map(|arguments| arguments.split('"').step_by(2))
    }

    #[test]
    fn every_operation_is_in_a_test() {
        let sources = sources_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ipc"));
        let texts: Vec<_> = sources.iter().map(|path| fs::read_to_string(path).expect("a source")).collect();
        let words = |before: &'static str| texts.iter().flat_map(move |text| quoted_after(before, text));
        let waits = [concat!("Waits::change", "(["), concat!("Waits::read", "([")];
        let waits = waits.into_iter().flat_map(|before| texts.iter().flat_map(move |text| text.split(before).skip(1)));
        let waits = waits.flat_map(|rest| rest.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2));
        let operations: BTreeSet<&str> = words(concat!("Operation::change", "(\""))
            .chain(words(concat!("Operation::read", "(\"")))
            .chain(waits)
            .collect();
        assert!(operations.len() > 30, "{operations:?}");
        let in_tests: BTreeSet<&str> = texts
            .iter()
            .zip(&sources)
            .filter_map(|(text, path)| match path.ends_with("tests.rs") {
                true => Some(text.as_str()),
                false => text.split_once("#[cfg(test)]").map(|(_, tests)| tests),
            })
            .flat_map(|tests| tests.split('"'))
            .collect();
        let missing: Vec<_> = operations.difference(&in_tests).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
