//! Every format shows the same handmade run; the expected output is in `data/golden`.

mod pages;
mod pictures;
pub(crate) mod well_formed;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use serde_json::json;

use super::Reporter;
use super::event::{AnyFact, Event, RUNNER};
use super::frame::{Allowance, Loss, Reason, RunStarted, Summary, Verdict, WorkerExited, WorkerStarted, counter};
use super::jsonl::JsonLines;
use super::language::Language;
use super::text::Text;
use super::wording::Names;
use super::{timeline, trace};
use crate::Error;
use crate::scenarios::facts::*;

/// Bytes that a reporter writes and the test reads.
#[derive(Clone, Default)]
struct Paper(Rc<RefCell<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("reports are text")
    }
}

/// A handmade run: one event per second, process IDs from 100.
struct Run(Vec<Event>);

impl Run {
    fn of(scenario: &'static str, workers: u32) -> Self {
        Self::with_args(scenario, workers, &[scenario, "--strict"])
    }

    fn with_args(scenario: &'static str, workers: u32, args: &[&str]) -> Self {
        Self::with_names(scenario, workers, args, names(scenario))
    }

    fn with_names(scenario: &'static str, workers: u32, args: &[&str], names: Names) -> Self {
        let has_tasks = scenario == "pool";
        let started = RunStarted {
            scenario,
            seed: 7,
            speed: json!(1),
            version: "0.0.0",
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            workers,
            moments: if has_tasks { vec!["working"] } else { vec!["waiting", "holding"] },
            has_tasks,
            names,
            claim: ["", ""],
            things: Vec::new(),
            is_explored: false,
        };
        Run(Vec::new()).then(RUNNER, started)
    }

    fn then(mut self, worker: &str, fact: impl Into<AnyFact>) -> Self {
        let pid = worker.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        let pid = match worker {
            RUNNER => 99,
            _ => 100 + pid.unwrap_or(u32::from(worker.as_bytes()[0])),
        };
        let at_us = self.0.len() as u64 * 1_000_000;
        self.0.push(Event { at_us, worker: worker.to_owned(), pid, fact: fact.into() });
        self
    }

    fn shown_by<R: Reporter>(&self, reporter: impl FnOnce(Paper) -> R) -> String {
        let paper = Paper::default();
        let mut reporter = reporter(paper.clone());
        self.0.iter().try_for_each(|event| reporter.event(event)).expect("paper takes everything");
        paper.text()
    }

    fn text_of_width(&self, language: Language, columns: usize) -> String {
        self.shown_by(|paper| {
            let mut text = Text::new(paper, language, false, None);
            text.columns = Some(columns);
            text
        })
    }

    /// Compares the output of each format with its golden file.
    fn matches_golden_files(&self, name: &str) {
        let text = |language, colored| self.shown_by(|paper| Text::new(paper, language, colored, None));
        insta::with_settings!({ snapshot_path => "../../data/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}.en"), text(Language::En, false));
            insta::assert_snapshot!(format!("{name}.zh"), text(Language::Zh, false));
            insta::assert_snapshot!(format!("{name}.jsonl"), self.shown_by(|paper| JsonLines::new(paper, false)));
            let picture = timeline::draw(&self.0, Language::En);
            well_formed::timeline(&picture);
            insta::assert_snapshot!(format!("{name}.timeline"), picture);
            let mut traced = Vec::new();
            trace::write(&self.0, &mut traced).expect("memory takes everything");
            let traced = String::from_utf8(traced).expect("a trace is text");
            well_formed::trace(&traced);
            insta::assert_snapshot!(format!("{name}.trace"), traced);
        });
    }
}

fn lock() -> String {
    "tickets".to_owned()
}

fn worker_started(daemon: bool) -> WorkerStarted {
    WorkerStarted { role: "tickets.buyer", daemon }
}

fn worker_exited(exit_code: Option<i32>, signal: Option<i32>, failure: Option<&str>) -> WorkerExited {
    WorkerExited { exit_code, signal, failure: failure.map(str::to_owned) }
}

/// Counters have Chinese names, where a golden file shows them.
const COUNTERS: &[(&str, &str)] = &[
    ("stock", "票数"),
    ("bought", "买到"),
    ("refused", "没买到"),
    ("left", "余票"),
    ("oversold", "超卖"),
    ("sent", "发送"),
    ("received", "收到"),
    ("replies", "回复"),
    ("in_order", "按顺序"),
    ("produced", "生产"),
    ("consumed", "消费"),
    ("lost", "丢失"),
    ("tasks_done", "已处理"),
    ("finished", "完成"),
    ("deadlocks", "死锁"),
    ("found", "发现"),
    ("timeouts", "超时"),
    ("types", "类型"),
    ("steps", "步骤"),
    ("manager_gone", "服务进程已终止"),
    ("tasks", "任务"),
    ("results", "结果"),
    ("failed", "失败"),
    ("retried", "重试"),
];

