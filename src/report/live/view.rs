//! What is on the screen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::keys::Key;
use super::look::Tone;
use crate::report::class::{Class, Ending, Severity, SpanKind};
use crate::report::control::{Control, Request, Status};
use crate::report::event::Event;
use crate::report::frame::{RunStarted, Summary, Verdict};
use crate::report::lanes::State;
use crate::report::language::Language;
use crate::report::scene::Scene;
use crate::report::text::command;
use crate::report::wording::Known;

/// How many events are kept as text: more than any screen has lines.
const MOST_LINES: usize = 200;
/// How many changes of a worker's state are kept.
const MOST_CHANGES: usize = 2_000;
/// Of how many processes the kernel is asked at once.
const MOST_LOOKS: usize = 100;
/// How long a notice is shown.
const NOTICE: Duration = Duration::from_secs(6);

/// A run as a person sees it.
#[derive(Debug, Default)]
pub(super) struct View {
    language: Language,
    pub(super) scene: Scene,
    known: Known,
    /// The command that repeats the run, and what it is to show.
    pub(super) title: String,
    pub(super) claim: [&'static str; 2],
    /// The states of each worker and when they began.
    pub(super) bands: Vec<VecDeque<(u64, State)>>,
    /// The number of each worker in the order of start, and what it does if no event tells.
    pub(super) seen: Vec<Seen>,
    started: u32,
    pub(super) log: VecDeque<Line>,
    pub(super) end: Option<End>,
    pub(super) status: Status,
    /// The time of the run at some instant; it passes unless the run is held, or over.
    time: (u64, Option<Instant>),
    pub(super) selected: Option<usize>,
    pub(super) is_help: bool,
    notice: Option<(String, Instant)>,
    /// Whether something has changed since the last picture.
    pub(super) is_changed: bool,
    /// Whether it is no longer shown.
    pub(super) is_over: bool,
}

/// What is seen of a worker besides its events.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    /// Its number in the order of start.
    number: u32,
    pub(super) activity: Activity,
}

/// What a worker does if no event tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    #[default]
    Unknown,
    /// It pauses.
    Sleeps,
    /// It waits in the kernel, as in a get from an empty queue.
    Waits,
}

/// An event as text.
#[derive(Debug)]
pub(super) struct Line {
    /// `None` if it belongs to the line above.
    pub(super) at_us: Option<u64>,
    pub(super) worker: String,
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// How the run ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) verdict: String,
    pub(super) tone: Tone,
    /// What was seen, in a sentence; empty if there is none.
    pub(super) seen: String,
    /// Not to be broken within one.
    pub(super) facts: Vec<String>,
}

/// What a key does besides changing the view.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    Nothing,
    Asks(Request),
    Redraw,
    /// Ctrl-C, which a terminal in raw mode does not turn into a signal.
    Interrupt,
}

impl View {
    pub(super) fn new(language: Language) -> Self {
        View { language, is_changed: true, ..View::default() }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        self.is_changed = true;
        self.known.follow(event);
        let changed = self.scene.apply(event);
        if let Some(started) = event.get::<RunStarted>() {
            self.title = command(&started.args, started.seed).join(" ");
            self.title = self.title.replacen(" --live", "", 1);
            self.claim = started.claim;
            (self.bands, self.seen, self.started) = (Vec::new(), Vec::new(), 0);
            return;
        }
        self.pass_to(event.at_us);
        self.bands.resize_with(self.scene.lanes.workers().len(), VecDeque::new);
        self.seen.resize_with(self.scene.lanes.workers().len(), Seen::default);
        let starts = event.fact.class().starts;
        for worker in changed.workers {
            self.note(worker, event.at_us, self.scene.lanes.workers()[worker].state());
            let number = if starts { self.started } else { self.seen[worker].number };
            self.seen[worker] = Seen { number, activity: Activity::Unknown };
        }
        self.started += u32::from(starts);
        if let Some(summary) = event.get::<Summary>() {
            (self.time.1, self.notice) = (None, None);
            self.end = Some(End::of(summary, self.language));
            return;
        }
        self.log(event);
    }

