//! The report for people: a line an event, with the picture of all workers at its left.
//!
//! ```text
//!   0.0132 s  █┆┆┆···  buyer-1     has the lock (waited 3 µs)
//! ```

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use unicode_width::UnicodeWidthStr;

use super::Reporter;
use super::event::{Event, Fact, Verdict};
use super::lanes::{Lane, Lanes};
use super::language::{Language, duration};

/// Columns for a worker's name.
const NAME_WIDTH: usize = 11;
/// What stands before a line that belongs to the one above it.
const DETAIL: &str = "               ";
/// The width that a summary keeps to.
const SUMMARY_WIDTH: usize = 78;

const WORKER_COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

/// Writes events as lines of text.
pub(super) struct Text<W> {
    out: W,
    language: Language,
    colored: bool,
    lanes: Lanes,
    /// The line at the bottom of a terminal that says what is going on.
    progress: Option<ProgressBar>,
    command: String,
    scenario: String,
}

impl<W: Write> Text<W> {
    pub(super) fn new(out: W, language: Language, colored: bool, progress: bool) -> Self {
        let progress = progress.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant");
            bar.set_style(style);
            bar
        });
        Text {
            out,
            language,
            colored,
            lanes: Lanes::default(),
            progress,
            command: String::new(),
            scenario: String::new(),
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colored { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn line(&self, event: &Event) -> String {
        let time = format!("{:>9.4} {}", event.at_us as f64 / 1e6, self.language.pick("s", "秒"));
        let name = self.language.name(&event.worker);
        let padding = " ".repeat(NAME_WIDTH.saturating_sub(name.width()).max(1));
        let color = self.lanes.index_of(&event.worker).map(|index| WORKER_COLORS[index % WORKER_COLORS.len()]);
        let name = self.paint(Style::new().fg_color(color.map(Into::into)), &name);
        let sentence = self.paint(style_of(&event.fact), &self.language.sentence(&self.scenario, event));
        let mut line = self.paint(Style::new().dimmed(), &time);
        line.push_str("  ");
        if !self.lanes.picture().is_empty() {
            line.extend(self.lanes.picture().iter().map(|lane| self.lane(*lane)));
            line.push_str("  ");
        }
        line.push_str(&name);
        line.push_str(&padding);
        line.push_str(&sentence);
        line
    }

    fn lane(&self, lane: Lane) -> String {
        let style = match lane {
            Lane::Holding => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Lane::Waiting => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Lane::Died => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
            _ => Style::new().dimmed(),
        };
        self.paint(style, lane.symbol().encode_utf8(&mut [0; 4]))
    }

    fn summary(&self, event: &Event) -> Vec<String> {
        let Fact::Summary { scenario, claim, verdict, guaranteed, elapsed_us, facts } = &event.fact else {
            return Vec::new();
        };
        let color = match (verdict, guaranteed) {
            (Verdict::Held, _) => AnsiColor::Green,
            (Verdict::Violated, true) => AnsiColor::Red,
            (Verdict::Violated, false) => AnsiColor::Yellow,
        };
        let symbol = if *verdict == Verdict::Held { "✔" } else { "✘" };
        let verdict_line = format!("{symbol} {}", self.language.verdict(scenario, claim, *verdict, *guaranteed));
        let style = Style::new().bold().fg_color(Some(color.into()));
        let mut lines = vec![String::new()];
        lines.extend(folded(&verdict_line, "  ", "").iter().map(|line| self.paint(style, line)));
        lines.extend(wrapped(facts.iter().map(|(name, value)| self.language.fact(name, value))));
        if *verdict == Verdict::Held && self.lanes.count(Lane::Died) > 0 {
            let of_the_dead = self.language.pick(
                "a worker died: what only it had is gone; the claim is about the others",
                "有进程死亡：只在它手里的已随它而去，以上只对其余进程而言",
            );
            lines.extend(folded(&format!("  {of_the_dead}"), "  ", ""));
        }
        let took = format!("{} {}", self.language.pick("took", "用时"), duration(*elapsed_us));
        let again = format!("{}{}", self.language.pick("the same again: ", "再来一次："), self.command);
        let one_line = format!("  {took}  ·  {again}");
        let last = if one_line.width() <= SUMMARY_WIDTH {
            vec![one_line]
        } else {
            // A command goes on behind a backslash, so that it can be copied.
            [vec![format!("  {took}")], folded(&format!("  {again}"), "    ", " \\")].concat()
        };
        lines.extend(last.iter().map(|line| self.paint(Style::new().dimmed(), line)));
        if let Some(advice) = self.language.advice(scenario, *verdict) {
            lines.push(format!("  → {advice}"));
        }
        lines
    }

    fn header(&self, event: &Event) -> Vec<String> {
        vec![self.paint(Style::new().bold(), &self.language.sentence(&self.scenario, event)), String::new()]
    }

    fn status(&self) -> String {
        let (running, waiting, holding) =
            (self.lanes.count(Lane::Running), self.lanes.count(Lane::Waiting), self.lanes.count(Lane::Holding));
        let at_work = running + waiting + holding;
        let (is_at_work, wait, hold) = match self.language {
            Language::En => ("at work", "waiting", "holding"),
            Language::Zh => ("个进程在运行", "等待", "持有"),
        };
        match waiting + holding {
            0 => format!("{at_work} {is_at_work}"),
            _ => format!("{at_work} {is_at_work}  ·  {waiting} {wait}  ·  {holding} {hold}"),
        }
    }
}

fn style_of(fact: &Fact) -> Style {
    let color = match fact {
        Fact::TicketBought { .. } | Fact::TaskDone { .. } | Fact::QueueJoined { .. } => AnsiColor::Green,
        Fact::LineCrossed { .. } => AnsiColor::Green,
        Fact::PermitWaiting { .. }
        | Fact::GunAwaited
        | Fact::EventAwaited
        | Fact::BarrierWaiting { .. }
        | Fact::ConditionWaiting { .. } => AnsiColor::Yellow,
        Fact::AddressExposed { .. } | Fact::KeyExposed { .. } => AnsiColor::Red,
        Fact::DeadlockFound { .. } | Fact::LockTimedOut { .. } | Fact::BarrierBroken { .. } => AnsiColor::Red,
        Fact::LockWaiting { .. } | Fact::QueueFull { .. } | Fact::QueueEmpty | Fact::EndOfFile => AnsiColor::Yellow,
        Fact::DataTorn { .. } | Fact::LockAcquired { abandoned: true, .. } | Fact::SendRefused { .. } => AnsiColor::Red,
        Fact::WorkerExited { exit_code: Some(0), .. } | Fact::WorkerStarted { .. } => return Style::new().dimmed(),
        Fact::WorkerExited { .. } => AnsiColor::Red,
        _ => return Style::new(),
    };
    Style::new().fg_color(Some(color.into()))
}

/// Pieces side by side, as many on a line as fit.
fn wrapped(pieces: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.width() + 3 + piece.width() <= SUMMARY_WIDTH => {
                line.push_str("   ");
                line.push_str(&piece);
            }
            _ => lines.push(format!("  {piece}")),
        }
    }
    lines
}