fn summary(scenario: &'static str, verdict: Verdict, guaranteed: bool, facts: serde_json::Value) -> Summary {
    let counters = facts.as_object().expect("facts by name").iter().map(|(name, value)| {
        let name: &'static str = name.clone().leak();
        let zh = COUNTERS.iter().find(|(en, _)| *en == name).map_or(name, |(_, zh)| zh);
        counter(name, zh, value.clone())
    });
    let ([_, zh], needs) = claim(scenario);
    let advice = match (scenario, verdict) {
        ("tickets", Verdict::Violated) => Some([
            "all buyers read before anyone wrote; a lock prevents it: ipc-demo tickets --lock",
            "购票者都在写入前读取了余票；加锁即可避免：ipc-demo tickets --lock",
        ]),
        ("joinable", _) => Some([
            "kill a consumer in the middle of a task: ipc-demo joinable --consumers 2 --kill consumer-1@working",
            "试试在处理任务时杀死消费者：ipc-demo joinable --consumers 2 --kill consumer-1@working",
        ]),
        ("deadlock", Verdict::Violated) => Some([
            "one order for all locks prevents it: ipc-demo deadlock --ordered",
            "所有进程按同一顺序获取锁即可避免：ipc-demo deadlock --ordered",
        ]),
        ("manager", _) => Some([
            "for other types, shells, machines and scripts: ipc-demo manager --help",
            "其他类型、终端、机器和脚本：ipc-demo manager --help",
        ]),
        _ => None,
    };
    let (claim, elapsed_us, facts) = (["the claim of the scenario", zh], 12_345, counters.collect());
    Summary {
        scenario,
        claim,
        verdict,
        guaranteed,
        needs,
        allowance: None,
        reason: None,
        loss: None,
        elapsed_us,
        seen: Some(["What was seen, in one sentence.", "一句话说明看到的情况。"].map(str::to_owned)),
        facts,
        schedule: None,
        explored: None,
        advice,
    }
}

impl Summary {
    /// Returns this summary with an allowance, for a run that did not finish.
    fn because(self, allowance: Option<Allowance>, reason: Option<Reason>) -> Self {
        Summary { allowance, reason, ..self }
    }
}

#[test]
fn sale_with_a_lock() {
    Run::of("tickets", 3)
        .then("buyer-1", worker_started(false))
        .then("buyer-2", worker_started(false))
        .then("buyer-3", worker_started(true))
        .then("buyer-1", SaleFact::StockChecked { left: 1 })
        .then("buyer-1", LockFact::LockWaiting { lock: lock() })
        .then("buyer-1", LockFact::LockAcquired { lock: lock(), waited_us: 0, abandoned: false })
        .then("buyer-2", LockFact::LockWaiting { lock: lock() })
        .then("buyer-3", LockFact::LockWaiting { lock: lock() })
        .then("buyer-1", worker_exited(None, Some(9), None))
        .then("buyer-2", LockFact::LockAcquired { lock: lock(), waited_us: 2_000_000, abandoned: true })
        .then("buyer-2", SaleFact::TicketBought { left: 0 })
        .then("buyer-2", LockFact::LockReleased { lock: lock(), held_us: 1_000_000 })
        .then("buyer-3", LockFact::LockAcquired { lock: lock(), waited_us: 12, abandoned: false })
        .then("buyer-2", worker_exited(Some(0), None, None))
        .then("buyer-3", SaleFact::TicketRefused { left: 0 })
        .then("buyer-3", worker_exited(Some(1), None, Some("worker buyer-3 panicked: no change (at shop.rs:1:1)")))
        .then(
            RUNNER,
            summary("tickets", Verdict::Held, true, json!({"stock": 1, "bought": 1, "refused": 1, "left": 0})),
        )
        .matches_golden_files("tickets_lock");
}