    /// Notes the state of a worker in its band.
    fn note(&mut self, worker: usize, at_us: u64, state: State) {
        let band = &mut self.bands[worker];
        let before = band.back().copied();
        if before.is_none_or(|(_, last)| last != state) {
            // What is seen is a little ahead of what is reported.
            band.push_back((at_us.max(before.map_or(0, |(at_us, _)| at_us)), state));
        }
        if band.len() > MOST_CHANGES {
            band.pop_front();
        }
    }

    /// Looks what the workers do of which no event tells it: whether they pause, or wait in the kernel. `is_asleep` is
    /// asked for processes.
    pub(super) fn look(&mut self, now: Instant, is_pausing: impl Fn(u32) -> bool, is_asleep: impl Fn(u32) -> bool) {
        // In a schedule they wait for their turn.
        if self.status.is_held || self.status.steps.is_some() || self.end.is_some() {
            return;
        }
        let now_us = self.now_us(now);
        let mut looked = 0;
        for index in 0..self.seen.len() {
            let worker = &self.scene.lanes.workers()[index];
            let (state, pid) = (worker.state(), worker.pid);
            if !matches!(state, State::Running | State::Holding | State::Working) {
                continue;
            }
            let may_wait = state == State::Running && looked < MOST_LOOKS;
            let activity = if is_pausing(self.seen[index].number) {
                Activity::Sleeps
            } else if may_wait && is_asleep(pid) {
                Activity::Waits
            } else {
                Activity::Unknown
            };
            looked += usize::from(may_wait);
            self.is_changed |= self.seen[index].activity != activity;
            self.seen[index].activity = activity;
            self.note(index, now_us, if activity == Activity::Waits { State::Waiting } else { state });
        }
    }

    fn log(&mut self, event: &Event) {
        let (wording, class) = (self.known.wording(self.language, event), event.fact.class());
        let (worker, text) = (wording.name(&event.worker), event.fact.sentence(&wording));
        let details = event.fact.details(&wording);
        // What a death leaves to others is what one has to see.
        if class.inherits || class.transfer.is_some_and(|transfer| transfer.again) {
            self.notice = Some((format!("{worker} {text}"), Instant::now()));
        }
        self.log.push_back(Line { at_us: Some(event.at_us), worker, text, tone: tone(&class) });
        let detail = |text| Line { at_us: None, worker: String::new(), text, tone: Tone::Soft };
        self.log.extend(details.into_iter().map(detail));
        while self.log.len() > MOST_LINES {
            self.log.pop_front();
        }
    }

    /// Sets the time to that of an event.
    fn pass_to(&mut self, at_us: u64) {
        let is_passing = !self.status.is_held && self.status.steps.is_none() && self.end.is_none();
        let now = Instant::now();
        self.time = (at_us.max(self.now_us(now)), is_passing.then_some(now));
    }

    /// Returns the time of the run.
    pub(super) fn now_us(&self, now: Instant) -> u64 {
        let (at_us, since) = self.time;
        at_us + since.map_or(0, |since| now.saturating_duration_since(since).as_micros() as u64)
    }

    /// Applies the status of the run, if it has changed.
    pub(super) fn follow(&mut self, control: &Control) {
        if let Some(status) = control.status_after(self.status.version) {
            self.set_status(status);
        }
    }

    pub(super) fn set_status(&mut self, status: Status) {
        self.is_changed = true;
        let at_us = self.now_us(Instant::now());
        if let Some([en, zh]) = &status.notice {
            self.notice = Some((self.language.pick(en, zh).to_owned(), Instant::now()));
        }
        self.status = status;
        self.pass_to(at_us);
    }

    /// Returns the answer to the last request, as long as it is new.
    pub(super) fn notice(&self, now: Instant) -> Option<&str> {
        let (notice, since) = self.notice.as_ref()?;
        (now.saturating_duration_since(*since) < NOTICE).then_some(notice)
    }

