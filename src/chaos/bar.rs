//! The progress bar below the table, shown only on a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::RunOptions;
use super::i18n::Localized;
use crate::report::Format;

/// Returns a bar with `steps` steps; `None` where it would not be visible.
pub(super) fn bar(options: RunOptions, template: Localized, steps: usize) -> Option<ProgressBar> {
    if options.format == Format::Json || !io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(steps as u64);
    let template = options.language.pick(template.en, template.zh);
    bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant"));
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(bar)
}
