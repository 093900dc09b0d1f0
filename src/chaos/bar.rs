//! How far a run has come, below the table, for somebody who sits before a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Terms;
use super::words::Words;
use crate::report::Format;

/// A bar over so many steps; `None` where nobody would see it.
pub(super) fn bar(terms: Terms, template: Words, steps: usize) -> Option<ProgressBar> {
    if terms.format == Format::Json || !io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(steps as u64);
    let template = terms.language.pick(template.en, template.zh);
    bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant"));
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(bar)
}
