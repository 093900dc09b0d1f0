//! The shared things of a run: what they contain, who holds them, and who waits for them.
//!
//! A scenario has things from the start, and events may add some ([`Fact::things`](super::event::Fact::things)). Who
//! waits for a thing and who holds it, and what goes through a queue, follows from the [`Class`](super::class::Class) of
//! each event. What only one type of event says is changed by
//! [`Fact::change`](super::event::Fact::change).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::class::{Direction, Noun, OwnedKey, Transfer};
use super::lanes::Named;
use super::language::Language;
use super::wording::Names;

/// How many items of a queue a serialised thing has; their number is complete.
pub(super) const MOST_ITEMS: usize = 40;

/// How many items are remembered that were got before they were put.
const MOST_EARLY: usize = 1000;

/// A shared thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Thing {
    #[serde(skip)]
    pub(crate) noun: Noun,
    /// What events call it; empty if there is only one of its kind.
    pub(crate) name: String,
    #[serde(skip)]
    title: Option<[&'static str; 2]>,
    /// The waiting workers, in the order of arrival.
    pub(crate) waiters: Vec<String>,
    #[serde(flatten)]
    pub(crate) shape: Shape,
}

/// What a thing consists of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub(crate) enum Shape {
    /// A number, in a file or in shared memory. `of` is the number of some workers: what each has done with it, as
    /// `verb` says in English and in Chinese.
    Number { value: u64, of: BTreeMap<String, u64>, verb: [&'static str; 2] },
    /// A lock; `in_cycle` if its holder waits, directly or not, for itself.
    Lock { holder: Option<String>, in_cycle: bool },
    /// A semaphore.
    Permits { total: u32, holders: Vec<String> },
    /// A condition that workers wait for.
    Condition,
    /// An event: a lamp that is on once it is set.
    Lamp { is_on: bool },
    /// A barrier, for all workers of the run if `parties` is `None`. Those that have arrived wait.
    Barrier { parties: Option<u32>, round: u64, is_broken: bool },
    /// A queue or a pipe, the next item to be taken first.
    Queue(Queue),
    /// The tasks of a pool.
    Tasks(Tasks),
    /// An object with this content.
    Object { value: Value },
}

/// A queue, or one direction of a pipe.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(crate) struct Queue {
    pub(crate) capacity: Option<u64>,
    /// The first ones only, when serialised; `queued` is how many there are.
    #[serde(serialize_with = "first_items")]
    pub(crate) items: VecDeque<Item>,
    /// How many have been put, got, and finished.
    pub(crate) put: u64,
    pub(crate) got: u64,
    pub(crate) done: u64,
    /// The items that came back, because the worker that had them died.
    pub(crate) left: u64,
    /// Items that were reported as got before they were reported as put.
    #[serde(skip)]
    early: VecDeque<OwnedKey>,
}

/// The tasks of a pool, by number from 1.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(crate) struct Tasks {
    pub(crate) total: u64,
    /// The highest number that was begun.
    pub(crate) begun: u64,
    /// The worker of each task in progress.
    pub(crate) running: BTreeMap<u64, String>,
    /// Those that a worker died with, and that no other has begun yet.
    pub(crate) left: BTreeSet<u64>,
    pub(crate) failed: BTreeSet<u64>,
    pub(crate) done: u64,
}

/// An item of a queue, a message, or a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) key: OwnedKey,
    pub(crate) value: Value,
}

fn first_items<S: Serializer>(items: &VecDeque<Item>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().take(MOST_ITEMS))
}

impl Shape {
    /// Returns an empty queue, or one direction of a pipe.
    pub(crate) fn queue(capacity: Option<u64>) -> Self {
        Shape::Queue(Queue { capacity, ..Queue::default() })
    }

    /// Returns a number with which workers do what `verb` says, in English and in Chinese.
    pub(crate) fn number(value: u64, verb: [&'static str; 2]) -> Self {
        Shape::Number { value, of: BTreeMap::new(), verb }
    }
}

impl Thing {
    pub(crate) fn new(noun: Noun, name: &str, shape: Shape) -> Self {
        Thing { noun, name: name.to_owned(), title: None, waiters: Vec::new(), shape }
    }