#[test]
fn tasks_that_outlive_a_worker() {
    let put = |number| ItemFact::ItemPut { value: json!(0.25), from: "producer-1".to_owned(), number, size: Some(1) };
    let got = |number, redelivered| {
        let (from, size) = ("producer-1".to_owned(), Some(0));
        ItemFact::ItemGot { value: json!(0.25), from, number, size, redelivered }
    };
    let done = |number| ItemFact::TaskDone { value: json!(0.25), from: "producer-1".to_owned(), number };
    Run::of("joinable", 3)
        .then("producer-1", worker_started(false))
        .then("consumer-2", worker_started(true))
        .then("consumer-3", worker_started(true))
        .then("producer-1", put(1))
        .then("consumer-2", got(1, false))
        .then("producer-1", put(2))
        .then("producer-1", ItemFact::QueueFull { timeout_us: 500_000 })
        .then("consumer-3", got(2, false))
        .then("consumer-2", worker_exited(None, Some(9), None))
        .then("consumer-3", done(2))
        .then("consumer-3", got(1, true))
        .then("consumer-3", done(1))
        .then(RUNNER, ItemFact::QueueJoined { tasks: 2 })
        .then("producer-1", worker_exited(Some(0), None, None))
        .then("consumer-3", worker_exited(None, Some(15), None))
        .then(RUNNER, summary("joinable", Verdict::Held, true, json!({"produced": 2, "consumed": 2, "tasks_done": 2})))
        .matches_golden_files("joinable");
}

#[test]
fn tasks_of_a_pool() {
    let began = |task| PoolFact::TaskStarted { task };
    let finished = |task| PoolFact::TaskFinished { task, value: task * task };
    let failed = |task, worker: &str, attempts, exit_code, signal| PoolFact::TaskFailed {
        task,
        last_worker: worker.to_owned(),
        attempts,
        exit_code,
        signal,
    };
    Run::of("pool", 4)
        .then("worker-1", worker_started(false))
        .then("worker-2", worker_started(false))
        .then("worker-1", began(1))
        .then("worker-2", began(2))
        .then("worker-1", worker_exited(None, Some(9), None))
        .then("worker-3", worker_started(false))
        .then("worker-2", finished(2))
        .then("worker-2", began(1))
        .then("worker-3", began(3))
        .then("worker-2", worker_exited(None, Some(9), None))
        .then(RUNNER, failed(1, "worker-2", Some(2), None, Some(9)))
        .then("worker-3", worker_exited(None, Some(9), None))
        .then(RUNNER, failed(3, "worker-3", None, None, None))
        .then("worker-4", worker_started(false))
        .then("worker-4", began(4))
        .then("worker-4", worker_exited(Some(3), None, None))
        .then(RUNNER, failed(4, "worker-4", Some(2), Some(3), None))
        .then(
            RUNNER,
            summary("pool", Verdict::Held, true, json!({"tasks": 4, "results": 4, "failed": 3, "retried": 1})),
        )
        .matches_golden_files("pool");
}

#[test]
fn messages_and_answers() {
    let value = || json!(1);
    Run::of("pipe", 2)
        .then("producer", worker_started(false))
        .then("consumer", worker_started(false))
        .then("consumer", PipeFact::SendRefused { error: "this end only receives".to_owned() })
        .then("producer", PipeFact::MessageSent { value: value() })
        .then("consumer", PipeFact::MessageReceived { value: value() })
        .then("consumer", PipeFact::ReplySent { value: value() })
        .then("producer", PipeFact::ReplyReceived { value: value() })
        .then("producer", worker_exited(Some(0), None, None))
        .then("consumer", PipeFact::EndOfFile)
        .then("consumer", worker_exited(Some(0), None, None))
        .then(RUNNER, summary("pipe", Verdict::Held, true, json!({"sent": 1, "received": 1, "replies": 1})))
        .matches_golden_files("pipe");
}

#[test]
fn workers_that_wait_for_each_other() {
    let waiting = |lock: &str| LockFact::LockWaiting { lock: lock.to_owned() };
    let acquired = |lock: &str| LockFact::LockAcquired { lock: lock.to_owned(), waited_us: 0, abandoned: false };
    let released = |lock: &str| LockFact::LockReleased { lock: lock.to_owned(), held_us: 1 };
    Run::of("deadlock", 2)
        .then("worker-1", worker_started(false))
        .then("worker-2", worker_started(false))
        .then("worker-1", waiting("left"))
        .then("worker-1", acquired("left"))
        .then("worker-2", waiting("right"))
        .then("worker-2", acquired("right"))
        .then("worker-1", waiting("right"))
        .then("worker-2", waiting("left"))
        .then("worker-1", worker_exited(None, Some(9), None))
        .then("worker-2", LockFact::LockAcquired { lock: "left".to_owned(), waited_us: 1_000_000, abandoned: true })
        .then("worker-2", SaleFact::StockChecked { left: 1 })
        .then("worker-2", released("right"))
        .then("worker-2", SaleFact::StockChecked { left: 1 })
        .then("worker-2", released("left"))
        .then("worker-2", worker_exited(Some(0), None, None))
        .then(RUNNER, summary("deadlock", Verdict::Violated, false, json!({"finished": 1})))
        .matches_golden_files("two_locks");
}

