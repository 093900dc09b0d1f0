//! The screen: what the run is, its workers, what they share, and the last events.

use std::borrow::Cow;
use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::{Margin, Rect};
use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use super::look::{Look, Tone, tone_of};
use super::thing;
use super::view::{Activity, View};
use crate::report::control::Next;
use crate::report::drawing::fitted;
use crate::report::lanes::State;
use crate::report::screen::ascii;
use crate::report::text::{folded, pieces};
use crate::report::wording::say;

/// The smallest screen with a picture.
const SMALLEST: (u16, u16) = (40, 10);
/// The narrowest screen that has what is shared beside the workers, not below them.
const WIDE: u16 = 120;
/// The most columns for a name.
const NAME: usize = 18;
/// The columns of the help on a wide screen.
const HELP: u16 = 68;
/// The time that a band shows, at speed 1, and at most.
const BAND_US: f64 = 12e6;
/// The shortest time that a band shows.
const SHORTEST_BAND_US: f64 = 200e3;
/// What a band shows of a schedule, of which each step takes a millisecond.
const STEPPED_BAND_US: f64 = 40e3;

/// The columns before a worker and before a thing.
const INDENT: u16 = 2;

/// A part of the screen.
struct Panel<'b> {
    area: Rect,
    buffer: &'b mut Buffer,
    look: Look,
}

impl Panel<'_> {
    /// Writes a text, and returns the column after it.
    fn put(&mut self, x: u16, row: u16, text: &str, tone: Tone) -> u16 {
        if row >= self.area.height || x >= self.area.width {
            return x;
        }
        let (left, top) = (self.area.x + x, self.area.y + row);
        let most = usize::from(self.area.width - x);
        let text = if self.look.is_ascii { Cow::Owned(ascii(text)) } else { Cow::Borrowed(text) };
        let (after, _) = self.buffer.set_stringn(left, top, text, most, self.look.style(tone));
        after - self.area.x
    }

    /// Writes texts one after the other, and returns the column after them.
    fn put_all(&mut self, x: u16, row: u16, texts: impl IntoIterator<Item = thing::Piece>) -> u16 {
        texts.into_iter().fold(x, |x, (text, tone)| self.put(x, row, &text, tone))
    }

    /// Writes a text that is shortened if it is too long.
    fn fit(&mut self, x: u16, row: u16, text: &str, tone: Tone) -> u16 {
        let room = usize::from(self.area.width.saturating_sub(x));
        let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let text = if text.width() > room { fitted(text, room) } else { text };
        self.put(x, row, &text, tone)
    }

    /// Writes the heading of a section.
    fn heading(&mut self, row: u16, text: &str) {
        let line = self.look.sign("─", "-");
        let x = self.put(0, row, &format!("{line}{line} "), Tone::Soft);
        let x = self.put(x, row, text, Tone::Strong);
        let rest = usize::from(self.area.width.saturating_sub(x + 1));
        self.put(x, row, &format!(" {}", line.repeat(rest)), Tone::Soft);
    }

    /// Returns a part of this panel.
    fn part(&mut self, x: u16, row: u16, width: u16, height: u16) -> Panel<'_> {
        let area = Rect::new(self.area.x + x, self.area.y + row, width, height).intersection(self.area);
        Panel { area, buffer: self.buffer, look: self.look }
    }
}

/// Draws the screen at an instant.
pub(super) fn draw(view: &View, now: Instant, look: Look, area: Rect, buffer: &mut Buffer) {
    let mut screen = Panel { area, buffer, look };
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let needs = say!(look, "needs at least {width}x{height}; q quits", "至少需要 {width}x{height}；q 结束");
        screen.fit(0, 0, &needs, Tone::Plain);
        return;
    }
    header(view, now, &mut screen);
    let (width, height) = (area.width, area.height - 3);
    if width >= WIDE {
        let left = width * 11 / 20;
        let workers = (view.scene.lanes.workers().len() as u16).saturating_add(1).min(height - height / 4);
        lanes(view, now, &mut screen.part(0, 2, left - 2, workers));
        log(view, &mut screen.part(0, 2 + workers, left - 2, height - workers));
        things(view, &mut screen.part(left, 2, width - left, height), usize::from(height));
    } else {
        // A line for each thing, and the rest for the workers and the last events.
        let shared = (view.scene.things.all().len() as u16).saturating_add(1).min(height / 3).max(2);
        let events = if height >= 14 { 4 } else { 3 };
        let workers = (view.scene.lanes.workers().len() as u16)
            .saturating_add(1)
            .min(height.saturating_sub(shared + events))
            .max(2);
        let spare = height.saturating_sub(shared + workers + 2 * events);
        let lines = things(view, &mut screen.part(0, 2 + workers, width, shared + spare), 3);
        let shared = lines.min(shared + spare).max(2);
        lanes(view, now, &mut screen.part(0, 2, width, workers));
        log(view, &mut screen.part(0, 2 + workers + shared, width, height.saturating_sub(workers + shared)));
    }
    footer(view, now, &mut screen);
    if view.is_help {
        help(&mut screen);
    }
}

