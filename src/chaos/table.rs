//! The growing table: each row appears as soon as all rows before it are finished, with a bar below.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::RunOptions;
use super::case::Row;
use super::effect::Texts;
use super::findings::{Findings, Total};
use super::json;
use super::report::Look;
use super::sweep::News;
use crate::report::{Format, Screen, columns, write_above};

const BAR: Texts = ["{bar:32} {pos} of {len} kills  {eta} left", "{bar:32} 已杀 {pos}/{len} 次  还需 {eta}"];

/// A table on stdout.
pub(super) struct Table<'a> {
    rows: &'a [&'static Row],
    format: Format,
    look: Look,
    bar: Option<ProgressBar>,
    /// Rows that finished before an earlier one.
    early: BTreeMap<usize, Findings>,
    total: Total,
}

impl<'a> Table<'a> {
    /// Creates a table of `rows`. `total` contains what is known before the first kill.
    pub(super) fn new(rows: &'a [&'static Row], options: RunOptions, total: Total) -> Self {
        let colored = options.color.is_wanted(io::stdout().is_terminal());
        let look = Look { language: options.language, colored, columns: columns() };
        let bar = bar(options, BAR, 0);
        Table { rows, format: options.format, look, bar, early: BTreeMap::new(), total }
    }

    /// Processes a report, and shows what can be shown.
    pub(super) fn hear(&mut self, news: News) -> io::Result<()> {
        match news {
            News::Planned(kills) => self.bar.iter().for_each(|bar| bar.set_length(kills as u64)),
            News::Killed => self.bar.iter().for_each(|bar| bar.inc(1)),
            News::Finished(row, findings) => {
                self.early.insert(row, findings);
            }
        }
        while let Some(findings) = self.early.remove(&self.total.rows) {
            self.write(&self.row(self.total.rows, &findings))?;
            self.total.count(&findings);
        }
        Ok(())
    }

    /// Shows the end. Returns whether every promise was kept.
    pub(super) fn conclude(&mut self, elapsed_us: u64, left_behind: usize) -> io::Result<bool> {
        (self.total.elapsed_us, self.total.left_behind) = (elapsed_us, left_behind);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let text = match self.format {
            Format::Text => self.look.total(&self.total),
            Format::Json => json::total(&self.total),
        };
        self.write(&text)?;
        Ok(self.total.holds())
    }

    fn row(&self, index: usize, findings: &Findings) -> String {
        let (row, python) = (self.rows[index], self.total.python.as_ref());
        if self.format == Format::Json {
            return json::row(row, findings, python);
        }
        let head = if index == 0 { self.look.head(python.is_some()) } else { String::new() };
        let is_new = index == 0 || self.rows[index - 1].object != row.object;
        let object = if is_new { self.look.object(row.object) } else { String::new() };
        head + &object + &self.look.row(row, findings, python)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = match self.format {
            Format::Text => Screen::for_people(self.look.language),
            Format::Json => Screen::stdout(),
        };
        write_above(self.bar.as_ref(), &mut out, text)
    }
}

/// Returns a progress bar with `steps` steps; `None` where it would not be visible.
pub(super) fn bar(options: RunOptions, [en, zh]: Texts, steps: usize) -> Option<ProgressBar> {
    if options.format == Format::Json || !io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(steps as u64);
    let template = ProgressStyle::with_template(options.language.pick(en, zh));
    bar.set_style(template.expect("the template is a constant"));
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(bar)
}
