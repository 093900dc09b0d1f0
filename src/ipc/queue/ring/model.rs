//! The words of slots under a model checker: `word.rs` is compiled a second time, with loom's atomics. Every
//! interleaving is tried, and every value that a load may return by the orderings.

use crate::ipc::process::table as process;
use loom::sync::atomic;

#[expect(clippy::duplicate_mod, reason = "that is what this is for")]
#[path = "word.rs"]
mod word;

use loom::cell::Cell;
use loom::sync::Arc;
use loom::thread;

use self::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use self::process::{ProcessSlot, ProcessTable};
use self::word::{Pack, State, Word};

/// Two slots, and what is in them: loom reports accesses that nothing orders.
struct Slots([(AtomicU64, Cell<u32>); 2]);

/// Returns slots that are free in segment 1.
fn slots() -> Arc<Slots> {
    let done = |segment| {
        let word = AtomicU64::new(0);
        Word::free(State::Done, segment).store(&word);
        word
    };
    Arc::new(Slots([(done(0), Cell::new(0)), (done(0), Cell::new(0))]))
}

// Both exchange without a look before: loom tries no order of a load and a store if another load comes between.
impl Slots {
    /// Claims the first free slot of a segment and publishes `item` in it; `None` if there is no free one.
    fn put(&self, me: ProcessSlot, segment: u64, item: u32) -> Option<()> {
        let free = Word::free(State::Done, segment - 1);
        let claimed = Word::owned(State::Claimed, me, segment);
        let (word, content) = self.0.iter().find(|(word, _)| free.replace(word, claimed))?;
        content.set(item);
        Word::free(State::Ready, segment).store(word);
        Some(())
    }

    /// Takes the first item of a segment; `None` if there is none.
    fn get(&self, me: ProcessSlot, segment: u64) -> Option<u32> {
        let ready = Word::free(State::Ready, segment);
        let taking = Word::owned(State::Taking, me, segment);
        let (word, content) = self.0.iter().find(|(word, _)| ready.replace(word, taking))?;
        let item = content.get();
        Word::free(State::Done, segment).store(word);
        Some(item)
    }
}

impl Slots {
    fn word(&self, index: u32) -> &AtomicU64 {
        &self.0[index as usize].0
    }

    fn words(&self) -> impl DoubleEndedIterator<Item = &AtomicU64> {
        self.0.iter().map(|(word, _)| word)
    }

    /// Claims both slots of segment 1 at once.
    fn claim_both(&self, me: ProcessSlot) {
        let claimed = Word::owned_run(State::Claimed, me, 1, 2);
        assert!(Word::free(State::Done, 0).replace(self.word(0), claimed));
    }

    /// Takes both items of segment 1 at once; `None` if the first is not ready.
    fn get_both(&self, me: ProcessSlot) -> Option<[u32; 2]> {
        let (ready, taking) = (Word::free(State::Ready, 1), Word::owned_run(State::Taking, me, 1, 2));
        if !ready.replace(self.word(0), taking) {
            return None;
        }
        assert_eq!(Word::load(self.word(1)), ready, "published before the first");
        let items = [0, 1].map(|index: usize| self.0[index].1.get());
        Word::free(State::Done, 1).store_run(self.words());
        Some(items)
    }
}

fn me() -> ProcessSlot {
    ProcessTable::ours().expect("a table").me()
}

#[test]
fn each_item_is_got_once_and_whole() {
    let me = me();
    loom::model(move || {
        let slots = slots();
        let producers = [1, 2].map(|item| {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.put(me, 1, item).expect("two slots are free"))
        });
        let mut got: Vec<_> = (0..2).filter_map(|_| slots.get(me, 1)).collect();
        producers.into_iter().for_each(|producer| producer.join().expect("no panic"));
        got.extend(std::iter::from_fn(|| slots.get(me, 1)));
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn slot_is_used_again_only_after_its_item_was_read() {
    let me = me();
    loom::model(move || {
        let slots = slots();
        slots.put(me, 1, 1).expect("free");
        slots.put(me, 1, 2).expect("free");
        let consumer = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.get(me, 1))
        };
        let put = slots.put(me, 2, 3);
        assert_eq!(consumer.join().expect("no panic"), Some(1));
        assert_eq!(slots.get(me, 2), put.map(|()| 3), "and not before");
        assert_eq!(slots.get(me, 1), Some(2));
    });
}

