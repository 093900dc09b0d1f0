//! `--live` with `--schedule` or `--step`: who watches the run lets it take its steps.
//!
//! # State
//! The run waits before each step, or goes on by itself at a pace. With `--schedule` its steps are given; after them, and
//! with `--step`, the next one is that of the selected worker, or of the one that goes on by default.

use std::collections::VecDeque;
use std::time::Duration;

use super::speed::Speed;
use crate::explore::by_hand::{Chooser, Standing, Stands};
use crate::explore::schedule::{Schedule, Turn};
use crate::report::control::{Control, Next, Request};
use crate::report::{Language, Names, RUNNER};
use crate::sys::clock::monotonic_ns;

/// The time between two steps, at speed 1.
const STEP_EVERY: Duration = Duration::from_millis(600);

/// Takes the steps that the person who watches asks for.
pub(super) struct Watcher {
    control: Control,
    names: Names,
    workers: Vec<String>,
    /// The steps that are given and not taken yet.
    given: VecDeque<Turn>,
    /// Whether all steps are given.
    is_replay: bool,
    /// Whether steps are taken without being asked for.
    goes_on: bool,
    speed: Speed,
}

impl Watcher {
    /// Returns the watcher of a replay of these turns, or of a run whose turns are chosen.
    pub(super) fn new(control: &Control, names: Names, workers: Vec<String>, given: Option<VecDeque<Turn>>) -> Self {
        let (is_replay, given) = (given.is_some(), given.unwrap_or_default());
        Watcher { control: control.clone(), names, workers, given, is_replay, goes_on: false, speed: Speed::of(1.0) }
    }

    pub(super) fn chooser(mut self) -> Chooser {
        Box::new(move |standing| self.choose(standing))
    }

    /// Returns the next turn; `None` ends the run.
    fn choose(&mut self, standing: &Standing) -> Option<Turn> {
        self.show(standing);
        let since_ns = monotonic_ns();
        loop {
            // Not on the clock of the schedule.
            let due_ns = self.goes_on.then(|| since_ns + self.pace().as_nanos() as u64);
            let request = self.control.wait(due_ns).ok()?;
            if self.control.is_stopped() {
                return None;
            }
            match request {
                None if due_ns.is_some_and(|due_ns| due_ns <= monotonic_ns()) => match self.by_default(standing) {
                    Some(turn) => return Some(turn),
                    None => self.set_going(false),
                },
                None => {}
                Some(Request::Step(selected)) => {
                    if let Some(turn) = self.step_of(selected, standing) {
                        return Some(turn);
                    }
                }
                Some(Request::Hold) => {
                    self.set_going(!self.goes_on);
                    // The first step is taken at once.
                    if let Some(turn) = self.by_default(standing).filter(|_| self.goes_on) {
                        return Some(turn);
                    }
                }
                Some(Request::Faster) => self.set_speed(self.speed.faster()),
                Some(Request::Slower) => self.set_speed(self.speed.slower()),
                Some(Request::Kill(_)) if self.is_replay => self.control.notify(
                    "the schedule says who is killed: start it with --live --step to choose",
                    "谁被杀死由调度决定：如需选择，请用 --live --step 启动",
                ),
                Some(Request::Kill(number)) => {
                    let dies = (number as usize).checked_sub(1).map(Turn::Dies);
                    if let Some(turn) = dies.filter(|turn| standing.possible.contains(turn)) {
                        return Some(turn);
                    }
                }
                Some(Request::Stop(_)) => self.control.notify(
                    "in a schedule nobody runs but the worker whose step it is",
                    "在调度中，除轮到的进程外，其他进程都不运行",
                ),
                Some(Request::End) => return None,
            }
        }
    }

    fn pace(&self) -> Duration {
        Duration::try_from_secs_f64(STEP_EVERY.as_secs_f64() / self.speed.rate()).unwrap_or(Duration::ZERO)
    }

    fn set_speed(&mut self, speed: Speed) {
        self.speed = speed;
        self.control.update(|status| status.speed = speed.to_string());
    }

    fn set_going(&mut self, goes_on: bool) {
        self.goes_on = goes_on;
        self.control.update(|status| status.is_held = !goes_on);
    }

    /// Returns the next turn that is given, or the one that is taken by default.
    fn by_default(&mut self, standing: &Standing) -> Option<Turn> {
        // Nobody dies unless it was asked for.
        let first = standing.possible.first().copied().filter(|turn| !matches!(turn, Turn::Dies(_)));
        let next = self.given.pop_front().or(first);
        if next.is_none() {
            let [en, zh] =
                if self.is_replay { ["", ""] } else { ["k kills the selected worker, ", "k 杀死所选进程，"] };
            self.control.notify(
                format!("all are blocked: this is a deadlock ({en}q ends)"),
                format!("全部阻塞：死锁（{zh}q 结束）"),
            );
        }
        next.filter(|turn| standing.possible.contains(turn))
    }

    fn step_of(&mut self, selected: Option<usize>, standing: &Standing) -> Option<Turn> {
        let Some(selected) = selected.filter(|_| !self.is_replay) else { return self.by_default(standing) };
        let turn =
            [Turn::Goes(selected), Turn::TimesOut(selected)].into_iter().find(|turn| standing.possible.contains(turn));
        if turn.is_none() {
            let worker = self.workers.get(selected).map_or(RUNNER, String::as_str);
            let said = |language: Language| language.name(self.names, worker);
            self.control.notify(
                format!("{} cannot take a step now", said(Language::En)),
                format!("{}现在不能走", said(Language::Zh)),
            );
        }
        turn
    }

    /// Tells what each worker does next. What the steps so far have reported was shown before.
    fn show(&self, standing: &Standing) {
        let who = |name: &Schedule, language: Language| {
            let index = name.participants().next().and_then(|index| self.workers.get(index));
            language.name(self.names, index.map_or(RUNNER, String::as_str))
        };
        let next = |stands: &Stands| match stands {
            Stands::Next(operation) => {
                Next { text: [format!("next: {operation}"), format!("下一步：{operation}")], is_blocked: false }
            }
            Stands::Waits(operation, holder) => {
                let [en, zh] = holder.as_ref().map_or_else(Default::default, |holder| {
                    let [en, zh] = [Language::En, Language::Zh].map(|language| who(holder, language));
                    [format!(" ({en} has it)"), format!("（{zh}持有）")]
                });
                let text = [format!("blocked: {operation}{en}"), format!("阻塞：{operation}{zh}")];
                Next { text, is_blocked: true }
            }
            Stands::Ended | Stands::Dead => Next::default(),
        };
        let next = standing.participants.iter().map(|(_, stands)| next(stands)).collect();
        let (is_held, speed, steps) = (!self.goes_on, self.speed.to_string(), standing.schedule.turns().count());
        self.control.update(|status| {
            (status.next, status.is_held, status.speed, status.steps) = (next, is_held, speed, Some(steps));
        });
    }
}