fn header(view: &View, now: Instant, screen: &mut Panel<'_>) {
    let look = screen.look;
    let time = match view.status.steps.filter(|_| view.end.is_none()) {
        Some(steps) => say!(look, "step {steps}", "第 {steps} 步"),
        None => {
            // A step of a schedule takes a millisecond.
            let decimals = if view.status.steps.is_some() { 3 } else { 1 };
            format!("{:.decimals$} {}", view.now_us(now) as f64 / 1e6, look.pick("s", "秒"))
        }
    };
    let speed = match view.status.speed.as_str() {
        "" => String::new(),
        speed => format!("  {} {speed}", look.pick("speed", "速度")),
    };
    let state = match (&view.end, view.status.is_held) {
        (Some(_), _) => look.pick("  ENDED", "  已结束"),
        (None, true) => look.pick("  PAUSED", "  已暂停"),
        (None, false) => "",
    };
    let right = format!("{time}{speed}{state}");
    let start = screen.area.width.saturating_sub(right.width() as u16 + 1);
    screen.part(0, 0, start.saturating_sub(1), 1).fit(0, 0, &view.title, Tone::Strong);
    screen.put(start, 0, &right, if state.is_empty() { Tone::Plain } else { Tone::Waiting });
    if let Some(end) = &view.end {
        screen.fit(0, 1, &end.verdict, end.tone);
        return;
    }
    let [running, waiting, holding] = view.scene.lanes.counts();
    let over = |wanted: State| view.scene.lanes.workers().iter().filter(|worker| worker.state() == wanted).count();
    let (ended, died) = (over(State::Ended), over(State::Died));
    let said = |count: usize, en: &str, zh: &str| say!(look, "{count} {en}", "{zh} {count}");
    let mut counts = vec![(said(running, "running", "运行"), Tone::Plain)];
    // Of those that run.
    let mut before = look.pick(" (", "（");
    for (count, en, zh, tone) in
        [(waiting, "waiting", "等待", Tone::Waiting), (holding, "holding", "持有", Tone::Holding)]
    {
        if count > 0 {
            counts.extend([(before.to_owned(), Tone::Plain), (said(count, en, zh), tone)]);
            before = look.pick(", ", "，");
        }
    }
    if waiting + holding > 0 {
        counts.push((look.pick(")", "）").to_owned(), Tone::Plain));
    }
    for (count, en, zh, tone) in [(ended, "ended", "结束", Tone::Soft), (died, "died", "死亡", Tone::Bad)] {
        if count > 0 {
            counts.push((format!("  {}", said(count, en, zh)), tone));
        }
    }
    let x = screen.put_all(0, 1, counts) + 2;
    let [en, zh] = view.claim;
    let claim = format!("{}{}", look.pick("to be shown: ", "待验证："), look.pick(en, zh));
    screen.fit(x, 1, &claim, Tone::Soft);
}