    /// Returns the thing with a title of its own, in English and in Chinese.
    pub(crate) fn titled(self, en: &'static str, zh: &'static str) -> Self {
        Thing { title: Some([en, zh]), ..self }
    }

    /// Returns what it is called, given the names of the scenario.
    pub(super) fn title(&self, language: Language, names: Names) -> String {
        match (self.title, self.name.as_str()) {
            (Some([en, zh]), _) => language.pick(en, zh).to_owned(),
            (None, "") => language.pick(self.noun.en, self.noun.zh).to_owned(),
            (None, name) => language.name(names, name),
        }
    }

    /// Returns who holds it.
    pub(super) fn holders(&self) -> &[String] {
        match &self.shape {
            Shape::Lock { holder, .. } => holder.as_slice(),
            Shape::Permits { holders, .. } => holders,
            _ => &[],
        }
    }
}

/// All shared things of a run, in the order in which they were introduced.
#[derive(Debug, Default)]
pub(crate) struct Things {
    all: Vec<Thing>,
    /// Those that were changed since this was last taken.
    changed: BTreeSet<usize>,
}

impl Things {
    pub(super) fn all(&self) -> &[Thing] {
        &self.all
    }

    pub(super) fn add(&mut self, things: Vec<Thing>) {
        self.changed.extend(self.all.len()..self.all.len() + things.len());
        self.all.extend(things);
    }

    /// Returns the indices of the things that were changed since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    /// Returns the index of a thing: the last one, if several have had this name.
    pub(super) fn index_of(&self, noun: Noun, name: &str) -> Option<usize> {
        self.all.iter().rposition(|thing| thing.noun == noun && thing.name == name)
    }

    /// Returns a thing, to be changed.
    pub(crate) fn thing(&mut self, noun: Noun, name: &str) -> Option<&mut Thing> {
        let index = self.index_of(noun, name)?;
        self.changed.insert(index);
        Some(&mut self.all[index])
    }

    /// Returns the shape of a thing, to be changed.
    pub(crate) fn shape(&mut self, noun: Noun, name: &str) -> Option<&mut Shape> {
        Some(&mut self.thing(noun, name)?.shape)
    }

    /// Returns a number, and the numbers of some workers.
    pub(crate) fn number(&mut self, noun: Noun) -> Option<(&mut u64, &mut BTreeMap<String, u64>)> {
        match self.shape(noun, "")? {
            Shape::Number { value, of, .. } => Some((value, of)),
            _ => None,
        }
    }

    /// A worker reads the numbers again that it has read before.
    pub(crate) fn read_again(&mut self, worker: &str) {
        for (index, thing) in self.all.iter_mut().enumerate() {
            if let Shape::Number { value, of, .. } = &mut thing.shape
                && let Some(read) = of.get_mut(worker)
            {
                *read = *value;
                self.changed.insert(index);
            }
        }
    }

    /// Returns the content of an object.
    pub(crate) fn object(&mut self, noun: Noun, name: &str) -> Option<&mut Value> {
        match self.shape(noun, name)? {
            Shape::Object { value } => Some(value),
            _ => None,
        }
    }

    /// Returns the thing; adds one if events tell of one that is not known.
    fn known(&mut self, (noun, name): &Named) -> &mut Thing {
        let index = self.index_of(*noun, name).unwrap_or_else(|| {
            let shape = if noun.is_shared {
                Shape::Permits { total: 0, holders: Vec::new() }
            } else {
                Shape::Lock { holder: None, in_cycle: false }
            };
            self.all.push(Thing::new(*noun, name, shape));
            self.all.len() - 1
        });
        self.changed.insert(index);
        &mut self.all[index]
    }

    pub(super) fn begin_wait(&mut self, thing: &Named, worker: &str) {
        self.known(thing).waiters.push(worker.to_owned());
    }

    pub(super) fn end_wait(&mut self, thing: &Named, worker: &str) {
        let thing = self.known(thing);
        thing.waiters.retain(|waiter| waiter != worker);
        if matches!(thing.shape, Shape::Lock { in_cycle: true, .. }) {
            self.break_cycle();
        }
    }

