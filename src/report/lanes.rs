//! What each worker does: who waits, holds, works, or has ended. One character per worker is the picture at the left of
//! every line.

use serde::Serialize;

use super::class::{Ending, Noun, OwnedKey, SpanKind, Subject};
use super::event::{Event, RUNNER};
use super::frame::RunStarted;
use super::language::Language;
use super::things::Item;
use super::wording::say;

/// Columns of a line outside its picture and its text: the time, the worker's name, and separators.
const OTHERS: usize = 27;
/// Columns that most texts need to stay on one line.
pub(super) const WORDS: usize = 43;
/// Columns that are always left for text, and how many workers are shown at that price.
const FEWEST_WORDS: usize = 24;
const FEW: usize = 10;

/// A worker's state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    #[default]
    NotStarted,
    Running,
    Waiting,
    Holding,
    /// It holds something and waits for something else.
    Both,
    Working,
    Ended,
    Died,
}

impl State {
    /// Returns the symbol, the ASCII symbol, and their meaning in both languages.
    fn look(self) -> (char, char, [&'static str; 2]) {
        match self {
            State::NotStarted | State::Ended => (' ', ' ', ["", ""]),
            State::Running => ('·', '.', ["runs", "运行"]),
            State::Waiting => ('┆', ':', ["waits", "等待"]),
            State::Holding => ('█', '#', ["holds", "持有"]),
            State::Both => ('▐', '%', ["holds one and waits for another", "持有一个，等待另一个"]),
            State::Working => ('▒', '=', ["works on an item", "处理数据"]),
            State::Died => ('×', 'x', ["died", "死亡"]),
        }
    }

    /// Returns whether the worker has ended.
    pub(super) fn is_over(self) -> bool {
        matches!(self, State::Ended | State::Died)
    }

    /// Returns what it means.
    pub(super) fn meaning(self, language: Language) -> &'static str {
        let (_, _, [en, zh]) = self.look();
        language.pick(en, zh)
    }

    pub(super) fn symbol(self, is_ascii: bool) -> char {
        let (symbol, plain, _) = self.look();
        if is_ascii { plain } else { symbol }
    }
}

/// A kind of thing, and the name of one.
pub(super) type Named = (Noun, String);

/// A worker, and what it does.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Worker {
    /// Empty before it is started.
    pub(super) name: String,
    pub(super) pid: u32,
    life: State,
    /// How it ended, if it has.
    pub(super) ending: Option<Ending>,
    /// What it waits for.
    pub(super) waits: Option<Named>,
    /// What it holds.
    pub(super) held: Vec<Named>,
    /// The item that it has got and not finished, if workers report that.
    pub(super) works: Option<Item>,
}

impl Worker {
    pub(super) fn state(&self) -> State {
        match self {
            Worker { life: State::Running, waits: Some(_), held, .. } if !held.is_empty() => State::Both,
            Worker { life: State::Running, waits: Some(_), .. } => State::Waiting,
            Worker { life: State::Running, held, .. } if !held.is_empty() => State::Holding,
            Worker { life: State::Running, works: Some(_), .. } => State::Working,
            Worker { life, .. } => *life,
        }
    }
}

/// The state of all workers, in the order in which they were started.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    workers: Vec<Worker>,
    /// The states other than running that are possible in this run: none if its workers never wait, hold or work.
    signs: Vec<State>,
    /// Whether workers report when they have finished an item.
    has_tasks: bool,
    /// Whether a worker has been in the state [`State::Both`].
    is_both_known: bool,
}