#[test]
fn sale_without_a_lock() {
    Run::of("tickets", 30)
        .then("buyer-1", worker_started(false))
        .then("buyer-1", SaleFact::StockChecked { left: 2 })
        .then("buyer-1", SaleFact::DataTorn { error: "EOF while parsing a value".to_owned() })
        .then("buyer-1", worker_exited(None, Some(15), None))
        .then("buyer-2", worker_started(false))
        .then("buyer-2", worker_exited(None, Some(11), None))
        .then("buyer-3", worker_started(false))
        .then("buyer-3", worker_exited(Some(3), None, None))
        .then(RUNNER, summary("tickets", Verdict::Violated, false, json!({"oversold": 7})))
        .matches_golden_files("tickets_race");
}

/// Returns a cycle of workers, each with the lock of its number.
fn ring_of(workers: usize) -> DeadlockFound {
    let link = |own| {
        let next = own % workers + 1;
        let (worker, holds) = (format!("worker-{own}"), format!("lock-{own}"));
        Link { worker, holds, waits_for: format!("lock-{next}"), held_by: format!("worker-{next}") }
    };
    DeadlockFound { cycle: (1..=workers).map(link).collect() }
}

#[test]
fn deadlock_broken_by_a_timeout() {
    let wants = |lock: &str| LockFact::LockWaiting { lock: lock.to_owned() };
    let has = |lock: &str, abandoned| LockFact::LockAcquired { lock: lock.to_owned(), waited_us: 1_500_000, abandoned };
    let drops = |lock: &str| LockFact::LockReleased { lock: lock.to_owned(), held_us: 2_500_000 };
    Run::of("deadlock", 2)
        .then("worker-1", worker_started(false))
        .then("worker-2", worker_started(false))
        .then("worker-1", has("lock-1", false))
        .then("worker-2", has("lock-2", false))
        .then("worker-1", wants("lock-2"))
        .then("worker-2", wants("lock-1"))
        .then(RUNNER, ring_of(2))
        .then("worker-1", LockFact::LockTimedOut { lock: "lock-2".to_owned(), waited_us: 2_000_000 })
        .then("worker-1", drops("lock-1"))
        .then("worker-2", has("lock-1", true))
        .then("worker-2", drops("lock-1"))
        .then("worker-2", drops("lock-2"))
        .then("worker-2", worker_exited(Some(0), None, None))
        .then(RUNNER, summary("deadlock", Verdict::Violated, false, json!({"deadlocks": 1, "found": 1, "timeouts": 1})))
        .matches_golden_files("deadlock");
}

#[test]
fn long_ring_is_cut_short() {
    let run = Run::of("deadlock", 12).then(RUNNER, ring_of(12));
    let text = run.shown_by(|paper| Text::new(paper, Language::En, false, None));
    assert_eq!(text.lines().filter(|line| line.contains(" and waits for ")).count(), 10, "{text}");
    assert!(text.ends_with("and 2 more\n"), "{text}");
}

#[test]
fn other_endings() {
    let facts = || json!({"in_order": true, "lost": 0, "left": false});
    Run::of("tickets", 0)
        .then(RUNNER, summary("tickets", Verdict::Violated, true, facts()))
        .then(RUNNER, summary("tickets", Verdict::Held, false, facts()))
        .then(RUNNER, summary("tickets", Verdict::NotShown, true, facts()).because(None, Some(Reason::Cut)))
        .then(RUNNER, summary("tickets", Verdict::NotShown, true, facts()).because(None, Some(Reason::Machinery)))
        .then(RUNNER, summary("tickets", Verdict::Violated, true, facts()).because(None, Some(Reason::Cut)))
        .then(RUNNER, summary("queue", Verdict::Held, true, facts()).because(Some(Allowance::Lost), None))
        .then(RUNNER, summary("queue", Verdict::Held, true, facts()).because(Some(Allowance::Lost), Some(Reason::Cut)))
        .matches_golden_files("endings");
}