#[test]
fn claim_of_a_dead_producer_is_released_once() {
    let me = me();
    loom::model(move || {
        let slots = slots();
        let claimed = Word::owned(State::Claimed, me, 1);
        assert!(Word::load(&slots.0[0].0).replace(&slots.0[0].0, claimed));
        let release = move |slots: Arc<Slots>| claimed.replace(&slots.0[0].0, Word::free(State::Done, 1));
        let other = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || release(slots))
        };
        let released = release(Arc::clone(&slots));
        let put = slots.put(me, 2, 3);
        assert!(other.join().expect("no panic") != released, "one of the two");
        assert_eq!(slots.get(me, 2), put.map(|()| 3));
    });
}

#[test]
fn run_is_published_and_released_at_once() {
    let me = me();
    loom::model(move || {
        let slots = slots();
        let producer = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || {
                slots.claim_both(me);
                slots.0[0].1.set(1);
                slots.0[1].1.set(2);
                Word::free(State::Ready, 1).store_run(slots.words());
            })
        };
        let got = slots.get_both(me);
        producer.join().expect("no panic");
        assert_eq!(got.or_else(|| slots.get_both(me)), Some([1, 2]));
    });
}

#[test]
fn run_of_a_dead_producer_is_released_once_and_spares_later_uses() {
    let me = me();
    loom::model(move || {
        let slots = slots();
        slots.claim_both(me);
        // It was killed after it had published the second.
        Word::free(State::Ready, 1).store(slots.word(1));
        let release = move |slots: &Slots| {
            let claimed = Word::owned_run(State::Claimed, me, 1, 2);
            claimed.release_run(1, |index| slots.word(index))
        };
        let other = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || release(&slots))
        };
        let released = release(&slots);
        // The segment is used again, once both are released.
        let put =
            (Word::load(slots.word(0)).state() == State::Done).then(|| (slots.put(me, 2, 3), slots.put(me, 2, 4)));
        assert!(other.join().expect("no panic") != released, "one of the two");
        if let Some((first, second)) = put {
            assert_eq!((first, second), (Some(()), Some(())));
            assert_eq!([slots.get(me, 2), slots.get(me, 2)], [Some(3), Some(4)]);
        }
    });
}

/// A run of two slots whose items are packed.
struct PackedRun {
    word: AtomicU64,
    content: [AtomicU32; 2],
}

impl PackedRun {
    /// Puts two items if the run is free for a segment.
    fn put(&self, me: ProcessSlot, segment: u64, items: [u32; 2]) -> bool {
        let word = Word::load(&self.word);
        let claimed = Word::owned_run(State::Claimed, me, segment, 2);
        let is_ours = word.is_free_in(segment) && word.replace(&self.word, claimed);
        if is_ours {
            self.content.iter().zip(items).for_each(|(content, item)| content.store(item, Relaxed));
            Word::packed(segment, Pack { len: 2, used: 1, taken: 0, next: 0 }).store(&self.word);
        }
        is_ours
    }

    /// Takes the first item, unless there is none or another thread is faster.
    fn get(&self) -> Option<u32> {
        let ready = Word::load(&self.word);
        let pack = ready.pack()?;
        let segment = if ready.is_of(1) { 1 } else { 2 };
        let item = self.content[ready.taken() as usize].load(Relaxed);
        let then = Word::packed(segment, Pack { taken: pack.taken + 1, ..pack });
        ready.replace(&self.word, then).then_some(item)
    }
}

#[test]
fn packed_item_is_got_once_and_never_one_of_a_later_use() {
    let me = me();
    loom::model(move || {
        let run = Arc::new(PackedRun { word: AtomicU64::new(0), content: [0, 0].map(AtomicU32::new) });
        Word::packed(0, Pack { len: 2, used: 1, taken: 2, next: 0 }).store(&run.word);
        assert!(run.put(me, 1, [1, 2]));
        let other = {
            let run = Arc::clone(&run);
            thread::spawn(move || run.get())
        };
        let mut got: Vec<_> = [run.get(), run.get()].into_iter().flatten().collect();
        let is_used_again = run.put(me, 2, [3, 4]);
        got.extend(other.join().expect("no panic"));
        got.extend(std::iter::from_fn(|| run.get()));
        assert_eq!(Word::load(&run.word).items(), 0);
        got.sort_unstable();
        assert_eq!(got, if is_used_again { vec![1, 2, 3, 4] } else { vec![1, 2] });
    });
}