/// A text in as many lines as it needs: `indent` begins all but the first, `joint` ends all but the last.
fn folded(text: &str, indent: &str, joint: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        let is_begun = line.trim_start().contains(' ');
        if is_begun && line.width() + word.trim_end().width() + joint.width() > SUMMARY_WIDTH {
            line.truncate(line.trim_end().len());
            line.push_str(joint);
            lines.push(format!("{indent}{word}"));
        } else {
            line.push_str(word);
        }
    }
    lines
}

/// The command that repeats a run: its arguments, and the seed if they do not name it.
pub(super) fn command(args: &[String], seed: u64) -> String {
    let mut words = vec!["ipc-demo".to_owned()];
    words.extend(args.iter().map(|word| quoted(word)));
    if !args.iter().any(|word| word == "--seed" || word.starts_with("--seed=")) {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    words.join(" ")
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_=+,.:/@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl<W: Write> Reporter for Text<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.lanes.follow(event);
        let lines = match &event.fact {
            Fact::RunStarted { scenario, args, seed, .. } => {
                self.command = command(args, *seed);
                self.scenario.clone_from(scenario);
                self.header(event)
            }
            Fact::Summary { .. } => self.summary(event),
            _ => {
                let details = self.language.details(event);
                std::iter::once(self.line(event)).chain(details.iter().map(|line| format!("{DETAIL}{line}"))).collect()
            }
        };
        let mut text = lines.join("\n");
        text.push('\n');
        let out = &mut self.out;
        let mut write = || out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match &self.progress {
            None => write(),
            Some(bar) if matches!(event.fact, Fact::Summary { .. }) => {
                bar.finish_and_clear();
                write()
            }
            Some(bar) => {
                bar.suspend(write)?;
                bar.set_message(self.status());
                bar.tick();
                Ok(())
            }
        }
    }
}

impl<W> Drop for Text<W> {
    fn drop(&mut self) {
        if let Some(bar) = &self.progress {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_repeats_the_run() {
        let typed = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(command(&typed(&["tickets", "--lock"]), 7), "ipc-demo tickets --lock --seed 7");
        assert_eq!(command(&typed(&["tickets", "--seed=7"]), 7), "ipc-demo tickets --seed=7");
        let named = command(&typed(&["tickets", "--data", "a b'c.json", ""]), 7);
        assert_eq!(named, r"ipc-demo tickets --data 'a b'\''c.json' '' --seed 7");
    }

    #[test]
    fn facts_wrap_at_the_width() {
        let lines = wrapped((0..30).map(|number| format!("fact {number}")));
        assert!(lines.len() > 1 && lines.iter().all(|line| line.width() <= SUMMARY_WIDTH));
    }

    #[test]
    fn long_command_is_folded_so_that_it_can_be_copied() {
        let command = format!("ipc-demo tickets{}", " --lock".repeat(30));
        let lines = folded(&command, "    ", " \\");
        assert!(lines.len() > 2 && lines.iter().all(|line| line.width() <= SUMMARY_WIDTH), "{lines:?}");
        let copied: Vec<&str> = lines.iter().map(|line| line.trim_end_matches('\\').trim()).collect();
        assert_eq!(copied.join(" "), command);
        assert_eq!(folded("short enough", "    ", " \\"), ["short enough"]);
        assert_eq!(folded(&"x".repeat(200), "", ""), ["x".repeat(200)], "a word stays whole");
    }

    #[test]
    fn the_runner_has_no_lane() {
        assert_eq!(Lanes::default().index_of(super::super::event::RUNNER), None);
    }
}