#[test]
fn verdict_says_what_happened_to_workers() {
    let said = |loss, allowance: Option<Allowance>, reason| {
        let verdict =
            if reason == Some(Reason::Machinery) && allowance.is_none() { Verdict::NotShown } else { Verdict::Held };
        let summary = summary("tickets", verdict, true, serde_json::json!({})).because(allowance, reason);
        let summary = Summary { claim: ["it works", "正常"], loss, ..summary };
        [Language::En, Language::Zh].map(|language| summary.said(language))
    };
    let unfinished = |loss| said(Some(loss), Some(Allowance::Unfinished), None);
    assert_eq!(
        unfinished(Loss::Killed),
        [
            "guaranteed, and held: it works (a worker was killed before it finished; the verdict covers the others)",
            "成立（有保证）：正常（有进程未完成就被杀死；结论只针对其余进程）",
        ]
    );
    assert_eq!(
        unfinished(Loss::Failed),
        [
            "guaranteed, and held: it works (a worker failed before it finished; the verdict covers the others)",
            "成立（有保证）：正常（有进程未完成就出错；结论只针对其余进程）",
        ]
    );
    assert_eq!(
        unfinished(Loss::Unstarted),
        [
            "guaranteed, and held: it works (a worker could not start; the verdict covers the others)",
            "成立（有保证）：正常（有进程无法启动；结论只针对其余进程）",
        ]
    );
    let [en, zh] = said(Some(Loss::Killed), Some(Allowance::Lost), None);
    assert!(en.ends_with("(a worker was killed; what only it held is lost; the verdict covers the others)"), "{en}");
    assert!(zh.ends_with("（有进程被杀死，仅由它持有的数据已丢失；结论只针对其余进程）"), "{zh}");
    let [en, zh] = said(Some(Loss::Failed), Some(Allowance::Unreported), None);
    assert!(en.contains("(a worker failed before it reported its last step; the verdict"), "{en}");
    assert!(zh.contains("（有进程在报告最后一步之前出错；"), "{zh}");
    for (allowance, reason, [en, zh]) in [
        (Allowance::Lost, Reason::Cut, ["(the run was stopped early; what only the", "（运行被提前停止，仅由各"]),
        (
            Allowance::Unreported,
            Reason::Cut,
            ["(the run was stopped early; the workers did", "（运行被提前停止，进程未能"],
        ),
        (Allowance::Unfinished, Reason::Machinery, ["(the run failed; the workers did", "（运行出错，进程未能"]),
    ] {
        let said = said(None, Some(allowance), Some(reason));
        assert!(said[0].contains(en) && said[1].contains(zh), "{said:?}");
    }
    for (loss, wanted) in [
        (Loss::Unstarted, ["inconclusive (a worker could not start): it works", "无法判断（有进程无法启动）：正常"]),
        (Loss::Failed, ["inconclusive (a worker failed): it works", "无法判断（有进程出错）：正常"]),
        (Loss::Killed, ["inconclusive (a worker was killed): it works", "无法判断（有进程被杀死）：正常"]),
    ] {
        assert_eq!(said(Some(loss), None, Some(Reason::Machinery)), wanted);
    }
}

#[test]
fn colours_wrap_whole_words_and_end() {
    let run = Run::of("tickets", 1)
        .then("buyer-1", worker_started(false))
        .then("buyer-1", SaleFact::TicketBought { left: 2 });
    let plain = run.shown_by(|paper| Text::new(paper, Language::En, false, None));
    let colored = run.shown_by(|paper| Text::new(paper, Language::En, true, None));
    assert!(!plain.contains('\u{1b}'));
    assert!(colored.contains("\u{1b}[32mbuys a ticket and writes: 2 tickets left\u{1b}[0m"), "{colored:?}");
    // Taking the colours away leaves the plain report.
    let mut rest = colored.as_str();
    let mut stripped = String::new();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').expect("every sequence ends").1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn every_line_fits_eighty_columns() {
    use unicode_width::UnicodeWidthStr;
    let run = Run::of("tickets", 10)
        .then("buyer-10", worker_started(true))
        .then("buyer-10", LockFact::LockAcquired { lock: lock(), waited_us: 999_949, abandoned: true })
        .then("buyer-10", SaleFact::DataTorn { error: "expected value at line 1 column 1".to_owned() })
        .then("buyer-10", SaleFact::TicketBought { left: 10 })
        .then(RUNNER, summary("tickets", Verdict::Violated, false, json!({"stock": 3, "buyers": 10, "oversold": 7})));
    let long = || "lock-10".to_owned();
    let others = Run::of("deadlock", 10)
        .then("worker-10", worker_started(false))
        .then("worker-10", LockFact::LockAcquired { lock: long(), waited_us: 999_949, abandoned: true })
        .then("worker-10", LockFact::LockReleased { lock: long(), held_us: 999_949 })
        .then("worker-10", LockFact::LockTimedOut { lock: long(), waited_us: 999_949 })
        .then(RUNNER, ring_of(10))
        .then("worker-10", PermitFact::PermitAcquired { semaphore: "car park".to_owned(), waited_us: 999_949 })
        .then("worker-10", PermitFact::PermitReleased { semaphore: "car park".to_owned(), held_us: 999_949 })
        .then("worker-10", RaceFact::LineCrossed { ran_us: 999_949 })
        .then("worker-10", BarrierFact::BarrierPassed { round: 100_000, waited_us: 999_949 })
        .then(
            "worker-10",
            BarrierFact::BarrierBroken { round: 1, cause: "process 4194304 died".to_owned(), dead_pid: None },
        )
        .then("worker-10", ConditionFact::ConditionMet { condition: "not empty".to_owned(), waited_us: 999_949 })
        .then(
            "producer-10",
            ItemFact::ItemPut { value: json!(1), from: "producer-10".to_owned(), number: 1, size: Some(3) },
        )
        .then("worker-10", ValuesFact::IncrementsMade { made: 1_000_000_000, seen: 1_000_000_000_000 });
    for (language, run) in
        [Language::En, Language::Zh].into_iter().flat_map(|language| [(language, &run), (language, &others)])
    {
        let text = run.shown_by(|paper| Text::new(paper, language, false, None));
        for line in text.lines() {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
        }
    }
}

