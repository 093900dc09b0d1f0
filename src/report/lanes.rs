//! One character per worker: who waits, holds, works, or has ended. The picture at the left of every line.

use super::class::SpanKind;
use super::event::{Event, RUNNER};
use super::frame::RunStarted;
use super::language::Language;

/// Columns of a line outside its picture and its text: the time, the worker's name, and separators.
const OTHERS: usize = 27;
/// Columns that most texts need to stay on one line.
pub(super) const WORDS: usize = 43;
/// Columns that are always left for text, and how many workers are shown at that price.
const FEWEST_WORDS: usize = 24;
const FEW: usize = 10;

/// A worker's state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
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

    pub(super) fn symbol(self, is_ascii: bool) -> char {
        let (symbol, plain, _) = self.look();
        if is_ascii { plain } else { symbol }
    }
}

/// The state of a worker.
#[derive(Debug, Default, Clone, Copy)]
struct Worker {
    life: State,
    waits: bool,
    /// How many things it holds.
    held: u32,
    works: bool,
}

impl Worker {
    fn state(self) -> State {
        match self {
            Worker { life: State::Running, waits: true, held: 1.., .. } => State::Both,
            Worker { life: State::Running, waits: true, .. } => State::Waiting,
            Worker { life: State::Running, held: 1.., .. } => State::Holding,
            Worker { life: State::Running, works: true, .. } => State::Working,
            Worker { life, .. } => life,
        }
    }
}

/// The state of all workers, in the order in which they were started.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    names: Vec<String>,
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
        // A worker with the name of one that has ended replaces it.
        if class.starts && !self.is_free(&event.worker) {
            self.names.push(event.worker.clone());
            if self.workers.len() < self.names.len() {
                self.workers.push(Worker::default());
            }
        }
        self.has_tasks = class.turn.map_or(self.has_tasks, |turn| turn.has_tasks);
        let index = self.index_of(&event.worker)?;
        let worker = &mut self.workers[index];
        if class.starts {
            *worker = Worker { life: State::Running, ..Worker::default() };
        } else if let Some(ending) = class.ending {
            let life = if ending.is_death() { State::Died } else { State::Ended };
            *worker = Worker { life, ..Worker::default() };
        } else {
            // A waiting worker reports nothing until the wait is over.
            worker.waits = false;
            match class.ends {
                Some((SpanKind::Holding, _)) => worker.held = worker.held.saturating_sub(1),
                Some((SpanKind::Working, _)) => worker.works = false,
                _ => {}
            }
            match class.begins {
                Some((SpanKind::Waiting, _)) => worker.waits = true,
                Some((SpanKind::Holding, _)) => worker.held += 1,
                Some((SpanKind::Working, _)) => worker.works = self.has_tasks,
                None => {}
            }
        }
        let is_new = worker.state() == State::Both && !self.is_both_known;
        self.is_both_known |= is_new;
        is_new.then_some(State::Both)
    }

    fn is_free(&self, worker: &str) -> bool {
        self.index_of(worker).is_some_and(|index| matches!(self.workers[index].life, State::Ended | State::Died))
    }

    /// Returns the index of a worker, for its colour. The runner has none.
    pub(super) fn index_of(&self, worker: &str) -> Option<usize> {
        // A name may be reused after its first worker ended: the last one counts.
        (worker != RUNNER).then(|| self.names.iter().rposition(|name| name == worker)).flatten()
    }

    /// Returns how many workers run, how many of those wait, and how many of those hold something.
    pub(super) fn counts(&self) -> [usize; 3] {
        let running = || self.workers.iter().filter(|worker| worker.life == State::Running);
        [running().count(), running().filter(|it| it.waits).count(), running().filter(|it| it.held > 0).count()]
    }

    /// Returns the picture for lines of this width: the first workers, as many as leave space for text. Empty if no
    /// worker ever has a state to show.
    pub(super) fn picture(&self, columns: usize) -> impl Iterator<Item = State> {
        let roomy = columns.saturating_sub(OTHERS + WORDS);
        let carried = roomy.max(columns.saturating_sub(OTHERS + FEWEST_WORDS).min(FEW));
        let shown = if self.signs.is_empty() { 0 } else { carried };
        self.workers.iter().take(shown).map(|worker| worker.state())
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
            pieces.push(match language {
                Language::En => format!("(the first {shown} of {all})"),
                Language::Zh => format!("（{all} 个中的前 {shown} 个）"),
            });
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
