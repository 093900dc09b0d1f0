//! The report for people: one line per event, with the picture of all workers at its left.
//!
//! ```text
//!   0.0132 s  █┆┆┆···  buyer-1     gets the lock (waited 3 µs)
//! ```

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Reporter;
use super::class::{Class, Ending, Severity, SpanKind};
use super::drawing::fitted;
use super::event::Event;
use super::frame::{RunStarted, Summary, Verdict};
use super::lanes::{Lanes, State, WORDS, explained};
use super::language::Language;
use super::schedule::ShownSchedule;
use super::screen::{self, COLUMNS};
use super::wording::{Known, Wording, say};

/// Columns for a worker's name.
const NAME_WIDTH: usize = 11;
/// What stands before a line that belongs to the one above it.
const DETAIL: &str = "               ";
/// What commands begin with.
const PROGRAM: &str = "ipc-demo";
/// The columns at the right that a summary leaves free.
const SUMMARY_MARGIN: usize = 2;

const WORKER_COLORS: [AnsiColor; 6] = {
    use AnsiColor::{Blue, BrightBlue, BrightCyan, BrightMagenta, Cyan, Magenta};
    [Cyan, Magenta, Blue, BrightCyan, BrightMagenta, BrightBlue]
};

/// Writes events as lines of text.
pub(super) struct Text<W> {
    out: W,
    language: Language,
    colored: bool,
    /// Whether only the summary is shown.
    pub(super) quiet: bool,
    /// Whether events are not shown for a while.
    is_muted: bool,
    /// Whether pictures use only ASCII.
    pub(super) is_ascii: bool,
    /// The width of lines; that of the terminal if `None`.
    pub(super) columns: Option<usize>,
    lanes: Lanes,
    /// The status line at the bottom of a terminal.
    progress: Option<ProgressBar>,
    /// Its text, in place of the workers' states.
    status_shown: Option<String>,
    /// The words of the command that repeats the run: an option and its value are one.
    command: Vec<String>,
    known: Known,
}

/// Returns the status line at the bottom of a terminal.
pub(super) fn status_line(is_ascii: bool) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant");
    bar.set_style(if is_ascii { style.tick_chars("|/-\\ ") } else { style });
    bar
}

impl<W: Write> Text<W> {
    pub(super) fn new(out: W, language: Language, colored: bool, progress: Option<ProgressBar>) -> Self {
        Text {
            out,
            language,
            colored,
            quiet: false,
            is_muted: false,
            is_ascii: false,
            columns: Some(COLUMNS),
            lanes: Lanes::default(),
            progress,
            status_shown: None,
            command: Vec::new(),
            known: Known::default(),
        }
    }