#[test]
fn lines_follow_the_width_and_break_only_between_words() {
    use unicode_width::UnicodeWidthStr;
    let args: Vec<&str> = "tickets --lock --data '/var/shop/a b.json' --buyers 12".split(' ').collect();
    let run = Run::with_args("tickets", 12, &args)
        .then("buyer-10", worker_started(true))
        .then("buyer-10", LockFact::LockAcquired { lock: lock(), waited_us: 999_949, abandoned: true })
        .then("buyer-10", SaleFact::TicketBought { left: 10 })
        .then("buyer-10", SaleFact::DataTorn { error: "expected value at line 1 column 1".to_owned() })
        .then(RUNNER, ring_of(3))
        .then(RUNNER, summary("tickets", Verdict::Violated, false, json!({"stock": 3, "buyers": 10, "oversold": 7})));
    let words = |text: &str| text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ");
    for language in [Language::En, Language::Zh] {
        let shown = |columns| run.text_of_width(language, columns);
        // Without lanes, so that the text is the same at any width.
        let narrow = shown(40);
        for line in narrow.lines() {
            assert!(line.width() <= 40, "{} columns: {line}", line.width());
        }
        let wide = shown(51);
        assert!(wide.lines().count() < narrow.lines().count());
        if language == Language::En {
            assert_eq!(words(&narrow), words(&wide), "no word was broken");
        }
        for columns in [60, 80, 100, 200] {
            for line in shown(columns).lines() {
                assert!(line.width() <= columns, "{} columns: {line}", line.width());
            }
        }
        assert!(shown(100).contains("×") && !shown(51).contains("×"), "twelve lanes, and none");
    }
}