impl Lanes {
    /// Applies an event. Returns a sign that it shows for the first time and that the legend does not have.
    pub(super) fn follow(&mut self, event: &Event) -> Option<State> {
        if let Some(started) = event.get::<RunStarted>() {
            self.workers = vec![Worker::default(); started.workers as usize];
            let signs = [
                (State::Holding, SpanKind::Holding),
                (State::Waiting, SpanKind::Waiting),
                (State::Working, SpanKind::Working),
            ];
            self.signs = signs.into_iter().filter(|(_, kind)| started.has(*kind)).map(|(sign, _)| sign).collect();
            self.has_tasks = started.has_tasks;
            return None;
        }
        let class = event.fact.class();
        self.has_tasks = class.turn.map_or(self.has_tasks, |turn| turn.has_tasks);
        let index = if class.starts { self.place_for(&event.worker) } else { self.index_of(&event.worker)? };
        let worker = &mut self.workers[index];
        if class.starts {
            let (name, pid) = (event.worker.clone(), event.pid);
            *worker = Worker { name, pid, life: State::Running, ..Worker::default() };
        } else if let Some(ending) = class.ending {
            let life = if ending.is_death() { State::Died } else { State::Ended };
            let name = std::mem::take(&mut worker.name);
            *worker = Worker { name, pid: worker.pid, life, ending: Some(ending), ..Worker::default() };
        } else {
            // A waiting worker reports nothing until the wait is over.
            worker.waits = None;
            match class.ends {
                Some((SpanKind::Holding, Subject::Named(noun, name))) => {
                    if let Some(place) = worker.held.iter().position(|(of, own)| *of == noun && own == name) {
                        worker.held.remove(place);
                    }
                }
                Some((SpanKind::Working, _)) => worker.works = None,
                _ => {}
            }
            match class.begins {
                Some((SpanKind::Waiting, Subject::Named(noun, name))) => worker.waits = Some((noun, name.to_owned())),
                Some((SpanKind::Holding, Subject::Named(noun, name))) => worker.held.push((noun, name.to_owned())),
                Some((SpanKind::Working, Subject::Item(key))) if self.has_tasks => {
                    let value = class.transfer.map(|transfer| transfer.value.clone());
                    let key = OwnedKey::from(key);
                    worker.works = Some(Item { value: value.unwrap_or_else(|| key.number().into()), key });
                }
                _ => {}
            }
        }
        let is_new = worker.state() == State::Both && !self.is_both_known;
        self.is_both_known |= is_new;
        is_new.then_some(State::Both)
    }

    /// Returns the index for a worker that starts: that of an ended one of the same name, or the next.
    fn place_for(&mut self, name: &str) -> usize {
        if let Some(index) = self.index_of(name).filter(|index| self.workers[*index].life.is_over()) {
            return index;
        }
        let next = self.workers.iter().position(|worker| worker.name.is_empty());
        next.unwrap_or_else(|| {
            self.workers.push(Worker::default());
            self.workers.len() - 1
        })
    }

    /// Returns the index of a worker, for its colour. The runner has none.
    pub(super) fn index_of(&self, worker: &str) -> Option<usize> {
        // A name may be used again before its first worker has ended: the last one counts.
        (worker != RUNNER).then(|| self.workers.iter().rposition(|known| known.name == worker)).flatten()
    }

    /// Returns all workers, started or not.
    pub(super) fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// Returns how many workers run, how many of those wait, and how many of those hold something.
    pub(super) fn counts(&self) -> [usize; 3] {
        let running = || self.workers.iter().filter(|worker| worker.life == State::Running);
        [
            running().count(),
            running().filter(|it| it.waits.is_some()).count(),
            running().filter(|it| !it.held.is_empty()).count(),
        ]
    }

    /// Returns the picture for lines of this width: the first workers, as many as leave space for text. Empty if no
    /// worker ever has a state to show.
    pub(super) fn picture(&self, columns: usize) -> impl Iterator<Item = State> {
        let roomy = columns.saturating_sub(OTHERS + WORDS);
        let carried = roomy.max(columns.saturating_sub(OTHERS + FEWEST_WORDS).min(FEW));
        let shown = if self.signs.is_empty() { 0 } else { carried };
        self.workers.iter().take(shown).map(Worker::state)
    }

    /// Returns the legend, in pieces that must not be split; empty if there is nothing to show.
    pub(super) fn legend(&self, columns: usize, language: Language, is_ascii: bool) -> Vec<String> {
        let (shown, all) = (self.picture(columns).count(), self.workers.len());
        if self.signs.is_empty() || all == 0 {
            return Vec::new();
        }
        if shown == 0 {
            return vec![
                language.pick("(too narrow for one column per worker)", "（宽度不足，不画进程列）").to_owned(),
            ];
        }
        let signs = self.signs.iter().chain(&[State::Running, State::Died]);
        let mut pieces = vec![language.pick("one column per worker:", "每列一个进程：").to_owned()];
        pieces.extend(signs.map(|sign| explained(*sign, language, is_ascii)));
        if shown < all {
            pieces.push(say!(in language, "(the first {shown} of {all})", "（{all} 个中的前 {shown} 个）"));
        }
        pieces
    }
}