    fn columns(&self) -> usize {
        self.columns.unwrap_or_else(screen::columns)
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colored { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn wording<'a>(&'a self, event: &'a Event) -> Wording<'a> {
        self.known.wording(self.language, event)
    }

    fn lines(&self, event: &Event) -> Vec<String> {
        let columns = self.columns();
        let (wording, class) = (self.wording(event), event.fact.class());
        let time = format!("{:>9.4} {}", event.at_us as f64 / 1e6, self.language.pick("s", "秒"));
        let lanes: Vec<State> = self.lanes.picture(columns).collect();
        let name = wording.name(&event.worker);
        let name_width = NAME_WIDTH.max(name.width() + 1);
        let gap = if lanes.is_empty() { 2 } else { lanes.len() + 4 };
        let indent = time.width() + gap + name_width;
        let (mut sentence, room) = (event.fact.sentence(&wording), columns.saturating_sub(indent));
        // A call has data of any length.
        if class.calls {
            sentence = fitted(sentence, room.max(WORDS));
        }
        let pieces = pieces(&sentence).into_iter().flat_map(|piece| fitting(piece, room));
        let style = style_of(&class);
        let mut said = folded(pieces, room, "").into_iter().map(|line| self.paint(style, &line));
        let mut line = self.paint(Style::new().dimmed(), &time) + "  ";
        if !lanes.is_empty() {
            line.extend(lanes.into_iter().map(|state| self.state(state)));
            line.push_str("  ");
        }
        let color = self.lanes.index_of(&event.worker).map(|index| WORKER_COLORS[index % WORKER_COLORS.len()]);
        line.push_str(&self.paint(color.map_or_else(Style::new, |color| color.on_default()), &name));
        line.push_str(&" ".repeat(name_width - name.width()));
        line.push_str(&said.next().unwrap_or_default());
        std::iter::once(line).chain(said.map(|rest| " ".repeat(indent) + &rest)).collect()
    }

    fn details(&self, event: &Event) -> Vec<String> {
        let room = self.columns().saturating_sub(DETAIL.len());
        let details = event.fact.details(&self.wording(event));
        details.iter().flat_map(|line| folded(pieces(line), room, "  ")).map(|line| format!("{DETAIL}{line}")).collect()
    }

    fn state(&self, state: State) -> String {
        let style = match state {
            State::Holding | State::Working => AnsiColor::Green.on_default(),
            State::Waiting | State::Both => AnsiColor::Yellow.on_default(),
            State::Died => AnsiColor::Red.on_default().bold(),
            _ => Style::new().dimmed(),
        };
        self.paint(style, state.symbol(self.is_ascii).encode_utf8(&mut [0; 4]))
    }

    fn summary(&self, summary: &Summary) -> Vec<String> {
        let Summary { verdict, guaranteed, elapsed_us, facts, advice, .. } = summary;
        let color = match (verdict, guaranteed) {
            (Verdict::Held, _) => AnsiColor::Green,
            (Verdict::Violated, true) => AnsiColor::Red,
            (Verdict::Violated, false) | (Verdict::NotShown, _) => AnsiColor::Yellow,
        };
        let verdict_line = format!("{} {}", verdict.sign(), summary.said(self.language));
        let style = color.on_default().bold();
        let mut lines = vec![String::new()];
        let width = self.columns() - SUMMARY_MARGIN;
        lines.extend(folded(pieces(&verdict_line), width, "  ").iter().map(|line| self.paint(style, line)));
        if let Some(seen) = summary.seen(self.language) {
            lines.extend(folded(pieces(&format!("  {seen}")), width, "  "));
        }
        if !facts.is_empty() {
            let facts = facts.iter().map(|counter| counter.said(self.language) + "   ");
            lines.extend(folded(std::iter::once("  ".to_owned()).chain(facts), width, "  "));
        }
        let took = format!("{} {}", self.language.pick("took", "用时"), self.language.duration(*elapsed_us));
        let again = self.language.pick("run it again: ", "重新运行：");
        let one_line = format!("  {took}  ·  {again}{}", self.command.join(" "));
        let last = if one_line.width() <= width {
            vec![one_line]
        } else {
            let label = format!("  {again}");
            let words = self.command.iter().map(|word| format!("{word} "));
            [vec![format!("  {took}")], folded(std::iter::once(label).chain(words), width, "    ")].concat()
        };
        lines.extend(last.iter().map(|line| self.paint(Style::new().dimmed(), line)));
        let advice = advice.map(|[en, zh]| self.language.pick(en, zh));
        if let Some(advice) = advice.filter(|advice| !is_followed(advice, &self.command)) {
            lines.extend(folded(pieces(&format!("  → {advice}")), width, "    "));
        }
        lines
    }

    fn header(&self, event: &Event) -> Vec<String> {
        let columns = self.columns();
        let said = event.fact.sentence(&self.wording(event));
        let title = folded(pieces(&said), columns, "  ");
        let is_explored = event.get::<RunStarted>().is_some_and(|started| started.is_explored);
        let legend = self.lanes.legend(columns, self.language, self.is_ascii).into_iter().map(|piece| piece + "  ");
        let legend = folded(legend, columns, "  ").into_iter().filter(|line| !line.is_empty() && !is_explored);
        let title = title.iter().map(|line| self.paint(Style::new().bold(), line));
        let legend = legend.map(|line| self.paint(Style::new().dimmed(), &line));
        // What an exploration shows next begins with a blank line.
        title.chain(legend).chain((!is_explored).then(String::new)).collect()
    }

    fn schedule_lines(&self, shown: &ShownSchedule) -> Vec<String> {
        let columns = self.columns();
        let (steps, switches) = (shown.steps.len(), shown.switches);
        let steps_en = if steps == 1 { "step" } else { "steps" };
        let switches_en = if switches == 1 { "switch" } else { "switches" };
        let title = say!(
            self,
            "the shortest schedule that violates it ({steps} {steps_en}, {switches} {switches_en}):",
            "最短的反例调度（{steps} 步，切换 {switches} 次）："
        );
        let again = self.language.pick("replay it: ", "重放：").to_owned();
        let schedule = format!("--schedule {}", quoted(&shown.schedule));
        let command = words(&shown.args).into_iter().chain([schedule]).map(|word| word + " ");
        let table = shown.table(self.language, self.known.names(), columns);
        let again = folded(std::iter::once(again).chain(command), columns, "    ");
        [vec![String::new()], folded(pieces(&title), columns, "  "), table, again].concat()
    }

    fn write(&mut self, lines: &[String]) -> io::Result<()> {
        write_above(self.progress.as_ref(), &mut self.out, &(lines.join("\n") + "\n"))
    }

    fn status(&self) -> String {
        if let Some(status) = &self.status_shown {
            return status.clone();
        }
        let [running, waiting, holding] = self.lanes.counts();
        if waiting + holding == 0 {
            return say!(self, "{running} running", "{running} 个进程在运行");
        }
        say!(
            self,
            "{running} running ({waiting} waiting, {holding} holding)",
            "{running} 个进程在运行（{waiting} 个等待，{holding} 个持有）"
        )
    }

    /// Updates the status line at the bottom, if there is one.
    fn show(&self) {
        if let Some(bar) = &self.progress {
            bar.set_message(self.status());
            bar.tick();
        }
    }
}

/// Writes a text above the bar at the bottom of a terminal, if there is one.
pub(crate) fn write_above(bar: Option<&ProgressBar>, out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut write = || out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn style_of(class: &Class<'_>) -> Style {
    let waits = matches!(class.begins, Some((SpanKind::Waiting, _))) || class.follows_death;
    let color = match (class.severity(), class.ending) {
        (_, Some(Ending::Done)) => return Style::new().dimmed(),
        (_, Some(_)) | (Some(Severity::Trouble), _) => AnsiColor::Red,
        _ if class.starts => return Style::new().dimmed(),
        _ if class.inherits => AnsiColor::Red,
        (Some(Severity::Good), _) => AnsiColor::Green,
        _ if matches!(class.ends, Some((SpanKind::Working, _))) => AnsiColor::Green,
        _ if waits => AnsiColor::Yellow,
        _ => return Style::new(),
    };
    color.on_default()
}

/// Splits a piece that is wider than a line: after a bracket, a comma or a slash, and between two names. Shortens parts
/// that are still too wide.
fn fitting(piece: String, room: usize) -> Vec<String> {
    let is_fitting = |part: &String| part.trim_end().width() <= room;
    if is_fitting(&piece) {
        return vec![piece];
    }
    let mut parts: Vec<String> = Vec::new();
    for letter in piece.chars() {
        let is_end =
            |part: &str| part.ends_with(['(', '[', '{', ',', '/']) || (part.ends_with('.') && letter.is_alphabetic());
        match parts.last_mut().filter(|part| !is_end(part)) {
            Some(part) => part.push(letter),
            None => parts.push(letter.to_string()),
        }
    }
    parts.into_iter().map(|part| if is_fitting(&part) { part } else { fitted(part, room) + " " }).collect()
}

/// Splits a text into unbreakable pieces: words, options with the following word, each Chinese character with the
/// punctuation that follows it, and the links of a chain `1->2->3`.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let is_wide = |letter: char| letter.width().is_some_and(|width| width > 1);
    let is_closing = |letter: char| "，。：；、）！？”".contains(letter);
    let mut pieces: Vec<String> = Vec::new();
    let mut before = None;
    for letter in text.chars() {
        let is_joined = match before {
            None => false,
            Some(' ') => letter == ' ' || (letter != '-' && pieces.last().is_some_and(|piece| leads(piece.trim_end()))),
            Some('（' | '“') => true,
            Some('>') if pieces.last().is_some_and(|piece| piece.ends_with("->")) => letter == ' ',
            Some(before) => is_closing(letter) || letter == ' ' || !(is_wide(before) || is_wide(letter)),
        };
        match pieces.last_mut().filter(|_| is_joined) {
            Some(piece) => piece.push(letter),
            None => pieces.push(letter.to_string()),
        }
        before = Some(letter);
    }
    pieces
}

/// Returns whether the following word belongs to this one.
fn leads(word: &str) -> bool {
    word == PROGRAM || is_option(word)
}

/// Returns whether a word is an option that may be followed by its value.
fn is_option(word: &str) -> bool {
    word.starts_with("--") && word.len() > 2 && !word.contains(['=', ' '])
}

/// Folds pieces into as many lines as necessary. `indent` begins all but the first.
///
/// A command is continued after a backslash, so that it can be copied.
pub(super) fn folded(pieces: impl IntoIterator<Item = String>, width: usize, indent: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut is_command = false;
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        let line = lines.last_mut().expect("there is one from the start");
        let joint = if is_command { " \\" } else { "" };
        let is_begun = !line.trim().is_empty();
        let room = if pieces.peek().is_some() { width.saturating_sub(joint.width()) } else { width };
        if is_begun && line.width() + piece.trim_end().width() > room {
            line.truncate(line.trim_end().len());
            line.push_str(joint);
            lines.push(format!("{indent}{piece}"));
        } else {
            line.push_str(&piece);
        }
        is_command |= piece.split(' ').next() == Some(PROGRAM);
    }
    let last = lines.last_mut().expect("there is one from the start");
    last.truncate(last.trim_end().len());
    lines
}

/// Returns the command that repeats a run, in unbreakable words: its arguments, and the seed if they do not name it.
pub(super) fn command(args: &[String], seed: u64) -> Vec<String> {
    let mut words = words(args);
    if !args.iter().any(|word| word == "--seed" || word.starts_with("--seed=")) {
        words.push(format!("--seed {seed}"));
    }
    words
}

/// Returns the command that repeats a run and draws nothing.
pub(super) fn command_without_pictures(started: &RunStarted) -> String {
    let mut words = command(&started.args, started.seed);
    words.retain(|word| !matches!(word.split([' ', '=']).next(), Some("--timeline" | "--trace" | "--html")));
    words.join(" ")
}

/// Returns a command in unbreakable words.
fn words(args: &[String]) -> Vec<String> {
    let mut words = vec![PROGRAM.to_owned()];
    let mut args_left = args.iter().peekable();
    while let Some(arg) = args_left.next() {
        // An option without a value is then joined with the next word, which is harmless.
        let value = args_left.next_if(|value| is_option(arg) && (!value.starts_with('-') || *value == "-"));
        words.push(value.map_or_else(|| quoted(arg), |value| format!("{arg} {}", quoted(value))));
    }
    words
}

/// Whether a run of this command is what an advice, which ends with a command, says.
fn is_followed(advice: &str, command: &[String]) -> bool {
    let advised = advice.rsplit_once(PROGRAM).map_or("", |(_, advised)| advised);
    let advised: Vec<String> = advised.split_whitespace().map(str::to_owned).collect();
    let words = self::command(&advised, 0);
    let is_there = |word: &String| command.iter().any(|own| own.replacen('=', " ", 1) == *word);
    !advised.is_empty() && words[..words.len() - 1].iter().all(is_there)
}

/// Quotes a word for a shell, if necessary.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_=+,.:/@%#".contains(letter);
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl<W: Write> Reporter for Text<W> {
    fn show_status(&mut self, en: &str, zh: &str) {
        self.status_shown = Some(self.language.pick(en, zh).to_owned());
        self.show();
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.known.follow(event);
        let new_sign = self.lanes.follow(event);
        if let Some(RunStarted { args, seed, .. }) = event.get() {
            self.command = command(args, *seed);
        }
        let summary = event.get::<Summary>();
        let lines = if let Some(summary) = summary {
            self.summary(summary).split_off(usize::from(self.quiet))
        } else if self.quiet || self.is_muted {
            return Ok(());
        } else if event.is::<RunStarted>() {
            self.header(event)
        } else {
            let sign = new_sign.filter(|_| self.lanes.picture(self.columns()).next().is_some());
            let sign = sign.map(|sign| DETAIL.to_owned() + &explained(sign, self.language, self.is_ascii));
            self.lines(event).into_iter().chain(sign).chain(self.details(event)).collect()
        };
        if let Some(bar) = self.progress.take_if(|_| summary.is_some()) {
            bar.finish_and_clear();
        }
        self.write(&lines)?;
        self.show();
        Ok(())
    }

    fn mute(&mut self, is_muted: bool) {
        self.is_muted = is_muted;
    }

    fn schedule(&mut self, schedule: &ShownSchedule) -> io::Result<()> {
        if self.quiet { Ok(()) } else { self.write(&self.schedule_lines(schedule)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::AnyFact;
    use crate::report::frame::{WorkerExited, WorkerStarted};
    use crate::scenarios::facts::LockFact;

    #[test]
    fn status_counts_who_runs_waits_and_holds() {
        let lock = || "lock".to_owned();
        let started = || WorkerStarted { role: "", daemon: false }.into();
        let told: [(&str, AnyFact); _] = [
            ("a", started()),
            ("b", started()),
            ("c", started()),
            ("d", started()),
            ("a", LockFact::LockAcquired { lock: lock(), waited_us: 0, abandoned: false }.into()),
            ("b", LockFact::LockWaiting { lock: lock() }.into()),
            ("d", WorkerExited { exit_code: Some(0), signal: None, failure: None }.into()),
        ];
        for (language, wanted) in [
            (Language::En, ["4 running", "3 running (1 waiting, 1 holding)"]),
            (Language::Zh, ["4 个进程在运行", "3 个进程在运行（1 个等待，1 个持有）"]),
        ] {
            let mut text = Text::new(Vec::new(), language, false, None);
            let mut said = Vec::new();
            for (index, (worker, fact)) in told.iter().enumerate() {
                let event = Event { at_us: 0, worker: (*worker).to_owned(), pid: 1, fact: fact.clone() };
                text.event(&event).expect("memory takes everything");
                if [3, 6].contains(&index) {
                    said.push(text.status());
                }
            }
            assert_eq!(said, wanted);
        }
    }

    #[test]
    fn command_repeats_the_run() {
        let typed = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let command = |words: &[&str]| command(&typed(words), 7).join(" ");
        assert_eq!(command(&["tickets", "--lock"]), "ipc-demo tickets --lock --seed 7");
        assert_eq!(command(&["tickets", "--seed=7"]), "ipc-demo tickets --seed=7");
        let named = command(&["tickets", "--data", "a b'c.json", ""]);
        assert_eq!(named, r"ipc-demo tickets --data 'a b'\''c.json' '' --seed 7");
    }

    #[test]
    fn long_command_is_folded_so_that_it_can_be_copied() {
        let args = [&["tickets", "--data", "my own tickets.json"][..], &["--buyers", "12"].repeat(10)].concat();
        let words = command(&args.iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), 7);
        let spaced = words.iter().map(|word| format!("{word} "));
        let lines = folded(spaced, 40, "    ");
        assert!(lines.len() > 2 && lines.iter().all(|line| line.width() <= 40), "{lines:?}");
        let copied: Vec<&str> = lines.iter().map(|line| line.trim_end_matches('\\').trim()).collect();
        assert_eq!(copied.join(" "), words.join(" "));
        // Neither inside a quoted word nor between an option and its value.
        for line in lines {
            assert_eq!(line.matches('\'').count() % 2, 0, "{line}");
            assert!(!line.trim_end_matches('\\').trim_end().ends_with("--buyers"), "{line}");
        }
    }

    #[test]
    fn lines_break_between_words_and_between_chinese_characters() {
        let fold = |text: &str, width| folded(pieces(text), width, "");
        assert_eq!(fold("short enough", 40), ["short enough"]);
        assert_eq!(fold("two of these", 6), ["two of", "these"]);
        assert_eq!(fold(&"x".repeat(50), 40), ["x".repeat(50)], "a word stays whole");
        assert_eq!(fold("等待锁，然后 lock-10 拿到", 8), ["等待锁，", "然后", "lock-10", "拿到"]);
        assert_eq!(fold("（等了 3 ms）", 8), ["（等了 3", "ms）"]);
        assert_eq!(fold("1->2->3->", 6), ["1->2->", "3->"]);
        let advice = "a lock prevents it: ipc-demo tickets --buyers 10 --lock";
        assert_eq!(fold(advice, 30), ["a lock prevents it:", "ipc-demo tickets --buyers 10 \\", "--lock"]);
        assert_eq!(fold("ipc-demo tickets --buyers 10", 28), ["ipc-demo tickets --buyers 10"]);
        assert_eq!(fold("ipc-demo tickets --buyers 10", 27), ["ipc-demo tickets \\", "--buyers 10"]);
    }

    #[test]
    fn the_runner_has_no_lane() {
        assert_eq!(Lanes::default().index_of(super::super::event::RUNNER), None);
    }

    #[test]
    fn command_just_run_is_no_advice() {
        let ran = |args: &str| command(&args.split(' ').map(str::to_owned).collect::<Vec<_>>(), 7);
        let advice = "kill one: ipc-demo barrier --kill worker-1@waiting";
        for same in ["barrier --kill worker-1@waiting", "barrier --speed max --kill=worker-1@waiting"] {
            assert!(is_followed(advice, &ran(same)), "{same}");
        }
        assert!(!is_followed(advice, &ran("barrier")) && !is_followed("no command", &ran("barrier")));
    }
}