    fn select(&mut self, place: impl FnOnce(usize, usize) -> usize) {
        let last = self.scene.lanes.workers().len().saturating_sub(1);
        // The first key selects the first worker, or the last one.
        let selected = self.selected.map(|selected| selected.min(last));
        let from = selected.unwrap_or(0);
        let to = place(from, last).min(last);
        self.notice = None;
        self.selected = Some(if selected.is_none() && to != last { 0 } else { to });
    }

    /// Returns what a key does.
    pub(super) fn press(&mut self, key: Key) -> Pressed {
        const PAGE: usize = 10;
        self.is_changed = true;
        let was_help = std::mem::take(&mut self.is_help);
        match key {
            Key::Control('c') => return Pressed::Interrupt,
            Key::Control('l') => return Pressed::Redraw,
            Key::Up => self.select(|selected, _| selected.saturating_sub(1)),
            Key::Down => self.select(|selected, _| selected + 1),
            Key::PageUp => self.select(|selected, _| selected.saturating_sub(PAGE)),
            Key::PageDown => self.select(|selected, _| selected + PAGE),
            Key::Home => self.select(|_, _| 0),
            Key::End => self.select(|_, last| last),
            Key::Escape => self.selected = self.selected.filter(|_| was_help),
            Key::Letter('h' | '?') => self.is_help = !was_help,
            Key::Letter('q') => return Pressed::Asks(Request::End),
            Key::Enter if self.end.is_some() => return Pressed::Asks(Request::End),
            _ if self.end.is_some() => {}
            Key::Letter(' ') => return Pressed::Asks(Request::Hold),
            Key::Letter('+' | '=') => return Pressed::Asks(Request::Faster),
            Key::Letter('-') => return Pressed::Asks(Request::Slower),
            Key::Letter('.') => return Pressed::Asks(Request::Step(self.selected)),
            Key::Letter('k') => return self.ask_of_selected(Request::Kill),
            Key::Letter('s') => return self.ask_of_selected(Request::Stop),
            _ => {}
        }
        Pressed::Nothing
    }

    fn ask_of_selected(&mut self, request: impl FnOnce(u32) -> Request) -> Pressed {
        let Some(selected) = self.selected else {
            return self.refuse("select a worker first, with the arrow keys", "请先用方向键选择一个进程");
        };
        let worker = &self.scene.lanes.workers()[selected];
        match worker.state() {
            State::NotStarted => self.refuse("it has not started", "它尚未启动"),
            State::Ended | State::Died => self.refuse("it has ended", "它已结束"),
            _ => Pressed::Asks(request(worker.pid)),
        }
    }

    fn refuse(&mut self, en: &str, zh: &str) -> Pressed {
        self.notice = Some((self.language.pick(en, zh).to_owned(), Instant::now()));
        Pressed::Nothing
    }
}

impl End {
    fn of(summary: &Summary, language: Language) -> Self {
        let tone = match (summary.verdict, summary.guaranteed) {
            (Verdict::Held, _) => Tone::Good,
            (Verdict::Violated, true) => Tone::Bad,
            _ => Tone::Waiting,
        };
        let facts = summary.facts.iter().map(|fact| fact.said(language) + "   ").collect();
        let verdict = format!("{} {}", summary.verdict.sign(), summary.said(language));
        let seen = summary.seen(language).unwrap_or_default().to_owned();
        End { verdict, tone, seen, facts }
    }
}

/// Returns the tone of an event's line.
fn tone(class: &Class<'_>) -> Tone {
    match (class.severity(), class.ending) {
        (_, Some(Ending::Done)) => Tone::Soft,
        (_, Some(_)) | (Some(Severity::Trouble), _) => Tone::Bad,
        _ if class.starts => Tone::Soft,
        _ if class.inherits => Tone::Bad,
        (Some(Severity::Good), _) => Tone::Working,
        _ => match (class.begins, class.ends) {
            (Some((SpanKind::Waiting, _)), _) => Tone::Waiting,
            (_, Some((SpanKind::Working, _))) => Tone::Working,
            _ => Tone::Plain,
        },
    }
}