fn lanes(view: &View, now: Instant, panel: &mut Panel<'_>) {
    let (scene, look) = (&view.scene, panel.look);
    let (count, rows) = (scene.lanes.workers().len(), usize::from(panel.area.height).saturating_sub(1));
    // Where not all have a line, others have a sign for each.
    let all = look.pick("all  ", "全部  ");
    let indent = 2 + all.width() as u16;
    let signs = usize::from(panel.area.width.saturating_sub(indent).max(1));
    let strip = if count > rows { count.div_ceil(signs).min(rows / 3) } else { 0 };
    let shown = (rows - strip).min(count);
    let state_of = |worker: usize| scene.lanes.workers()[worker].state();
    let first = match view.selected {
        Some(selected) => selected.saturating_sub(shown / 2),
        // What goes on is at the top.
        None => (0..count).find(|worker| !state_of(*worker).is_over()).unwrap_or(0),
    };
    let first = first.min(count - shown);
    let heading = if shown == count {
        look.pick("workers", "进程").to_owned()
    } else {
        let (workers, shown) = (if shown == 1 { "worker" } else { "workers" }, range(first, shown, look));
        say!(look, "{workers} {shown} of {count}", "进程 {shown}，共 {count} 个")
    };
    panel.heading(0, &heading);
    let mut row = 1;
    for line in 0..strip {
        panel.put(2, row, if line == 0 { all } else { "" }, Tone::Soft);
        let states = (line * signs..count).take(signs).map(state_of);
        // A blank would look as if there were none.
        let sign_of = |state| if state == State::Ended { look.sign("–", "-").to_owned() } else { sign(state, look) };
        panel.put_all(indent, row, states.map(|state| (sign_of(state), tone_of(state))));
        row += 1;
    }
    let name_of = |worker: usize| look.language.name(scene.names, &scene.lanes.workers()[worker].name);
    let longest = (first..first + shown).map(|worker| name_of(worker).width()).max().unwrap_or(0);
    let name_width = longest.clamp(6, NAME) as u16;
    let rest = panel.area.width.saturating_sub(name_width + 7);
    let band_width = rest * 2 / 5;
    for worker in first..first + shown {
        let (pid, told) = (scene.lanes.workers()[worker].pid, state_of(worker));
        let is_selected = view.selected == Some(worker);
        let is_stopped = view.status.stopped.contains(&pid) && !told.is_over();
        let tone = if is_selected { Tone::Reverse } else { Tone::Plain };
        panel.put(0, row, if is_selected { look.sign("▸", ">") } else { " " }, Tone::Strong);
        let name = fitted(name_of(worker), usize::from(name_width));
        panel.put(2, row, &name, tone);
        band(view, worker, view.now_us(now), &mut panel.part(3 + name_width, row, band_width, 1));
        let x = 3 + name_width + band_width + 1;
        let activity = view.seen.get(worker).map_or(Activity::Unknown, |seen| seen.activity);
        let waits = activity == Activity::Waits && told == State::Running;
        let state = if waits { State::Waiting } else { told };
        let x = panel.put(x, row, &sign(state, look), tone_of(state)) + 1;
        // That it waits is said by an event.
        let is_waiting = matches!(told, State::Waiting | State::Both);
        let next = view.status.next.get(worker).filter(|next| !(is_waiting && next.is_blocked));
        let next = next.map(|Next { text: [en, zh], .. }| look.pick(en, zh)).filter(|next| !next.is_empty());
        let mut doing = scene.doing(worker, look.language);
        match (activity, told) {
            (Activity::Waits, State::Running) => doing = look.pick("waits", "等待").to_owned(),
            (Activity::Sleeps, State::Running) => doing = look.pick("sleeps", "休眠").to_owned(),
            (Activity::Sleeps, State::Holding | State::Working) => doing += look.pick("; sleeps", "；休眠"),
            _ => {}
        }
        if let Some(next) = next.filter(|_| view.end.is_none() && !told.is_over()) {
            let is_idle = told == State::Running;
            doing = if is_idle { next.to_owned() } else { format!("{doing}{}{next}", look.pick("; ", "；")) };
        }
        if is_stopped {
            doing = format!("{}{doing}", look.pick("STOPPED; ", "已停止；"));
        }
        panel.fit(x, row, &doing, if is_stopped { Tone::Bad } else { tone_of(state) });
        row += 1;
    }
}

/// Returns the numbers from 1 of some that are shown of a list.
fn range(first: usize, shown: usize, look: Look) -> String {
    match shown {
        1 => format!("{}", first + 1),
        _ => format!("{}{}{}", first + 1, look.pick(" to ", "–"), first + shown),
    }
}

/// Returns the sign of a state; one that has not started has one too.
fn sign(state: State, look: Look) -> String {
    state.symbol(look.is_ascii).to_string()
}

