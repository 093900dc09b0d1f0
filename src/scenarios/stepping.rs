//! `--step`: a person chooses at each step which worker runs next.
//!
//! # State
//! Each question is asked in the middle of a run. To undo a step, the run is ended, and another one takes the same turns
//! except the last; what it shows of them is muted.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, anyhow};

use super::entry::{Invocation, conclude, play, started};
use super::exploration::{mark, parsed, tried, without_options};
use super::live::Watcher;
use super::scenario::Scenario;
use crate::explore::by_hand::{Chooser, ObjectState, Standing, Stands};
use crate::explore::schedule::{SPAWNER, Schedule, Turn};
use crate::explore::survey::replay;
use crate::outcome::{Failure, Outcome};
use crate::process::StopSignals;
use crate::report::cells::fold;
use crate::report::{Event, Language, Names, Pictures, RUNNER, Reporter, Screen, columns, quoted, say};
use crate::sys::fd;

/// Runs a scenario in the schedule that a person chooses.
pub(super) fn step<S: Scenario>(
    language: Language,
    invocation: &Invocation<'_>,
    mut pictures: Pictures,
) -> Result<Outcome, Failure> {
    let options = invocation.options;
    let mark = mark::<S>(invocation, "choose the schedule of")?;
    let given = options.schedule.as_ref().map(|text| parsed::<S>(text, &mark)).transpose();
    let mut given = given.map_err(Failure::Unusable)?.unwrap_or_default();
    let signals = Rc::new(StopSignals::catch()?);
    let (tried, _) = tried::<S>(invocation, &given, &signals)?;
    if let Some(misfit) = tried.misfit {
        return Err(Failure::Unusable(anyhow!("cannot begin with {given}: {misfit}")));
    }
    let console = Console::new(language, S::NAMES, tried.workers.clone(), Rc::clone(&signals))?;
    let (is_muted, console) = (Arc::clone(&console.is_muted), Rc::new(RefCell::new(console)));
    loop {
        let asked = Rc::clone(&console);
        let chooser: Chooser = match &options.control {
            Some(control) => Watcher::new(control, S::NAMES, tried.workers.clone(), None).chooser(),
            None => Box::new(move |standing: &Standing| asked.borrow_mut().choose(standing)),
        };
        let (played, events) = (Cell::new(None), RefCell::new(Vec::new()));
        let run = || {
            let scenario = invocation.prepare::<S>()?;
            let options = invocation.options_for(&scenario)?;
            let started = Some(started(&scenario, &options));
            let reporter = Muting { reporter: (invocation.reporter)(), is_muted: Arc::clone(&is_muted) };
            let mut see = |event: &Event| events.borrow_mut().push(event.clone());
            play(scenario, &options, &signals, Box::new(reporter), started, &mut see)
        };
        let replayed = replay(&given, Some(chooser), &|| played.set(Some(run())))?;
        if let Some(earlier) = console.borrow_mut().undone.take() {
            given = earlier;
            continue;
        }
        let (end, result) = played.take().context("nothing was run")??;
        events.take().iter().for_each(|event| pictures.collect(event));
        let schedule = format!("{}#{mark}", replayed.schedule);
        let outcome = conclude::<S>(end, result, options.strict, Some(&schedule), pictures);
        let args = without_options(&options.args, |name| match name {
            "--step" => Some(false),
            "--schedule" => Some(true),
            _ => None,
        });
        let command: Vec<String> = args.iter().map(|word| quoted(word)).collect();
        let command = format!("ipc-demo {} --schedule {}", command.join(" "), quoted(&schedule));
        console.borrow_mut().say(&[("replay it: ", "重放：", &command)])?;
        return outcome;
    }
}

/// A reporter that is muted while a run takes turns that were shown before.
struct Muting {
    reporter: Box<dyn Reporter + Send>,
    is_muted: Arc<AtomicBool>,
}

impl Reporter for Muting {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.reporter.mute(self.is_muted.load(Relaxed));
        self.reporter.event(event)
    }
}

/// Where the person is asked.
struct Console {
    language: Language,
    names: Names,
    workers: Vec<String>,
    signals: Rc<StopSignals>,
    input: BufReader<File>,
    is_terminal: bool,
    /// The turns that were typed and not taken yet.
    typed: VecDeque<Turn>,
    /// What is left of the schedule after an undo.
    undone: Option<Schedule>,
    is_muted: Arc<AtomicBool>,
}

