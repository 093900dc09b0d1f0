//! The events of every run, whatever its scenario.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::class::{Class, Ending, SpanKind};
use super::event::Fact;
use super::language::Language;
use super::things::Thing;
use super::wording::{Names, Wording, say};

/// The first event of every run.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "run_started")]
pub(crate) struct RunStarted {
    /// Name of the scenario.
    pub(crate) scenario: &'static str,
    /// The seed of all random choices.
    pub(crate) seed: u64,
    /// A number, or `"max"`.
    pub(crate) speed: Value,
    /// Version of the program.
    pub(crate) version: &'static str,
    /// The command line, without the program.
    pub(crate) args: Vec<String>,
    /// How many workers the run starts with.
    pub(crate) workers: u32,
    /// The events that the workers can report, and the activities that these begin: the moments that `--kill`
    /// accepts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) moments: Vec<&'static str>,
    /// Whether workers report when they have finished an item.
    #[serde(skip)]
    pub(crate) has_tasks: bool,
    /// The names that only this scenario has.
    #[serde(skip)]
    pub(crate) names: Names,
    /// What the scenario claims about itself, in English and in Chinese.
    #[serde(skip)]
    pub(crate) claim: [&'static str; 2],
    /// What the workers share.
    #[serde(skip)]
    pub(crate) things: Vec<Thing>,
    /// Whether every schedule is run.
    #[serde(skip)]
    pub(crate) is_explored: bool,
}

impl RunStarted {
    /// Returns whether workers can be in this state.
    pub(super) fn has(&self, kind: SpanKind) -> bool {
        self.moments.contains(&kind.name()) && (kind != SpanKind::Working || self.has_tasks)
    }

    pub(super) fn speed(&self) -> String {
        self.speed.as_str().map_or_else(|| self.speed.to_string(), str::to_owned)
    }
}

impl Fact for RunStarted {
    fn things(&self) -> Vec<Thing> {
        self.things.clone()
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        let (RunStarted { scenario, seed, .. }, speed) = (self, self.speed());
        if self.is_explored {
            return say!(
                wording,
                "{scenario}  ·  every schedule  ·  seed {seed}",
                "{scenario}  ·  所有调度  ·  随机种子 {seed}"
            );
        }
        say!(wording, "{scenario}  ·  seed {seed}  ·  speed {speed}", "{scenario}  ·  随机种子 {seed}  ·  速度 {speed}")
    }
}

/// A worker was started.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "worker_started")]
pub(crate) struct WorkerStarted {
    /// Its role.
    pub(crate) role: &'static str,
    /// Whether it ends with its parent instead of being waited for.
    pub(crate) daemon: bool,
}

impl Fact for WorkerStarted {
    fn class(&self) -> Class<'_> {
        Class { starts: true, ..Class::default() }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        let pid = wording.event.pid;
        let daemon = if self.daemon { wording.pick(", a daemon", "以守护进程方式") } else { "" };
        say!(wording, "starts as process {pid}{daemon}", "{daemon}启动，进程号 {pid}")
    }
}

/// A worker ended.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "worker_exited")]
pub(crate) struct WorkerExited {
    /// Its exit code; none if a signal ended it.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub(crate) signal: Option<i32>,
    /// Its error message, if it failed on its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

impl Fact for WorkerExited {
    fn class(&self) -> Class<'_> {
        let ending = Ending::of(self.exit_code, self.signal);
        // A worker may fail, or have nothing left to do, because another was killed.
        let follows_death = !matches!(ending, Ending::Killed(_));
        Class { ending: Some(ending), follows_death, ..Class::default() }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        match (&self.failure, Ending::of(self.exit_code, self.signal)) {
            (Some(failure), _) => {
                // The worker is named before the sentence.
                let named = failure.strip_prefix("worker ").and_then(|said| said.strip_prefix(&wording.event.worker));
                let said = named.unwrap_or(failure).trim_start();
                if wording.language == Language::En { said.to_owned() } else { failed(said) }
            }
            (None, Ending::Killed(9)) => say!(wording, "is killed (signal 9)", "被杀死（信号 9）"),
            (None, Ending::Killed(signal)) => say!(wording, "is killed by signal {signal}", "被信号 {signal} 终止"),
            (None, Ending::Stopped) => say!(wording, "is stopped", "被停止"),
            (None, Ending::Done) => say!(wording, "exits", "结束"),
            (None, Ending::Failed(code)) => say!(wording, "exits with code {code}", "异常退出（退出码 {code}）"),
        }
    }
}

/// A worker's own words about its failure; what is the same in every one of them in Chinese.
fn failed(said: &str) -> String {
    let (what, message) =
        [("failed: ", "出错："), ("panicked: ", "崩溃："), ("could not start its role: ", "无法启动：")]
            .into_iter()
            .find_map(|(verb, what)| Some((what, said.strip_prefix(verb)?)))
            .unwrap_or(("出错：", said));
    let message = match message {
        "no process is left at the other end" => "另一端已没有进程",
        "nobody is left to receive" => "已没有接收者",
        "the other end is closed" => "另一端已关闭",
        "the other end was closed before it had read everything" => "另一端未读完就已关闭",
        "the connection is read-only" => "这一端只能接收",
        "the connection is write-only" => "这一端只能发送",
        "the queue is full" => "队列已满",
        other => other,
    };
    format!("{what}{message}")
}