/// Draws what a worker did in the last seconds, now at the right.
fn band(view: &View, worker: usize, now_us: u64, panel: &mut Panel<'_>) {
    let Some(changes) = view.bands.get(worker) else { return };
    let speed: f64 = view.status.speed.parse().unwrap_or(f64::INFINITY);
    let shown_us = match view.status.steps.is_some() {
        true => STEPPED_BAND_US,
        false => (BAND_US / speed.max(0.1)).max(SHORTEST_BAND_US),
    };
    let cells = panel.area.width;
    let cell_us = (shown_us / f64::from(cells.max(1))).max(1.0) as u64;
    // Cells begin at multiples of their length, so that they do not flicker.
    let last = now_us / cell_us;
    for cell in 0..cells {
        let Some(index) = last.checked_sub(u64::from(cells - 1 - cell)) else { continue };
        let (from_us, to_us) = (index * cell_us, (index + 1) * cell_us);
        let state = longest(changes, from_us, to_us.min(now_us.max(from_us + 1)));
        let look = panel.look;
        panel.put(cell, 0, &sign(state, look), tone_of(state));
    }
}

/// Returns the state in which a worker was longest in this time; its death, if it died then.
fn longest(changes: &std::collections::VecDeque<(u64, State)>, from_us: u64, to_us: u64) -> State {
    let first = changes.partition_point(|(at_us, _)| *at_us <= from_us).saturating_sub(1);
    let mut best = (0, State::NotStarted);
    for (place, (at_us, state)) in changes.iter().enumerate().skip(first) {
        if *at_us >= to_us {
            break;
        }
        if *state == State::Died {
            return if *at_us >= from_us { State::Died } else { State::NotStarted };
        }
        let end_us = changes.get(place + 1).map_or(to_us, |(next_us, _)| *next_us).min(to_us);
        let lasted = end_us.saturating_sub((*at_us).max(from_us));
        if lasted > best.0 {
            best = (lasted, *state);
        }
    }
    best.1
}

/// Draws what the workers share, and returns how many lines that takes. The newest thing is there in any case.
fn things(view: &View, panel: &mut Panel<'_>, most_lines: usize) -> u16 {
    let (scene, look) = (&view.scene, panel.look);
    let width = usize::from(panel.area.width.saturating_sub(INDENT));
    let titles = scene.things.all().iter().map(|thing| thing.title(look.language, scene.names).width());
    let title_width = titles.max().unwrap_or(0).clamp(8, 20) + 2;
    let rows = usize::from(panel.area.height).saturating_sub(1);
    let all = scene.things.all();
    let lines_of = |most: usize| -> Vec<Vec<Vec<thing::Piece>>> {
        all.iter().map(|shown| thing::lines(shown, scene, look, title_width, width, most)).collect()
    };
    // As many lines for each as there is room for.
    let fits = |lines: &Vec<Vec<Vec<thing::Piece>>>| lines.iter().map(Vec::len).sum::<usize>() <= rows;
    let lines = (1..=most_lines).rev().map(lines_of).find(fits).unwrap_or_else(|| lines_of(1));
    let hidden = lines.iter().map(Vec::len).sum::<usize>().saturating_sub(rows);
    // Each has one line, if some are hidden.
    let (count, shown) = (all.len(), range(hidden, all.len() - hidden, look));
    let heading = match hidden {
        0 => look.pick("shared", "共享对象").to_owned(),
        _ => say!(look, "shared {shown} of {count}", "共享对象 {shown}，共 {count} 个"),
    };
    panel.heading(0, &heading);
    let mut row = 1;
    for line in lines.into_iter().flatten().skip(hidden) {
        panel.put_all(INDENT, row, line);
        row += 1;
    }
    row
}

fn log(view: &View, panel: &mut Panel<'_>) {
    let look = panel.look;
    panel.heading(0, look.pick("last events", "最近的事件"));
    let rows = usize::from(panel.area.height).saturating_sub(1);
    // At the end, what the run has shown comes below the last events.
    let width = usize::from(panel.area.width);
    let (mut seen, mut facts) = (Vec::new(), Vec::new());
    if let Some(end) = &view.end {
        facts = folded(end.facts.iter().cloned(), width, "");
        seen = folded(pieces(&end.seen), width, "");
    }
    // An event is shown in any case.
    if seen.len() + facts.len() >= rows {
        seen.clear();
    }
    let events = rows.saturating_sub(seen.len() + facts.len());
    let names = view.log.iter().rev().take(events).map(|line| line.worker.width()).max().unwrap_or(0).min(NAME);
    let first = view.log.len().saturating_sub(events);
    let mut row = 1;
    for line in view.log.iter().skip(first) {
        let x = match line.at_us {
            Some(at_us) => {
                let x = panel.put(0, row, &format!("{:>9.3}  ", at_us as f64 / 1e6), Tone::Soft);
                panel.put(x, row, &line.worker, Tone::Plain);
                x + names as u16 + 2
            }
            // It needs the room.
            None => 13,
        };
        panel.fit(x, row, &line.text, line.tone);
        row += 1;
    }
    let strong = seen.into_iter().map(|line| (line, Tone::Strong));
    for (row, (line, tone)) in (row..).zip(strong.chain(facts.into_iter().map(|line| (line, Tone::Plain)))) {
        panel.put(0, row, &line, tone);
    }
}