    /// Without one of its waits, no part of a cycle is left.
    fn break_cycle(&mut self) {
        for (index, thing) in self.all.iter_mut().enumerate() {
            if let Shape::Lock { in_cycle: in_cycle @ true, .. } = &mut thing.shape {
                *in_cycle = false;
                self.changed.insert(index);
            }
        }
    }

    pub(super) fn acquire(&mut self, thing: &Named, worker: &str) {
        match &mut self.known(thing).shape {
            Shape::Lock { holder, .. } => *holder = Some(worker.to_owned()),
            Shape::Permits { holders, .. } => holders.push(worker.to_owned()),
            _ => {}
        }
    }

    pub(super) fn release(&mut self, thing: &Named, worker: &str) {
        match &mut self.known(thing).shape {
            Shape::Lock { holder, in_cycle, .. } if holder.as_deref() == Some(worker) => {
                *holder = None;
                if *in_cycle {
                    self.break_cycle();
                }
            }
            Shape::Permits { holders, .. } => {
                if let Some(place) = holders.iter().position(|holder| holder == worker) {
                    holders.remove(place);
                }
            }
            _ => {}
        }
    }

    /// Moves an item into a queue or out of it. Answers come back through the last pipe, messages go through the first.
    pub(super) fn transfer(&mut self, transfer: &Transfer<'_>) {
        let item = Item { key: transfer.key.into(), value: transfer.value.clone() };
        let mut queues = self.all.iter_mut().enumerate().filter_map(|(index, thing)| match &mut thing.shape {
            Shape::Queue(queue) => Some((index, queue)),
            _ => None,
        });
        let queue = if matches!(item.key, OwnedKey::Message(_)) { queues.next() } else { queues.last() };
        let Some((index, queue)) = queue else { return };
        match transfer.direction {
            Direction::Out => queue.put(item),
            Direction::In => queue.get(&item.key),
        }
        self.changed.insert(index);
    }

    /// The last queue with tasks, or the pool.
    fn tasks(&mut self) -> Option<&mut Shape> {
        let is_it = |thing: &Thing| matches!(thing.shape, Shape::Queue(_) | Shape::Tasks(_));
        let index = self.all.iter().rposition(is_it)?;
        self.changed.insert(index);
        Some(&mut self.all[index].shape)
    }

    pub(super) fn begin_work(&mut self, item: &Item, worker: &str) {
        if let Some(Shape::Tasks(tasks)) = self.tasks() {
            let task = item.key.number();
            tasks.begun = tasks.begun.max(task);
            tasks.left.remove(&task);
            tasks.running.insert(task, worker.to_owned());
        }
    }

    /// Ends the work on an item, which is done unless its worker has died.
    pub(super) fn end_work(&mut self, item: Item, worker: &str, is_done: bool) {
        match self.tasks() {
            Some(Shape::Tasks(tasks)) => {
                let task = item.key.number();
                if tasks.running.get(&task).is_some_and(|of| of == worker) {
                    tasks.running.remove(&task);
                }
                if is_done {
                    tasks.done += 1;
                } else if !tasks.failed.contains(&task) {
                    tasks.left.insert(task);
                }
            }
            Some(Shape::Queue(queue)) if is_done => queue.done += 1,
            Some(Shape::Queue(queue)) => {
                queue.left += 1;
                queue.items.push_front(item);
            }
            _ => {}
        }
    }
}

impl Queue {
    fn put(&mut self, item: Item) {
        self.put += 1;
        match self.early.iter().position(|early| *early == item.key) {
            Some(place) => _ = self.early.remove(place),
            None => self.items.push_back(item),
        }
    }

    fn get(&mut self, key: &OwnedKey) {
        self.got += 1;
        match self.items.iter().position(|item| item.key == *key) {
            Some(place) => _ = self.items.remove(place),
            None => {
                self.early.push_back(key.clone());
                // Items of a queue that other machines share may come from there.
                if self.early.len() > MOST_EARLY {
                    self.early.pop_front();
                }
            }
        }
    }
}
