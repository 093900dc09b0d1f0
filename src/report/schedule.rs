//! The shortest schedule that violates a claim, as a table: a line per step, and a column per worker.

use unicode_width::UnicodeWidthStr;

use super::cells;
use super::event::{Event, RUNNER};
use super::language::Language;
use super::wording::{Names, say};

/// A schedule of an exploration, run once more.
#[derive(Debug)]
pub(crate) struct ShownSchedule {
    /// Its text form.
    pub(crate) schedule: String,
    /// How often another worker takes the turn.
    pub(crate) switches: usize,
    /// The arguments of the program to which `--schedule` is added to replay it.
    pub(crate) args: Vec<String>,
    /// The workers, in the order of start.
    pub(crate) workers: Vec<String>,
    pub(crate) steps: Vec<ScheduleStep>,
    /// Where all workers were blocked at the end, if they were.
    pub(crate) blocked: Vec<ScheduleStep>,
    /// What the workers reported.
    pub(crate) events: Vec<Event>,
}

/// A step of a schedule.
#[derive(Debug)]
pub(crate) struct ScheduleStep {
    /// The index of the worker; that of the runner is the number of workers.
    pub(crate) column: usize,
    /// Such as `acquire lock-1`.
    pub(crate) operation: String,
    /// Whether the operation times out.
    pub(crate) is_timeout: bool,
    /// Whether the worker is killed instead.
    pub(crate) is_death: bool,
}

/// The spaces between two columns.
const GAP: usize = 3;

impl ShownSchedule {
    /// Returns the table. If it is wider than a line, the worker's name stands in every line instead.
    pub(super) fn table(&self, language: Language, names: Names, columns: usize) -> Vec<String> {
        let has_runner = self.steps.iter().any(|step| step.column == self.workers.len());
        let runner = has_runner.then_some(RUNNER);
        let workers = self.workers.iter().map(String::as_str).chain(runner);
        let heads: Vec<String> = workers.map(|name| language.name(names, name)).collect();
        let steps =
            self.steps.iter().enumerate().map(|(at, step)| (format!("{}", at + 1), step.column, step.said(language)));
        let waits = |ScheduleStep { operation, .. }: &ScheduleStep| say!(in language, "waits to {operation}", "等待：{operation}");
        let blocked = self.blocked.iter().map(|step| ("-".to_owned(), step.column, waits(step)));
        let rows: Vec<_> = steps.chain(blocked).collect();
        let number_width = rows.iter().map(|(number, ..)| number.width()).max().unwrap_or(0) + 2;
        let width_of = |column: usize| {
            let own = rows.iter().filter(|(_, of, _)| *of == column).map(|(.., said)| said.width());
            own.chain([heads[column].width()]).max().unwrap_or(0) + GAP
        };
        let widths: Vec<usize> = (0..heads.len()).map(width_of).collect();
        let padded = |text: &str, width: usize| cells::padded(text, width).0;
        let numbered = |number: &str| cells::behind(number, number_width).0 + "  ";
        if number_width + widths.iter().sum::<usize>() > columns + GAP {
            let name_width = heads.iter().map(|head| head.width()).max().unwrap_or(0) + GAP;
            let line = |(number, column, said): &(String, usize, String)| {
                numbered(number) + &padded(&heads[*column], name_width) + said
            };
            return rows.iter().map(line).collect();
        }
        let head: String = heads.iter().zip(&widths).map(|(head, width)| padded(head, *width)).collect();
        let line = |(number, column, said): &(String, usize, String)| {
            numbered(number) + &" ".repeat(widths[..*column].iter().sum()) + said
        };
        let head = format!("{}{}", numbered(""), head.trim_end());
        std::iter::once(head).chain(rows.iter().map(line)).collect()
    }
}

impl ScheduleStep {
    fn said(&self, language: Language) -> String {
        let operation = &self.operation;
        match (self.is_death, self.is_timeout) {
            (true, _) => say!(in language, "is killed before: {operation}", "在此之前被杀死：{operation}"),
            (_, true) => say!(in language, "{operation}: times out", "{operation}：超时"),
            _ => operation.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(column: usize, operation: &str) -> ScheduleStep {
        ScheduleStep { column, operation: operation.to_owned(), is_timeout: false, is_death: false }
    }

    #[test]
    fn every_worker_has_a_column_if_there_is_room() {
        let shown = ShownSchedule {
            schedule: "ab@a!".to_owned(),
            switches: 3,
            args: Vec::new(),
            workers: vec!["worker-1".to_owned(), "worker-2".to_owned()],
            steps: vec![
                step(0, "acquire lock-1"),
                ScheduleStep { is_timeout: true, ..step(1, "acquire lock-1") },
                step(2, "set event"),
                ScheduleStep { is_death: true, ..step(0, "acquire lock-2") },
            ],
            blocked: vec![step(1, "acquire lock-1")],
            events: Vec::new(),
        };
        let table = |language, columns| shown.table(language, &[], columns).join("\n");
        insta::assert_snapshot!(table(Language::En, 80), @"
           worker-1                           worker-2                    runner
        1  acquire lock-1
        2                                     acquire lock-1: times out
        3                                                                 set event
        4  is killed before: acquire lock-2
        -                                     waits to acquire lock-1
        ");
        insta::assert_snapshot!(table(Language::Zh, 50), @"
        1  工作进程1   acquire lock-1
        2  工作进程2   acquire lock-1：超时
        3  主进程      set event
        4  工作进程1   在此之前被杀死：acquire lock-2
        -  工作进程2   等待：acquire lock-1
        ");
    }
}