impl Console {
    fn new(language: Language, names: Names, workers: Vec<String>, signals: Rc<StopSignals>) -> anyhow::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned().context("cannot read stdin")?;
        Ok(Console {
            language,
            names,
            workers,
            signals,
            is_terminal: input.is_terminal(),
            input: BufReader::new(File::from(input)),
            typed: VecDeque::new(),
            undone: None,
            is_muted: Arc::default(),
        })
    }

    fn print(&self, text: &str) -> io::Result<()> {
        Screen::for_people(self.language).write_all(text.as_bytes())
    }

    /// Prints lines: their beginning in English and in Chinese, and the rest.
    fn say(&self, lines: &[(&str, &str, &str)]) -> anyhow::Result<()> {
        for (en, zh, rest) in lines {
            let line = fold(&format!("{}{rest}", self.language.pick(en, zh)), "    ", columns());
            self.print(&(line + "\n")).context("cannot write to stdout")?;
        }
        Ok(())
    }

    /// Asks for the next turn. Returns `None` if the schedule ends here, or a step is undone.
    fn choose(&mut self, standing: &Standing) -> Option<Turn> {
        self.is_muted.store(false, Relaxed);
        let mut is_shown = false;
        loop {
            if let Some(turn) = self.typed.pop_front() {
                if standing.possible.contains(&turn) {
                    return Some(turn);
                }
                self.typed.clear();
                self.refuse(turn).ok()?;
            }
            if !std::mem::replace(&mut is_shown, true) {
                self.show(standing).ok()?;
            }
            self.print(&self.prompt(standing)).ok()?;
            let line = self.line()?;
            match line.trim() {
                "" => match standing.possible.first() {
                    Some(turn) if !matches!(turn, Turn::Dies(_)) => return Some(*turn),
                    _ => {}
                },
                "q" => return None,
                "?" => self.help().ok()?,
                "u" => match standing.schedule.without_last() {
                    Some(earlier) => {
                        self.undone = Some(earlier);
                        self.is_muted.store(true, Relaxed);
                        return None;
                    }
                    None => self.say(&[("there is no step to undo", "没有可以撤销的步骤", "")]).ok()?,
                },
                typed => match typed.parse::<Schedule>() {
                    Ok(turns) => self.typed = turns.turns().collect(),
                    Err(error) => self.say(&[("", "", &error.to_string())]).ok()?,
                },
            }
        }
    }

    /// Reads a line. Returns `None` at the end of the input, and when the run is to stop.
    fn line(&mut self) -> Option<String> {
        if self.input.buffer().is_empty() {
            fd::wait_any_readable(&[self.input.get_ref().as_fd(), self.signals.as_fd()], None).ok()?;
        }
        let mut line = String::new();
        let is_stopped = self.signals.asked().is_some();
        let length = if is_stopped { 0 } else { self.input.read_line(&mut line).unwrap_or(0) };
        // A person's terminal shows what was typed.
        if length == 0 || !self.is_terminal {
            let _ = self.print(&format!("{}\n", line.trim_end()));
        }
        (length > 0).then_some(line)
    }

    fn refuse(&self, turn: Turn) -> anyhow::Result<()> {
        let turn = Schedule::from(turn).to_string();
        self.say(&[("not possible now: ", "现在不能执行：", &turn)])
    }

    fn help(&self) -> anyhow::Result<()> {
        self.say(&[
            (
                "a: worker a takes its next step; a3: three; a2b: two, then b one",
                "a：a 执行一步；a3：a 执行三步；a2b：a 两步，b 一步",
                "",
            ),
            ("a!: kill -9 of worker a; a~: its operation times out", "a!：kill -9 杀死 a；a~：a 的操作超时", ""),
            (
                "Enter: the worker that ran last continues, or else the first that can",
                "回车：刚才运行的进程继续，否则由第一个可运行的进程执行",
                "",
            ),
            ("u: undo the last step; q: end the run", "u：撤销上一步；q：结束运行", ""),
        ])
    }

    fn name(&self, participant: &Schedule) -> String {
        let name = participant.participants().next().and_then(|who| self.workers.get(who));
        self.language.name(self.names, name.map_or(RUNNER, String::as_str))
    }

    fn show(&self, standing: &Standing) -> anyhow::Result<()> {
        let pick = |en: &str, zh: &str| self.language.pick(en, zh).to_owned();
        let object = |(name, state): &(String, ObjectState)| match state {
            ObjectState::Text(text) => format!("{name}: {text}"),
            ObjectState::Items(items) => format!("{name}: {items}{}", pick(" items", " 个数据")),
            ObjectState::Held(None) => format!("{name}: {}", pick("free", "空闲")),
            ObjectState::Held(Some(holder)) => format!("{name}: {}{holder}", pick("held by ", "持有者 ")),
        };
        let objects: Vec<String> = standing.objects.iter().map(object).collect();
        let mut text = String::from("\n");
        if !objects.is_empty() {
            text += &(fold(&format!("  {}", objects.join("    ")), "  ", columns()) + "\n");
        }
        for (who, stands) in &standing.participants {
            let what = match stands {
                Stands::Next(operation) => pick("next: ", "下一步：") + operation,
                Stands::Waits(operation, None) => pick("waits: ", "等待：") + operation,
                Stands::Waits(operation, Some(holder)) => {
                    say!(self, "waits: {operation}, which {holder} holds", "等待：{operation}，由 {holder} 持有")
                }
                Stands::Ended => pick("has ended", "已结束"),
                Stands::Dead => pick("is dead", "已死亡"),
            };
            text += &(fold(&format!("  {who} {}  {what}", self.name(who)), "    ", columns()) + "\n");
        }
        if standing.possible.iter().all(|turn| matches!(turn, Turn::Dies(_))) {
            text += &format!("  {}\n", pick("all are blocked: this is a deadlock", "全部阻塞：发生死锁"));
        }
        self.print(&text).context("cannot write to stdout")
    }

    fn prompt(&self, standing: &Standing) -> String {
        let these = |is_one: fn(&Turn) -> bool| {
            let turns = standing.possible.iter().filter(|turn| is_one(turn));
            turns.map(|turn| format!(" {}", Schedule::from(*turn))).collect::<String>()
        };
        let groups = [
            (these(|turn| matches!(turn, Turn::Goes(_))), "go", "执行"),
            (these(|turn| matches!(turn, Turn::TimesOut(_))), "time out", "超时"),
            (these(|turn| matches!(turn, Turn::Dies(who) if *who != SPAWNER)), "kill", "杀死"),
        ];
        let offered = groups.iter().filter(|(turns, ..)| !turns.is_empty());
        let offered: String =
            offered.map(|(turns, en, zh)| format!("{}{turns} · ", self.language.pick(en, zh))).collect();
        let undo = self.language.pick("u undo · ? · q", "u 撤销 · ? · q");
        format!("{offered}{undo}  [{}]> ", standing.schedule)
    }
}
