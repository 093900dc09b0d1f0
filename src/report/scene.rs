//! A run after some of its events: what each worker does, and the shared things.
//!
//! # State
//! A pure function of the events so far, in the order in which they are shown. What a worker does is in [`Lanes`]; what
//! it begins or ceases to do changes the things.

use std::collections::BTreeSet;

use super::class::Ending;
use super::event::Event;
use super::frame::RunStarted;
use super::lanes::{Lanes, Named, State, Worker};
use super::language::Language;
use super::things::Things;
use super::wording::{Names, say};

/// The state of a run.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) lanes: Lanes,
    pub(super) things: Things,
    pub(super) names: Names,
}

/// What an event has changed: indices of workers and of things.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) workers: BTreeSet<usize>,
    pub(super) things: BTreeSet<usize>,
}

impl Scene {
    /// Applies an event, the first of which is [`RunStarted`]. Returns what it changed.
    pub(super) fn apply(&mut self, event: &Event) -> Changed {
        if let Some(started) = event.get::<RunStarted>() {
            *self = Scene { names: started.names, ..Scene::default() };
            self.lanes.follow(event);
            self.things.add(event.fact.things());
            return Changed { workers: (0..self.lanes.workers().len()).collect(), things: self.things.take_changed() };
        }
        let worker = event.worker.as_str();
        let before = self.lanes.index_of(worker).map(|index| self.lanes.workers()[index].clone()).unwrap_or_default();
        self.lanes.follow(event);
        let index = self.lanes.index_of(worker);
        let after = index.map(|index| self.lanes.workers()[index].clone()).unwrap_or_default();
        self.things.add(event.fact.things());
        event.fact.change(worker, &mut self.things);
        if let Some(transfer) = event.fact.class().transfer {
            self.things.transfer(&transfer);
        }
        self.change(worker, before, &after);
        let is_changed = event.fact.class().starts || event.fact.class().ending.is_some();
        let workers = index.filter(|_| is_changed || !after.name.is_empty()).into_iter().collect();
        Changed { workers, things: self.things.take_changed() }
    }

    /// Changes the things according to what a worker did before and does now.
    fn change(&mut self, worker: &str, before: Worker, after: &Worker) {
        let things = &mut self.things;
        if before.waits != after.waits {
            before.waits.iter().for_each(|thing| things.end_wait(thing, worker));
            after.waits.iter().for_each(|thing| things.begin_wait(thing, worker));
        }
        let lacks = |held: &[Named], thing: &Named| !held.contains(thing);
        before.held.iter().filter(|thing| lacks(&after.held, thing)).for_each(|thing| things.release(thing, worker));
        after.held.iter().filter(|thing| lacks(&before.held, thing)).for_each(|thing| things.acquire(thing, worker));
        if before.works != after.works {
            if let Some(item) = before.works {
                things.end_work(item, worker, !after.ending.is_some_and(Ending::is_death));
            }
            if let Some(item) = &after.works {
                things.begin_work(item, worker);
            }
        }
    }

    /// Returns the title of a thing.
    pub(super) fn title(&self, thing: usize, language: Language) -> String {
        self.things.all()[thing].title(language, self.names)
    }

    /// Returns what a worker does, in a few words: whom it waits for, what it holds.
    pub(super) fn doing(&self, index: usize, language: Language) -> String {
        self.said(index, language, true)
    }

    /// As [`doing`](Self::doing), without whom it waits for: that is not up to this worker.
    pub(super) fn activity(&self, index: usize, language: Language) -> String {
        self.said(index, language, false)
    }

