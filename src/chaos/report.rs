//! Text output of a chaos run: a table.

use anstyle::{AnsiColor, Style};

use super::case::Row;
use super::effect::Texts;
use super::findings::{Findings, Total};
use super::kill::Point;
use super::python::{Counts, Outcome, Python};
use crate::report::cells::{self, behind, padded};
use crate::report::{Language, duration, say};

pub(super) const PLACE_WIDTH: usize = 25;
/// Width of the sign before a row.
const INDENT: usize = 4;
const KILLS_WIDTH: usize = 9;
pub(super) const SURVIVORS_WIDTH: usize = 22;
const SLOWEST_WIDTH: usize = 9;
const PYTHON_WIDTH: usize = 9;
/// The maximum number of faults shown per row.
const SHOWN: usize = 5;

/// The style of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) language: Language,
    pub(super) colored: bool,
    /// The width of lines.
    pub(super) columns: usize,
}

impl Look {
    fn say(self, [en, zh]: Texts) -> &'static str {
        self.language.pick(en, zh)
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.colored { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Returns the line above the table, with a column for Python if requested.
    pub(super) fn head(self, python: bool) -> String {
        let head = [["killed", "被杀时机"], ["kills", "次数"], ["the survivors", "幸存者"], ["slowest", "最慢"]];
        let python = python.then(|| behind("Python", PYTHON_WIDTH));
        self.paint(Style::new().dimmed(), &self.cells("    ", head.map(|text| self.say(text)), python))
    }

    /// Returns the line above the rows of an object.
    pub(super) fn object(self, name: &str) -> String {
        self.paint(Style::new().bold(), name) + "\n"
    }

    pub(super) fn row(self, row: &Row, findings: &Findings, python: Option<&Python>) -> String {
        let holds = findings.faults.is_empty();
        let sign = self.paint(colored(holds).bold(), if holds { "✔" } else { "✘" });
        let (kills, slowest) = (kills(row, findings), duration(findings.slowest_ns / 1_000));
        let cells = [self.say(row.place), &kills, self.say(row.survivors), &slowest];
        let mut text =
            self.cells(&format!("  {sign} "), cells, python.map(|python| self.python(python.of(row.python))));
        if let (Some(python), Some(name)) = (python, row.other_python) {
            let (class, _) = name.split_once('.').unwrap_or((name, ""));
            let outcome = self.python(python.of(row.other_python));
            text += &self.cells("    ", ["", "", class, ""], Some(outcome));
        }
        for (point, fault) in findings.faults.iter().take(SHOWN) {
            let line = self.fold(&format!("      {}: {}", self.place(*point), self.say(fault.sentence())));
            text += &self.paint(colored(false), &line);
        }
        if let Some(more) = findings.faults.len().checked_sub(SHOWN + 1) {
            text += &format!("      … {} {}\n", more + 1, self.say(["more", "处"]));
        }
        text
    }

    /// Returns a line of the table after its first four columns.
    fn cells(
        self,
        lead: &str,
        [place, kills, survivors, slowest]: [&str; 4],
        python: Option<(String, usize)>,
    ) -> String {
        let cells = [
            (lead.to_owned(), INDENT),
            padded(place, PLACE_WIDTH),
            behind(kills, KILLS_WIDTH),
            padded(&format!("  {survivors}"), 2 + SURVIVORS_WIDTH),
            behind(slowest, SLOWEST_WIDTH),
        ];
        cells::row(cells.into_iter().chain(python), INDENT, self.columns)
    }

    /// Breaks a line of words where the terminal ends.
    fn fold(self, line: &str) -> String {
        cells::fold(line, "      ", self.columns) + "\n"
    }

    fn python(self, counts: Option<Counts>) -> (String, usize) {
        let Some(worst) = counts.map(Counts::worst) else { return behind("–", PYTHON_WIDTH) };
        let (text, width) = behind(self.say(worst.name()), PYTHON_WIDTH);
        (self.paint(colored(worst == Outcome::GoesOn), &text), width)
    }

    /// Describes the kills of Python.
    fn beside(self, python: &Python) -> String {
        let Python { version, most_kills, patience_ms, elapsed_ns, .. } = python;
        let (kills, took) = (python.kills(), self.language.duration(elapsed_ns / 1_000));
        let patience = self.language.duration(patience_ms * 1_000);
        let lines = [
            say!(
                self,
                "  Python {version}, workers forked: {kills} kills, took {took}",
                "  Python {version}，以 fork 启动：杀死 {kills} 次，用时 {took}"
            ),
            say!(
                self,
                "    hangs: a survivor sleeps longer than {patience}; –: Python has no equivalent",
                "    卡死：有幸存者等待超过 {patience}；–：Python 没有对应的功能"
            ),
            say!(
                self,
                "    in an operation: killed at random moments of it, {most_kills} times or until a survivor hangs; this can differ between runs",
                "    操作中：在其间的随机时刻杀死 {most_kills} 次，或直到有幸存者卡死；每次运行可能不同"
            ),
        ];
        lines.map(|line| self.fold(&line)).concat()
    }

    fn place(self, point: Point) -> String {
        match point {
            Point::After(1) => self.say(["after 1 instruction", "第 1 条指令之后"]).to_owned(),
            Point::After(count) => say!(self, "after {count} instructions", "第 {count} 条指令之后"),
            Point::Asleep => self.say(["asleep", "睡眠中"]).to_owned(),
            Point::Woken => self.say(["just woken", "刚被唤醒"]).to_owned(),
        }
    }

    pub(super) fn total(self, total: &Total) -> String {
        let Total { rows, kills, broken_rows, repeated, left_behind, processors, seed, .. } = *total;
        let (slowest, holds) = (self.language.duration(total.slowest_us), total.holds());
        let verdict = if rows == 0 {
            self.say(["– stopped before a row was finished", "– 第一行完成之前已停止"]).to_owned()
        } else if holds {
            say!(
                self,
                "✔ held: {kills} kills; all survivors continued, the slowest after {slowest}",
                "✔ 成立：共杀死 {kills} 次，幸存进程全部继续运行，最长等待 {slowest}"
            )
        } else {
            say!(
                self,
                "✘ BROKEN: {broken_rows} of {rows} rows, in {kills} kills",
                "✘ 不成立：{rows} 行中有 {broken_rows} 行，共杀死 {kills} 次"
            )
        };
        let took = self.language.duration(total.elapsed_us);
        let rate = kills as f64 / (total.elapsed_us.max(1) as f64 / 1e6);
        let how = say!(
            self,
            "  left behind {left_behind}   took {took}   {rate:.0} kills per second on {processors} processors",
            "  遗留 {left_behind}   用时 {took}   每秒杀死 {rate:.0} 次，{processors} 个处理器"
        );
        let mut text = format!("\n{}", self.paint(colored(holds).bold(), &self.fold(&verdict)));
        text += &self.paint(Style::new().dimmed(), &self.fold(&how));
        text += &total.python.as_ref().map(|python| self.beside(python)).unwrap_or_default();
        if repeated > 0 {
            text += &self.fold(&say!(
                self,
                "  {repeated} kills were repeated: a survivor was late once, on a busy machine",
                "  重试了 {repeated} 次：机器繁忙，有幸存者超时一次"
            ));
        }
        if !total.exhaustive {
            text += &self.fold(&say!(
                self,
                "  → seed {seed}; every instruction: ipc-demo chaos --exhaustive",
                "  → 种子 {seed}；逐条指令测试：ipc-demo chaos --exhaustive"
            ));
        }
        text
    }
}

/// Returns the style of a promise that holds, or does not.
fn colored(holds: bool) -> Style {
    Style::new().fg_color(Some(if holds { AnsiColor::Green } else { AnsiColor::Red }.into()))
}

/// Returns how often each effect that is possible in a row was observed, in order of time: `31+33`.
fn kills(row: &Row, findings: &Findings) -> String {
    let (first, last) = row.effects;
    let counts = &findings.effects[first as usize..=last as usize];
    let counts: Vec<String> = counts.iter().filter(|count| **count > 0).map(usize::to_string).collect();
    if counts.is_empty() { "0".to_owned() } else { counts.join("+") }
}