/// Returns a sign and its meaning.
pub(super) fn explained(sign: State, language: Language, is_ascii: bool) -> String {
    let (_, _, [en, zh]) = sign.look();
    format!("{} {}", sign.symbol(is_ascii), language.pick(en, zh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::AnyFact;
    use crate::report::frame::{WorkerExited, WorkerStarted};
    use crate::scenarios::facts::*;

    fn event(worker: &str, fact: impl Into<AnyFact>) -> Event {
        Event { at_us: 0, worker: worker.to_owned(), pid: 1, fact: fact.into() }
    }

    fn run(workers: u32, moments: &[&'static str]) -> Lanes {
        let mut lanes = Lanes::default();
        let started = RunStarted {
            scenario: "tickets",
            seed: 1,
            speed: 1.into(),
            version: "",
            args: Vec::new(),
            workers,
            moments: moments.to_vec(),
            has_tasks: moments.contains(&"task_done"),
            names: &[],
            claim: ["", ""],
            things: Vec::new(),
            is_explored: false,
        };
        lanes.follow(&event(RUNNER, started));
        for number in 1..=workers {
            let started = WorkerStarted { role: "", daemon: false };
            lanes.follow(&event(&format!("worker-{number}"), started));
        }
        lanes
    }

    fn wants(lock: &str) -> AnyFact {
        LockFact::LockWaiting { lock: lock.to_owned() }.into()
    }

    fn has(lock: &str) -> AnyFact {
        LockFact::LockAcquired { lock: lock.to_owned(), waited_us: 0, abandoned: false }.into()
    }

    #[test]
    fn picture_has_as_many_workers_as_leave_room_for_words() {
        let shown = |columns| run(150, &["waiting"]).picture(columns).count();
        assert_eq!([40, 51, 52, 60, 80, 100, 200].map(shown), [0, 0, 1, 9, 10, 30, 130]);
        assert_eq!(run(3, &["waiting"]).picture(80).count(), 3);
        assert_eq!(run(3, &["item_put"]).picture(80).count(), 0, "nobody ever waits");
        assert_eq!(run(3, &["working", "item_got"]).picture(80).count(), 0, "it is never told when an item is done");
    }

    #[test]
    fn legend_has_the_signs_of_the_run_and_says_whom_it_leaves_out() {
        let legend = |lanes: &Lanes| lanes.legend(80, Language::En, true).join("  ");
        assert_eq!(legend(&run(2, &["waiting"])), "one column per worker:  : waits  . runs  x died");
        let many = legend(&run(12, &["waiting", "holding"]));
        assert_eq!(many, "one column per worker:  # holds  : waits  . runs  x died  (the first 10 of 12)");
        assert_eq!(legend(&run(2, &[])), "");
        let narrow = run(2, &["waiting"]).legend(51, Language::En, true);
        assert_eq!(narrow, ["(too narrow for one column per worker)"]);
    }

    #[test]
    fn holder_that_waits_for_another_lock_shows_both() {
        let mut lanes = run(1, &["waiting", "holding"]);
        let mut after = |fact| {
            let news = lanes.follow(&event("worker-1", fact));
            (lanes.picture(80).next(), news)
        };
        assert_eq!(after(wants("a")), (Some(State::Waiting), None));
        assert_eq!(after(has("a")), (Some(State::Holding), None));
        assert_eq!(after(wants("b")), (Some(State::Both), Some(State::Both)));
        let timed_out = LockFact::LockTimedOut { lock: "b".to_owned(), waited_us: 1 };
        assert_eq!(after(timed_out.into()), (Some(State::Holding), None));
        assert_eq!(after(wants("b")), (Some(State::Both), None), "explained once");
        assert_eq!(after(has("b")), (Some(State::Holding), None));
        let released = |lock: &str| LockFact::LockReleased { lock: lock.to_owned(), held_us: 1 };
        assert_eq!(after(released("b").into()), (Some(State::Holding), None));
        assert_eq!(after(released("a").into()), (Some(State::Running), None));
        let killed = WorkerExited { exit_code: None, signal: Some(9), failure: None };
        assert_eq!(after(killed.into()), (Some(State::Died), None));
    }

    #[test]
    fn item_is_worked_on_until_it_is_done() {
        let mut lanes = run(1, &["working", "item_got", "task_done"]);
        let (value, from, number) = (serde_json::Value::Null, "p".to_owned(), 1);
        let got =
            ItemFact::ItemGot { value: value.clone(), from: from.clone(), number, size: None, redelivered: false };
        lanes.follow(&event("worker-1", got));
        assert_eq!(lanes.picture(80).next(), Some(State::Working));
        lanes.follow(&event("worker-1", ItemFact::TaskDone { value: value.clone(), from: from.clone(), number }));
        assert_eq!(lanes.picture(80).next(), Some(State::Running));
        for (object, lane) in [("Queue", State::Running), ("JoinableQueue", State::Working)] {
            lanes.follow(&event(RUNNER, ManagerFact::ObjectMade { object: object.to_owned(), name: None }));
            let (value, from) = (value.clone(), from.clone());
            lanes.follow(&event("worker-1", ItemFact::ItemGot { value, from, number, size: None, redelivered: false }));
            assert_eq!(lanes.picture(80).next(), Some(lane), "{object}");
        }
    }
}