    fn said(&self, index: usize, language: Language, has_holders: bool) -> String {
        let worker = &self.lanes.workers()[index];
        let index_of = |(noun, name): &Named| self.things.index_of(*noun, name);
        let waits = worker.waits.as_ref().and_then(index_of).map(|thing| {
            let title = self.title(thing, language);
            let holder = match self.things.all()[thing].holders() {
                [holder] if has_holders => {
                    let holder = language.name(self.names, holder);
                    say!(in language, " ({holder} has it)", "（{holder}持有）")
                }
                _ => String::new(),
            };
            format!("{}{title}{holder}", language.pick("waits: ", "等待："))
        });
        let held = worker.held.iter().filter_map(index_of).map(|thing| self.title(thing, language));
        let held = held.collect::<Vec<_>>().join(language.pick(", ", "、"));
        let holds = (!held.is_empty()).then(|| format!("{}{held}", language.pick("holds: ", "持有：")));
        let works = worker.works.as_ref();
        let works = works.map(|item| format!("{}{}", language.pick("works on ", "处理 "), short(&item.value)));
        let parts: Vec<String> = [holds, waits, works].into_iter().flatten().collect();
        if !parts.is_empty() {
            return parts.join(language.pick("; ", "；"));
        }
        match (worker.state(), worker.ending) {
            (State::NotStarted, _) => language.pick("not started", "未启动"),
            (State::Died, Some(Ending::Killed(9))) => language.pick("killed (signal 9)", "被杀死（信号 9）"),
            (State::Died, _) => language.pick("died", "异常终止"),
            (State::Ended, _) => language.pick("has ended", "已结束"),
            _ => language.pick("runs", "运行"),
        }
        .to_owned()
    }
}

