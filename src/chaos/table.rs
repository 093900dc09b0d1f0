//! The table while it grows: rows in their order, as soon as all before them are finished, and a bar below them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Terms;
use super::findings::Findings;
use super::python::Python;
pub(super) use super::report::Run;
use super::report::{Look, Total, row_json, total_json};
use super::sweep::{News, Numbered};
use crate::report::Format;

/// A table on stdout.
pub(super) struct Table<'a> {
    rows: &'a [Numbered],
    format: Format,
    look: Look,
    bar: Option<ProgressBar>,
    /// Rows that are finished before one above them is.
    early: BTreeMap<usize, Findings>,
    shown: usize,
    total: Total,
}

impl<'a> Table<'a> {
    /// A table of `rows` that takes so many `kills`, beside Python's if that was asked for.
    pub(super) fn new(rows: &'a [Numbered], terms: Terms, kills: usize, python: Option<Python>) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let look = Look { language: terms.language, colored: terms.color.is_wanted(is_terminal) };
        let bar = (io::stderr().is_terminal() && terms.format == Format::Text).then(|| bar(look, kills));
        let (early, total) = (BTreeMap::new(), Total { python, ..Total::default() });
        Table { rows, format: terms.format, look, bar, early, shown: 0, total }
    }

    /// Takes note of what happened, and shows what can be shown.
    pub(super) fn hear(&mut self, news: News) -> io::Result<()> {
        match news {
            News::Killed => self.bar.iter().for_each(|bar| bar.inc(1)),
            News::Finished(row, findings) => {
                self.early.insert(row, findings);
            }
        }
        while let Some(findings) = self.early.remove(&self.shown) {
            self.total.count(&findings);
            let text = self.row(&findings);
            self.write(&text)?;
            self.shown += 1;
        }
        Ok(())
    }

    /// Shows the end. Whether everything promised was true.
    pub(super) fn conclude(&mut self, run: Run) -> io::Result<bool> {
        self.total.run = run;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let text = match self.format {
            Format::Text => self.look.total(&self.total),
            Format::Json => total_json(&self.total),
        };
        self.write(&text)?;
        Ok(self.total.holds())
    }

    fn row(&self, findings: &Findings) -> String {
        let row = self.rows[self.shown].1;
        let outcomes = self.total.python.as_ref().map(|python| &python.outcomes);
        let python = outcomes.zip(row.python).and_then(|(outcomes, name)| outcomes.get(name)).copied();
        if self.format == Format::Json {
            return row_json(row, findings, python);
        }
        let has_python = outcomes.is_some_and(|outcomes| !outcomes.is_empty());
        let before = self.shown.checked_sub(1).map(|before| self.rows[before].1.object);
        let head = if before.is_none() { self.look.head(has_python) } else { String::new() };
        let object = if before == Some(row.object) { String::new() } else { self.look.object(row.object) };
        head + &object + &self.look.row(row, findings, python)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        let mut write = || out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn bar(look: Look, kills: usize) -> ProgressBar {
    let bar = ProgressBar::new(kills as u64);
    let template = look.language.pick(
        "{bar:32} {pos} of {len} kills  {per_sec}  {eta} left",
        "{bar:32} 已杀 {pos}/{len} 次  {per_sec}  还需 {eta}",
    );
    bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant"));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