/// The last event of every run.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub(crate) struct Summary {
    /// Name of the scenario.
    pub(crate) scenario: &'static str,
    /// What the scenario claims about itself, in English and in Chinese.
    #[serde(serialize_with = "english")]
    pub(crate) claim: [&'static str; 2],
    /// Whether the claim was true of this run.
    pub(crate) verdict: Verdict,
    /// Whether the scenario promises the claim.
    pub(crate) guaranteed: bool,
    /// What the scenario would need to promise it; in Chinese, why it does not.
    #[serde(skip)]
    pub(crate) needs: [&'static str; 2],
    /// The allowance in the verdict, if a worker was killed or stopped and that shows in the facts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allowance: Option<Allowance>,
    /// Why the run did not finish, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    /// What happened to the workers that did not end in order, if there are any.
    #[serde(skip)]
    pub(crate) loss: Option<Loss>,
    /// The duration of the run.
    pub(crate) elapsed_us: u64,
    /// What was seen, as one sentence in English and in Chinese; none of an exploration, which is many runs.
    #[serde(skip)]
    pub(crate) seen: Option<[String; 2]>,
    /// The counters.
    #[serde(serialize_with = "by_name")]
    pub(crate) facts: Vec<Counter>,
    /// The schedule that was replayed, or the shortest one that violates the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<String>,
    /// How often it was run, if it was explored.
    #[serde(skip)]
    pub(crate) explored: Option<Explored>,
    /// What a reader may try next, in English and in Chinese. Ends with a command.
    #[serde(skip)]
    pub(crate) advice: Option<[&'static str; 2]>,
}

/// How many schedules were run, and in how many of them the claim was true, or false. In the others it was not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Explored {
    pub(crate) schedules: u64,
    pub(crate) held: u64,
    pub(crate) violated: u64,
    /// Whether these are all schedules.
    pub(crate) exhausted: bool,
}

impl Explored {
    /// Returns in which schedules the claim was true or false.
    fn said(self, language: Language) -> String {
        let Explored { schedules, held, violated, exhausted } = self;
        let all = if schedules == 1 { "schedule" } else { "schedules" };
        match (schedules - held, exhausted) {
            (0, true) if schedules == 1 => language.pick(" in the only schedule", "唯一的调度").to_owned(),
            (0, true) => say!(in language, " in all {schedules} schedules", "全部 {schedules} 个调度都"),
            (0, false) => {
                let were = if schedules == 1 { "was" } else { "were" };
                say!(in language, " in the {schedules} {all} that {were} run", "已运行的 {schedules} 个调度")
            }
            _ => {
                let shown = if violated > 0 { violated } else { held };
                say!(in language, " in {shown} of {schedules} {all}", "{schedules} 个调度中有 {shown} 个")
            }
        }
    }
}

fn english<S: Serializer>(claim: &[&'static str; 2], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(claim[0])
}

fn by_name<S: Serializer>(counters: &[Counter], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counters.iter().map(|counter| (counter.name, &counter.value)))
}

impl Fact for Summary {
    /// Returns the verdict, the claim, and the allowance as one sentence.
    fn sentence(&self, wording: &Wording<'_>) -> String {
        self.said(wording.language)
    }

    fn details(&self, wording: &Wording<'_>) -> Vec<String> {
        self.seen(wording.language).map(str::to_owned).into_iter().collect()
    }
}

impl Summary {
    /// Returns what was seen, as one sentence.
    pub(super) fn seen(&self, language: Language) -> Option<&str> {
        self.seen.as_ref().map(|[en, zh]| language.pick(en, zh))
    }

    /// Returns the verdict, the claim, and the allowance as one sentence.
    pub(super) fn said(&self, language: Language) -> String {
        let in_brackets = |text: String| say!(in language, " ({text})", "（{text}）");
        let schedules = self.explored.map(|explored| explored.said(language)).unwrap_or_default();
        let [needs, reason] = self.needs;
        let unkept = format!("不成立（{reason}）");
        let ([en, zh], rest) = match (self.verdict, self.guaranteed) {
            (Verdict::Held, _) if self.explored.is_some() => (["held", "成立"], String::new()),
            (Verdict::Held, true) => (["guaranteed, and held", "成立（有保证）"], String::new()),
            (Verdict::Held, false) => (["held, but only by luck", "成立（只是运气好）"], String::new()),
            (Verdict::Violated, true) => (["BROKEN GUARANTEE", "不成立（保证被打破）"], String::new()),
            (Verdict::Violated, false) => {
                let without = format!(", as can happen without {needs}");
                (["did not hold", unkept.as_str()], language.pick(&without, "").to_owned())
            }
            (Verdict::NotShown, _) => {
                let why = self.why(self.reason.unwrap_or(Reason::Machinery), language);
                (["inconclusive", "无法判断"], in_brackets(why))
            }
        };
        let [claim_en, claim_zh] = self.claim;
        let allowance = self.allowance(language).map(in_brackets).unwrap_or_default();
        say!(
            in language,
            "{en}{schedules}{rest}: {claim_en}{allowance}",
            "{schedules}{zh}{rest}：{claim_zh}{allowance}"
        )
    }

    fn allowance(&self, language: Language) -> Option<String> {
        let Some(allowance) = self.allowance else {
            // If there is no verdict, its text already gives the reason.
            let reason = self.reason.filter(|reason| self.verdict != Verdict::NotShown && *reason != Reason::Killed);
            return reason.map(|reason| self.why(reason, language));
        };
        if let Some(reason) = self.reason {
            let why = self.why(reason, language);
            let [en, zh] = match allowance {
                Allowance::Lost => ["what only the workers held is lost", "仅由各工作进程持有的数据已丢失"],
                Allowance::Unreported => ["the workers did not report their last step", "进程未能报告最后一步"],
                Allowance::Unfinished => ["the workers did not finish", "进程未能完成"],
            };
            return Some(say!(in language, "{why}; {en}", "{why}，{zh}"));
        }
        let loss = self.loss.unwrap_or(Loss::Killed);
        let [en, zh] = loss.said();
        let said = match allowance {
            // What did not begin held nothing and did nothing.
            _ if loss == Loss::Unstarted => say!(in language, "{en}", "有进程{zh}"),
            Allowance::Lost => {
                say!(in language, "{en}; what only it held is lost", "有进程{zh}，仅由它持有的数据已丢失")
            }
            Allowance::Unreported => {
                say!(in language, "{en} before it reported its last step", "有进程在报告最后一步之前{zh}")
            }
            Allowance::Unfinished => say!(in language, "{en} before it finished", "有进程未完成就{zh}"),
        };
        Some(say!(in language, "{said}; the verdict covers the others", "{said}；结论只针对其余进程"))
    }

    /// Returns why the run did not finish.
    fn why(&self, reason: Reason, language: Language) -> String {
        match reason {
            Reason::Cut => language.pick("the run was stopped early", "运行被提前停止").to_owned(),
            Reason::Machinery => match self.loss.map(Loss::said) {
                Some([en, zh]) => say!(in language, "{en}", "有进程{zh}"),
                None => language.pick("the run failed", "运行出错").to_owned(),
            },
            Reason::Killed => {
                language.pick("too few workers were left to finish it", "剩余的进程不足以完成运行").to_owned()
            }
        }
    }
}

/// An integer or a boolean in the summary.
#[derive(Debug, PartialEq)]
pub(crate) struct Counter {
    pub(crate) name: &'static str,
    /// What it is called in Chinese.
    pub(crate) zh: &'static str,
    pub(crate) value: Value,
    /// What a text says instead of the value, in both languages.
    pub(crate) words: Option<[&'static str; 2]>,
}

/// Returns a counter: its name, what it is called in Chinese, and its value.
pub(crate) fn counter(name: &'static str, zh: &'static str, value: impl Into<Value>) -> Counter {
    Counter { name, zh, value: value.into(), words: None }
}

impl Counter {
    pub(super) fn said(&self, language: Language) -> String {
        let value = match (self.words, &self.value) {
            (Some([en, zh]), _) => language.pick(en, zh).to_owned(),
            (None, Value::Bool(true)) => language.pick("yes", "是").to_owned(),
            (None, Value::Bool(false)) => language.pick("no", "否").to_owned(),
            (None, value) => value.to_string(),
        };
        format!("{} {value}", language.pick(&self.name.replace('_', " "), self.zh))
    }
}

/// Whether a claim was true of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The claim was true.
    Held,
    /// The claim was false.
    Violated,
    /// The run ended before the claim could be judged.
    NotShown,
}

impl Verdict {
    /// Returns the sign in front of it.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Verdict::Held => "✔",
            Verdict::Violated => "✘",
            Verdict::NotShown => "–",
        }
    }
}

/// What a verdict allows for: the part of a worker that was killed, or stopped in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Allowance {
    /// What only that worker held is lost.
    Lost,
    /// Its last step was done and not reported.
    Unreported,
    /// It did not finish.
    Unfinished,
}

/// Why a run did not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// It was asked to stop, or its output was closed.
    Cut,
    /// A worker could not be started, or died unexpectedly.
    Machinery,
    /// The workers that were to finish it were killed, as was asked for.
    Killed,
}

/// What happened to a worker that did not end in order. Of several, the last in this list is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// It could not be started, or never ran its role.
    Unstarted,
    /// Its role failed.
    Failed,
    /// A signal ended it.
    Killed,
}

impl Loss {
    /// Returns what happened to the worker: the whole in English, the verb in Chinese.
    fn said(self) -> [&'static str; 2] {
        match self {
            Loss::Unstarted => ["a worker could not start", "无法启动"],
            Loss::Failed => ["a worker failed", "出错"],
            Loss::Killed => ["a worker was killed", "被杀死"],
        }
    }
}