/// Formats a value so that it fits into a box: a number with at most two decimals, or the beginning of a text.
pub(super) fn short(value: &serde_json::Value) -> String {
    const MOST: usize = 12;
    let text = match value {
        serde_json::Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            return format!("{number:.2}");
        }
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= MOST { text } else { text.chars().take(MOST - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::{AnyFact, RUNNER};
    use crate::report::frame::{WorkerExited, WorkerStarted};
    use crate::report::things::Thing;
    use crate::scenarios::facts::*;
    use serde_json::{Value, json};

    /// A run of these workers, which have been started.
    struct Run(Scene);

    impl Run {
        fn of(things: Vec<Thing>, workers: &[&str], has_tasks: bool) -> Self {
            let started = RunStarted {
                scenario: "tickets",
                seed: 1,
                speed: 1.into(),
                version: "",
                args: Vec::new(),
                workers: workers.len() as u32,
                moments: vec!["waiting", "holding", "working"],
                has_tasks,
                names: &[("buyer", "购票者"), ("tickets", "锁")],
                claim: ["", ""],
                things,
                is_explored: false,
            };
            let mut run = Run(Scene::default());
            run.then(RUNNER, started);
            for worker in workers {
                run.then(worker, WorkerStarted { role: "", daemon: false });
            }
            run
        }

        fn then(&mut self, worker: &str, fact: impl Into<AnyFact>) -> Changed {
            self.0.apply(&Event { at_us: 0, worker: worker.to_owned(), pid: 1, fact: fact.into() })
        }

        /// Returns a thing as it is serialised.
        fn thing(&self, index: usize) -> Value {
            serde_json::to_value(&self.0.things.all()[index]).expect("a thing has a JSON form")
        }

        fn doing(&self, worker: usize) -> [String; 2] {
            [Language::En, Language::Zh].map(|language| self.0.doing(worker, language))
        }
    }

    fn waits() -> LockFact {
        LockFact::LockWaiting { lock: "tickets".to_owned() }
    }

    fn has(abandoned: bool) -> LockFact {
        LockFact::LockAcquired { lock: "tickets".to_owned(), waited_us: 0, abandoned }
    }

    fn put(from: &str, number: u64) -> ItemFact {
        ItemFact::ItemPut { value: json!(0.918_273), from: from.to_owned(), number, size: None }
    }

    fn got(from: &str, number: u64, redelivered: bool) -> ItemFact {
        ItemFact::ItemGot { value: json!(0.918_273), from: from.to_owned(), number, size: None, redelivered }
    }

    fn killed() -> WorkerExited {
        WorkerExited { exit_code: None, signal: Some(9), failure: None }
    }

    #[test]
    fn lock_has_its_holder_and_its_waiters_in_order() {
        let mut run = Run::of(things_of("tickets", &["--lock"]), &["buyer-1", "buyer-2", "buyer-3"], false);
        run.then("buyer-1", waits());
        run.then("buyer-1", has(false));
        run.then("buyer-3", waits());
        let changed = run.then("buyer-2", waits());
        assert_eq!(changed, Changed { workers: [1].into(), things: [1].into() });
        let lock = |holder: Option<&str>, waiters: &[&str]| json!({"name": "tickets", "shape": "lock", "holder": holder, "waiters": waiters, "in_cycle": false});
        assert_eq!(run.thing(1), lock(Some("buyer-1"), &["buyer-3", "buyer-2"]));
        assert_eq!(run.doing(0), ["holds: lock", "持有：锁"]);
        assert_eq!(run.doing(1), ["waits: lock (buyer-1 has it)", "等待：锁（购票者1持有）"]);
        // The holder is killed, and the next takes over.
        run.then("buyer-1", killed());
        assert_eq!(run.thing(1), lock(None, &["buyer-3", "buyer-2"]));
        run.then("buyer-3", has(true));
        assert_eq!(run.thing(1), lock(Some("buyer-3"), &["buyer-2"]));
        assert_eq!(run.doing(0), ["killed (signal 9)", "被杀死（信号 9）"]);
        let worker = &run.0.lanes.workers()[2];
        assert_eq!((worker.name.as_str(), worker.pid, worker.state()), ("buyer-3", 1, State::Holding));
        assert_eq!(run.doing(2)[0], "holds: lock");
        run.then("buyer-3", LockFact::LockReleased { lock: "tickets".to_owned(), held_us: 1 });
        assert_eq!(run.thing(1), lock(None, &["buyer-2"]));
    }

    #[test]
    fn death_that_is_reported_after_its_effect_changes_nothing_more() {
        let mut run = Run::of(things_of("tickets", &["--lock"]), &["buyer-1", "buyer-2"], false);
        run.then("buyer-1", has(false));
        run.then("buyer-2", has(true));
        run.then("buyer-1", killed());
        assert_eq!(run.thing(1)["holder"], "buyer-2");
    }

    #[test]
    fn ticket_file_has_the_number_written_last_and_those_that_were_read() {
        let mut run = Run::of(things_of("tickets", &["--stock", "3"]), &["buyer-1", "buyer-2"], false);
        assert_eq!(
            run.thing(0),
            json!({"name": "", "shape": "number", "value": 3, "of": {}, "verb": ["read", "读到"], "waiters": []})
        );
        run.then("buyer-1", SaleFact::StockChecked { left: 3 });
        run.then("buyer-2", SaleFact::StockChecked { left: 3 });
        run.then("buyer-1", SaleFact::TicketBought { left: 2 });
        assert_eq!(
            run.thing(0),
            json!({"name": "", "shape": "number", "value": 2, "of": {"buyer-2": 3}, "verb": ["read", "读到"], "waiters": []})
        );
        assert_eq!(run.0.title(0, Language::Zh), "余票文件");
        // With the lock, a buyer reads the file again.
        run.then("buyer-2", has(false));
        assert_eq!(run.thing(0)["of"], json!({"buyer-2": 2}));
    }

    #[test]
    fn queue_fills_and_drains() {
        let mut run = Run::of(things_of("queue", &["--capacity", "2"]), &["producer", "consumer"], false);
        run.then("producer", put("producer", 1));
        run.then("producer", put("producer", 2));
        run.then("consumer", got("producer", 1, false));
        let queue = run.thing(0);
        assert_eq!((&queue["capacity"], &queue["put"], &queue["got"]), (&json!(2), &json!(2), &json!(1)));
        assert_eq!(queue["items"], json!([{"key": {"item": ["producer", 2]}, "value": 0.918_273}]));
        assert_eq!(run.doing(1)[0], "runs", "nobody reports that an item is done");
        // A get that is reported before its put.
        run.then("consumer", got("producer", 2, false));
        run.then("consumer", got("producer", 3, false));
        run.then("producer", put("producer", 3));
        assert_eq!((run.thing(0)["items"].clone(), run.thing(0)["put"].clone()), (json!([]), json!(3)));
    }

    #[test]
    fn task_of_a_dead_consumer_is_the_next_to_be_taken() {
        let mut run = Run::of(things_of("joinable", &[]), &["producer-1", "consumer-1", "consumer-2"], true);
        run.then("producer-1", put("producer-1", 1));
        run.then("producer-1", put("producer-1", 2));
        run.then("consumer-1", got("producer-1", 1, false));
        assert_eq!(run.doing(1), ["works on 0.92", "处理 0.92"]);
        run.then("consumer-1", killed());
        let numbers = |run: &Run| -> Vec<Value> {
            let queue = run.thing(0);
            queue["items"].as_array().expect("items").iter().map(|item| item["key"]["item"][1].clone()).collect()
        };
        assert_eq!((numbers(&run), run.thing(0)["left"].clone()), (vec![json!(1), json!(2)], json!(1)));
        run.then("consumer-2", got("producer-1", 1, true));
        assert_eq!(numbers(&run), [json!(2)]);
        let (value, from) = (json!(0.5), "producer-1".to_owned());
        run.then("consumer-2", ItemFact::TaskDone { value, from, number: 1 });
        assert_eq!((run.thing(0)["done"].clone(), run.doing(2)[0].as_str()), (json!(1), "runs"));
    }

    #[test]
    fn messages_and_answers_have_a_pipe_each() {
        let mut run = Run::of(things_of("pipe", &["--duplex"]), &["producer", "consumer"], false);
        let count = |run: &Run| [0, 1].map(|pipe| run.thing(pipe)["items"].as_array().expect("items").len());
        run.then("producer", PipeFact::MessageSent { value: 1.into() });
        assert_eq!(count(&run), [1, 0]);
        run.then("consumer", PipeFact::MessageReceived { value: 1.into() });
        run.then("consumer", PipeFact::ReplySent { value: 1.into() });
        assert_eq!(count(&run), [0, 1]);
        run.then("producer", PipeFact::ReplyReceived { value: 1.into() });
        assert_eq!(count(&run), [0, 0]);
    }

    #[test]
    fn barrier_has_who_has_arrived_in_this_round() {
        let mut run = Run::of(things_of("barrier", &["--parties", "2"]), &["worker-1", "worker-2"], false);
        let arrives = |round| BarrierFact::BarrierWaiting { round };
        let at_gate = |run: &Run| (run.thing(0)["round"].clone(), run.thing(0)["waiters"].clone());
        run.then("worker-1", arrives(1));
        run.then("worker-2", arrives(1));
        assert_eq!(at_gate(&run), (json!(1), json!(["worker-1", "worker-2"])));
        run.then("worker-2", BarrierFact::BarrierPassed { round: 1, waited_us: 0 });
        run.then("worker-2", arrives(2));
        assert_eq!(at_gate(&run), (json!(2), json!(["worker-2"])), "the other has not reported that it passed");
        run.then("worker-1", BarrierFact::BarrierPassed { round: 1, waited_us: 0 });
        run.then("worker-1", killed());
        run.then("worker-2", BarrierFact::BarrierBroken { round: 2, cause: String::new(), dead_pid: None });
        assert_eq!((run.thing(0)["is_broken"].clone(), at_gate(&run).1), (json!(true), json!([])));
    }

    #[test]
    fn permits_lamp_and_numbers_follow_their_events() {
        let mut run = Run::of(things_of("semaphore", &["--permits", "2"]), &["car-1"], false);
        let semaphore = || "car park".to_owned();
        run.then("car-1", PermitFact::PermitAcquired { semaphore: semaphore(), waited_us: 0 });
        assert_eq!((run.thing(0)["total"].clone(), run.thing(0)["holders"].clone()), (json!(2), json!(["car-1"])));
        run.then("car-1", killed());
        assert_eq!(run.thing(0)["holders"], json!([]));

        let mut run = Run::of(things_of("event", &[]), &["racer-1"], false);
        run.then("racer-1", RaceFact::GunAwaited);
        assert_eq!(
            (run.thing(0)["is_on"].clone(), run.thing(0)["waiters"].clone()),
            (json!(false), json!(["racer-1"]))
        );
        run.then(RUNNER, RaceFact::GunFired);
        assert_eq!(run.thing(0)["is_on"], true);

        let mut run = Run::of(things_of("values", &[]), &["worker-1", "worker-2"], false);
        run.then("worker-1", ValuesFact::IncrementsMade { made: 100, seen: 150 });
        run.then("worker-2", ValuesFact::IncrementsMade { made: 100, seen: 140 });
        assert_eq!([0, 1].map(|number| run.thing(number)["value"].clone()), [json!(150), json!(200)]);
    }

    #[test]
    fn condition_and_deadlock_have_their_waiters() {
        let mut run = Run::of(things_of("condition", &[]), &["producer-1", "consumer-1"], false);
        let condition = "not empty".to_owned();
        run.then("consumer-1", ConditionFact::ConditionWaiting { condition: condition.clone() });
        assert_eq!(run.thing(2), json!({"name": "not empty", "shape": "condition", "waiters": ["consumer-1"]}));
        run.then("consumer-1", ConditionFact::ConditionMet { condition, waited_us: 1 });
        assert_eq!(run.thing(2)["waiters"], json!([]));

        let mut run = Run::of(things_of("deadlock", &[]), &["worker-1", "worker-2"], false);
        let lock = |number| format!("lock-{number}");
        for (worker, own, other) in [("worker-1", 1, 2), ("worker-2", 2, 1)] {
            run.then(worker, LockFact::LockAcquired { lock: lock(own), waited_us: 0, abandoned: false });
            run.then(worker, LockFact::LockWaiting { lock: lock(other) });
        }
        let link = |worker: &str, own, other, held_by: &str| Link {
            worker: worker.to_owned(),
            holds: lock(own),
            waits_for: lock(other),
            held_by: held_by.to_owned(),
        };
        let cycle = vec![link("worker-1", 1, 2, "worker-2"), link("worker-2", 2, 1, "worker-1")];
        run.then(RUNNER, DeadlockFound { cycle });
        assert_eq!([0, 1].map(|number| run.thing(number)["in_cycle"].clone()), [json!(true), json!(true)]);
        assert_eq!(run.doing(0)[0], "holds: lock-1; waits: lock-2 (worker-2 has it)");
        run.then("worker-1", LockFact::LockTimedOut { lock: lock(2), waited_us: 1 });
        assert_eq!([0, 1].map(|number| run.thing(number)["in_cycle"].clone()), [json!(false), json!(false)]);
    }

    #[test]
    fn pool_repeats_the_task_of_a_dead_worker() {
        let mut run = Run::of(things_of("pool", &["--tasks", "3"]), &["worker-1", "worker-2"], true);
        let starts = |task| PoolFact::TaskStarted { task };
        run.then("worker-1", starts(1));
        run.then("worker-2", starts(2));
        run.then("worker-1", killed());
        assert_eq!(
            (run.thing(0)["running"].clone(), run.thing(0)["left"].clone()),
            (json!({"2": "worker-2"}), json!([1]))
        );
        run.then("worker-2", PoolFact::TaskFinished { task: 2, value: 4 });
        run.then("worker-3", WorkerStarted { role: "", daemon: false });
        run.then("worker-3", starts(1));
        assert_eq!(run.thing(0)["left"], json!([]));
        assert_eq!((run.thing(0)["done"].clone(), run.0.lanes.workers().len()), (json!(1), 3));
    }

    #[test]
    fn object_of_a_manager_has_the_content_that_calls_give_it() {
        let mut run = Run::of(Vec::new(), &["worker-1"], false);
        let made = |object: &str| ManagerFact::ObjectMade { object: object.to_owned(), name: None };
        let called = |object: &str, method: &str, args: Vec<Value>, answer: Option<Value>| ManagerFact::ObjectCalled {
            object: object.to_owned(),
            method: method.to_owned(),
            args,
            answer,
        };
        let shown = |object: &str, value| ManagerFact::ObjectShown { object: object.to_owned(), value };
        run.then(RUNNER, made("dict"));
        run.then(RUNNER, shown("dict", json!({})));
        run.then("worker-1", called("dict", "set_item", vec![json!("a"), json!("a")], None));
        assert_eq!(run.thing(0)["value"], json!({"a": "a"}));
        run.then(RUNNER, made("Array"));
        run.then(RUNNER, shown("array", json!([0, 0])));
        run.then("worker-1", called("array", "add", vec![json!(1), json!(1)], Some(json!(5))));
        assert_eq!(run.thing(1)["value"], json!([0, 5]));
        run.then(RUNNER, made("Value"));
        run.then(RUNNER, shown("value", json!(0)));
        run.then("worker-1", called("value", "add", vec![json!(1)], Some(json!(2))));
        run.then("worker-1", called("value", "add", vec![json!(1)], Some(json!(1))));
        assert_eq!(run.thing(2)["value"], 2);
        run.then(RUNNER, made("Lock"));
        let changed = run.then("worker-1", called("count", "set", vec![json!(1)], None));
        assert_eq!((run.thing(4)["value"].clone(), changed.things), (json!(1), [4].into()));
    }
}