fn footer(view: &View, now: Instant, screen: &mut Panel<'_>) {
    let (look, row) = (screen.look, screen.area.height - 1);
    if let Some(notice) = view.notice(now) {
        screen.fit(0, row, &format!("{} {notice}", look.sign("▶", ">")), Tone::Strong);
        return;
    }
    let keys = match &view.end {
        Some(_) => {
            look.pick("q ends the view and prints the summary  ↑↓ select  h help", "q 结束并打印小结  ↑↓ 选择  h 帮助")
        }
        None if view.status.steps.is_some() => look.pick(
            ". one step  space go on/pause  +- pace  ↑↓ select  k kill  h help  q end",
            ". 走一步  空格 继续/暂停  +- 速度  ↑↓ 选择  k 杀死  h 帮助  q 结束",
        ),
        None => look.pick(
            "space pause  +- pace  ↑↓ select  k kill -9  s stop/go on  h help  q end",
            "空格 暂停  +- 速度  ↑↓ 选择  k 杀死  s 停止/继续  h 帮助  q 结束",
        ),
    };
    let keys = if look.is_ascii { Cow::Owned(keys.replace("↑↓", "arrows")) } else { Cow::Borrowed(keys) };
    screen.fit(0, row, &keys, Tone::Soft);
}

fn help(screen: &mut Panel<'_>) {
    let look = screen.look;
    let state = |state: State, en: &'static str, zh: &'static str| (sign(state, look), en, zh, tone_of(state));
    let key = |key: &str, en: &'static str, zh: &'static str| (key.to_owned(), en, zh, Tone::Strong);
    let rows = [
        key(
            look.pick("space", "空格"),
            "all workers stop at their next event or pause, or go on",
            "所有进程在下一个事件或停顿处暂停，或继续",
        ),
        key("+ -", "faster, slower", "加快、减慢"),
        key(look.sign("↑ ↓", "arrows"), "select a worker", "选择一个进程"),
        key("k", "kill the selected worker (kill -9)", "杀死所选进程（kill -9）"),
        key("s", "stop it (SIGSTOP), or let it go on (SIGCONT)", "停止它（SIGSTOP），或让它继续（SIGCONT）"),
        key(".", "one step, in a run with --step or --schedule", "走一步（需要 --step 或 --schedule）"),
        key("q", "end the run, and print its summary", "结束运行并打印小结"),
        state(State::Running, "runs or sleeps", "运行或休眠"),
        state(State::Waiting, "waits for another", "等待其他进程"),
        state(State::Holding, "holds something", "持有"),
        state(State::Both, "holds one and waits for another", "持有一个，等待另一个"),
        state(State::Working, "works on an item", "处理数据"),
        state(State::Died, "died", "死亡"),
    ];
    let (all, height) = (screen.area, (rows.len() as u16 + 2).min(screen.area.height));
    // On a narrow screen it takes the whole width: too little of the view would be left at its sides.
    let width = if all.width >= WIDE { HELP } else { all.width };
    let area = Rect::new((all.width - width) / 2, (all.height - height) / 2, width, height);
    Clear.render(area.outer(Margin::new(2, 0)).intersection(all), screen.buffer);
    let mut panel = screen.part(area.x, area.y, width, height);
    for row in [0, height - 1] {
        panel.put(0, row, &" ".repeat(usize::from(width)), Tone::Reverse);
    }
    panel.put(2, 0, look.pick("keys and signs", "按键与符号"), Tone::Reverse);
    for (row, (sign, en, zh, tone)) in (1..height - 1).zip(rows) {
        panel.put(2, row, &sign, tone);
        panel.fit(10, row, look.pick(en, zh), Tone::Plain);
    }
}