#[test]
fn fractions_have_two_digits_in_english_and_all_in_chinese_and_json() {
    let (value, from) = (json!(0.922_143_907_158_339_8), "producer-1".to_owned());
    let run = Run::of("joinable", 2).then("producer-1", ItemFact::ItemPut { value, from, number: 1, size: None });
    assert!(run.text_of_width(Language::En, 80).ends_with("puts 0.92\n"));
    let zh = run.text_of_width(Language::Zh, 80);
    assert!(zh.ends_with("生产者产生数据: 0.9221439071583398\n"), "as Python prints it: {zh}");
    assert!(run.shown_by(|paper| JsonLines::new(paper, false)).contains(r#""value":0.9221439071583398,"#));
}

#[test]
fn number_longer_than_a_line_is_cut() {
    use unicode_width::UnicodeWidthStr;
    let (value, from) = (json!(1_087_308_209_691_114_600_u64), "producer-2".to_owned());
    let run = Run::of("joinable", 2).then("consumer", ItemFact::TaskDone { value, from, number: 1 });
    let shown = run.text_of_width(Language::En, 40);
    assert!(shown.lines().all(|line| line.width() <= 40), "{shown}");
    assert!(shown.contains("108730820969111…"), "{shown}");
}

#[test]
fn call_on_a_narrow_screen_is_broken_between_its_parts() {
    use unicode_width::UnicodeWidthStr;
    let called = |object: &str, method: &str, args: serde_json::Value| {
        let (object, method) = (object.to_owned(), method.to_owned());
        ManagerFact::ObjectCalled { object, method, args: args.as_array().expect("a list").clone(), answer: None }
    };
    let value = json!(["worker-1", "worker-2", "worker-2"]);
    let run = Run::of("manager", 1)
        .then("worker-1", called("list", "append", json!(["worker-1"])))
        .then("worker-1", called("JoinableQueue", "task_done", json!([])))
        .then("worker-1", called("list", "append", json!(["x".repeat(100)])))
        .then(RUNNER, ManagerFact::ObjectShown { object: "list".to_owned(), value });
    let shown = run.text_of_width(Language::En, 40);
    assert!(shown.lines().all(|line| line.width() <= 40), "{shown}");
    let lines: Vec<&str> = shown.lines().skip(3).map(|line| line.get(24..).unwrap_or(line).trim()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    calls list.
    append(
    "worker-1")
    calls
    JoinableQueue.
    task_done()
    calls list.
    append(
    "xxxxxxxxxxxxxx…
    shows list:
    ["worker-1",
    "worker-2", …
    "#);
}

#[test]
fn abandoned_locks_and_broken_barriers_name_the_dead() {
    let acquired = |abandoned| LockFact::LockAcquired { lock: "lock-2".to_owned(), waited_us: 5, abandoned };
    let cause = || "process 102 died".to_owned();
    let run = Run::of("deadlock", 2)
        .then("worker-2", worker_started(false))
        .then("worker-2", acquired(false))
        .then("worker-2", worker_exited(None, Some(9), None))
        .then("worker-1", acquired(true))
        .then("worker-1", BarrierFact::BarrierBroken { round: 1, cause: cause(), dead_pid: Some(102) })
        .then("worker-1", BarrierFact::BarrierBroken { round: 1, cause: cause(), dead_pid: Some(7) });
    let said = |language| run.shown_by(|paper| Text::new(paper, language, false, None));
    for lane_kind in [
        "takes over lock-2 from worker-2, which died\n",
        "finds the barrier broken: worker-2 died\n",
        "finds the barrier broken: process 102 died\n",
    ] {
        assert!(said(Language::En).contains(lane_kind), "{lane_kind:?} in {}", said(Language::En));
    }
    for lane_kind in
        ["接管锁2：工作进程2已终止\n", "发现屏障已损坏：工作进程2已终止\n", "发现屏障已损坏：进程 7 已终止\n"]
    {
        assert!(said(Language::Zh).contains(lane_kind), "{lane_kind:?} in {}", said(Language::Zh));
    }
}

#[test]
fn filled_queue_prints_the_lines_of_the_reference_program() {
    let mut run = Run::of("queue", 1).then("filler", worker_started(false));
    for number in 1..=10 {
        let (from, size) = ("filler".to_owned(), Some(number));
        run = run.then("filler", ItemFact::ItemPut { value: json!(number), from, number, size });
    }
    run = run.then("filler", ItemFact::QueueFull { timeout_us: 0 });
    for number in 1..=10 {
        let (from, size) = ("filler".to_owned(), Some(10 - number));
        run = run.then("filler", ItemFact::ItemGot { value: json!(number), from, number, size, redelivered: false });
    }
    run = run.then("filler", ItemFact::QueueEmpty);
    let said = run.shown_by(|paper| Text::new(paper, Language::Zh, false, None));
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert!(lines.contains(&"1 2 3 4 5 6 7 8 9 10"), "{said}");
    assert!(lines.contains(&"1->2->3->4->5->6->7->8->9->10->"), "{said}");
}

#[test]
fn chinese_has_no_english_in_it() {
    let error = || "this end can only receive".to_owned();
    let waiting = |condition: &str| ConditionFact::ConditionWaiting { condition: condition.to_owned() };
    let started = |worker| (worker, worker_started(false).into());
    let told: [(&str, AnyFact); _] = [
        started("filler"),
        started("producer"),
        started("car-1"),
        started("racer-1"),
        ("producer", PipeFact::SendRefused { error: error() }.into()),
        ("producer", SaleFact::DataTorn { error: "EOF while parsing".to_owned() }.into()),
        ("producer", waiting("not full").into()),
        (
            "producer",
            BarrierFact::BarrierBroken { round: 1, cause: "a party timed out".to_owned(), dead_pid: None }.into(),
        ),
        ("producer", LockFact::LockTimedOut { lock: "lock-1".to_owned(), waited_us: 0 }.into()),
        ("car-1", PermitFact::PermitWaiting { semaphore: "car park".to_owned() }.into()),
        ("car-1", PermitFact::PermitAcquired { semaphore: "car park".to_owned(), waited_us: 0 }.into()),
        ("racer-1", RaceFact::GunAwaited.into()),
        ("racer-1", RaceFact::GunHeard { waited_us: 0 }.into()),
        ("racer-1", RaceFact::LineCrossed { ran_us: 0 }.into()),
        ("racer-1", ValuesFact::IncrementsMade { made: 1, seen: 1 }.into()),
        ("racer-1", SaleFact::StockChecked { left: 1 }.into()),
        (RUNNER, RaceFact::GunFired.into()),
        (RUNNER, ItemFact::QueueJoined { tasks: 1 }.into()),
        (RUNNER, ItemFact::QueueEmpty.into()),
        (RUNNER, PipeFact::EndOfFile.into()),
        (RUNNER, ManagerFact::EventSet.into()),
        (RUNNER, ring_of(2).into()),
    ];
    let names = ["queue", "semaphore", "event", "condition"].map(names).concat().leak();
    let run = Run::with_names("pipe", 4, &["pipe"], names);
    let run = told.into_iter().fold(run, |run, (worker, fact)| run.then(worker, fact));
    let said = run.shown_by(|paper| Text::new(paper, Language::Zh, false, None));
    let words = well_formed::timeline(&timeline::draw(&run.0, Language::Zh));
    // The scenario's name and the command line are what one types, and units are international.
    let typed = |line: &&str| !line.contains("pipe");
    for line in said.lines().chain(words.lines()).filter(typed) {
        let has_word = line.split(|letter: char| !letter.is_ascii_alphabetic()).any(|word| word.len() > 2);
        assert!(!has_word, "{line}");
    }
}

#[test]
fn known_causes_of_failures_are_told_in_chinese() {
    for cause in [
        Error::Disconnected,
        Error::BrokenPipe,
        Error::ConnectionReset,
        Error::EndOfFile,
        Error::ReadOnly,
        Error::WriteOnly,
        Error::Full,
    ] {
        let failure = format!("worker producer failed: {cause}");
        let exited = worker_exited(Some(1), None, Some(&failure));
        let run = Run::of("pipe", 1).then("producer", worker_started(false)).then("producer", exited);
        let said = run.shown_by(|paper| Text::new(paper, Language::Zh, false, None));
        let line = said.lines().find(|line| line.contains("出错：")).expect("its failure");
        assert!(!line.contains(&cause.to_string()), "{line}");
    }
}

#[test]
fn what_a_worker_reports_comes_back_from_json_as_it_was() {
    let told = AnyFact::from(ItemFact::ItemGot {
        value: json!(0.25),
        from: "producer".to_owned(),
        number: 1,
        size: None,
        redelivered: true,
    });
    let read = AnyFact::parse::<ItemFact>(told.json()).expect("its own form");
    assert_eq!((read.json(), read.name()), (told.json(), "item_got"));
    let Some(ItemFact::ItemGot { redelivered: true, number: 1, .. }) = read.get() else { panic!("{read:?}") };
    assert!(AnyFact::parse::<LockFact>(told.json()).is_err(), "it is of another type");
}

#[test]
fn objects_of_a_manager() {
    let made = |object: &str, name: Option<&str>| ManagerFact::ObjectMade {
        object: object.into(),
        name: name.map(Into::into),
    };
    let shown = |object: &str, value| ManagerFact::ObjectShown { object: object.into(), value };
    let called = |method: &str, args: serde_json::Value, answer| {
        let args = args.as_array().expect("arguments").clone();
        ManagerFact::ObjectCalled { object: "dict".into(), method: method.into(), args, answer }
    };
    let (cause, semaphore) = ("a party died".to_owned(), || "semaphore".to_owned());
    Run::of("manager", 1)
        .then(RUNNER, ManagerFact::ManagerStarted { manager_pid: 500, addresses: Vec::new() })
        .then(RUNNER, made("dict", None))
        .then(RUNNER, shown("dict", json!({})))
        .then("worker-1", worker_started(false))
        .then("worker-1", called("set_item", json!(["a", "a"]), None))
        .then("worker-1", called("add", json!(["n", 1]), Some(json!(2))))
        .then("worker-1", worker_exited(Some(0), None, None))
        .then(RUNNER, shown("dict", json!({"a": "a", "n": [null, true]})))
        // The next turn's worker comes by the same name.
        .then(RUNNER, made("Event", None))
        .then("worker-1", worker_started(false))
        .then("worker-1", ManagerFact::EventAwaited)
        .then(RUNNER, ManagerFact::EventSet)
        .then("worker-1", ManagerFact::EventSeen { waited_us: 1_000_000 })
        .then("worker-1", PermitFact::PermitWaiting { semaphore: semaphore() })
        .then("worker-1", PermitFact::PermitAcquired { semaphore: semaphore(), waited_us: 1_000_000 })
        .then("worker-1", PermitFact::PermitReleased { semaphore: semaphore(), held_us: 1_000_000 })
        .then("worker-1", BarrierFact::BarrierBroken { round: 1, cause, dead_pid: None })
        .then("worker-1", worker_exited(Some(0), None, None))
        .then(RUNNER, shown("count", json!(6)))
        .then(RUNNER, ManagerFact::KeyExposed { file: "key".into() })
        .then(RUNNER, ManagerFact::ManagerConnected { address: "tcp:10.0.0.1:5000".into() })
        .then(RUNNER, made("dict", Some("dict")))
        .then(RUNNER, ManagerFact::ManagerStarted { manager_pid: 99, addresses: vec!["tcp:0.0.0.0:5000".into()] })
        .then(RUNNER, summary("manager", Verdict::Held, true, json!({"types": 2, "steps": 1, "manager_gone": true})))
        .matches_golden_files("manager");
}
