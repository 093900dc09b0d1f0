//! A shared thing on the screen: its title, and pieces that are laid out in as many lines as there is room for.

use unicode_width::UnicodeWidthStr;

use super::look::{Look, Tone};
use crate::report::lanes::State;
use crate::report::language::Language;
use crate::report::scene::{Scene, short};
use crate::report::things::{Queue, Shape, Tasks, Thing};
use crate::report::wording::say;

/// The most tasks of a pool that have a sign each.
const MOST_SIGNS: u64 = 60;
/// The most spaces of a semaphore, a barrier or a queue that are drawn although they are empty.
const MOST_SPACES: usize = 10;

/// The columns of an item in a queue that has an end, as of an empty space: the picture keeps its width.
const SPACE: usize = 4;

/// A text that is not split.
pub(super) type Piece = (String, Tone);

/// The lines of a thing: pieces in each, the title in the first one.
pub(super) fn lines(
    thing: &Thing,
    scene: &Scene,
    look: Look,
    title_width: usize,
    width: usize,
    most: usize,
) -> Vec<Vec<Piece>> {
    let title = thing.title(look.language, scene.names);
    let padding = " ".repeat(title_width.saturating_sub(title.width()));
    let mut lines = vec![vec![(format!("{title}{padding}"), Tone::Strong)]];
    let mut used = title.width().max(title_width);
    let pieces = pieces(thing, scene, look);
    let count = pieces.len();
    for (place, (text, tone)) in pieces.into_iter().enumerate() {
        let is_last_line = lines.len() == most;
        let left_out = format!("  +{}", count - place);
        // Where no line is left, the number of those that are left out needs room too.
        let room = if is_last_line && place + 1 < count { width.saturating_sub(left_out.width()) } else { width };
        if used + text.trim_end().width() > room && used > title_width {
            if is_last_line {
                let line = lines.last_mut().expect("there is one");
                let (last, _) = line.last_mut().expect("its title");
                last.truncate(last.trim_end().len());
                line.push((left_out, Tone::Soft));
                break;
            }
            lines.push(vec![(" ".repeat(title_width), Tone::Plain)]);
            used = title_width;
        }
        used += text.width();
        lines.last_mut().expect("there is one").push((text, tone));
    }
    lines
}

fn pieces(thing: &Thing, scene: &Scene, look: Look) -> Vec<Piece> {
    let name = |name: &str| look.language.name(scene.names, name);
    let mut pieces: Vec<Piece> = Vec::new();
    let holding = look_of(State::Holding, look);
    let waiters = &thing.waiters;
    match &thing.shape {
        Shape::Number { value, of, verb: [en, zh] } => {
            pieces.push((format!("[ {value} ]  "), Tone::Strong));
            // In the order of the workers.
            pieces.extend(scene.lanes.workers().iter().filter_map(|worker| {
                let (name, number) = (name(&worker.name), of.get(&worker.name)?);
                Some((say!(look, "{name} {en} {number}  ", "{name}{zh}{number}  "), Tone::Plain))
            }));
        }
        Shape::Lock { holder: Some(holder), in_cycle, .. } => {
            pieces.push((format!("{holding} {}  ", name(holder)), Tone::Holding));
            if *in_cycle {
                pieces.push((look.pick("DEADLOCK  ", "死锁  ").to_owned(), Tone::Bad));
            }
        }
        Shape::Lock { holder: None, .. } => pieces.push((look.pick("free  ", "空闲  ").to_owned(), Tone::Soft)),
        Shape::Permits { total, holders, .. } => {
            pieces.extend(holders.iter().map(|holder| (format!("[{holding} {}]", name(holder)), Tone::Holding)));
            let free = (*total as usize).saturating_sub(holders.len());
            pieces.extend((0..free.min(MOST_SPACES)).map(|_| ("[   ]".to_owned(), Tone::Soft)));
            pieces.push((say!(look, "  {free} free  ", "  空闲 {free}  "), Tone::Plain));
        }
        Shape::Condition if waiters.is_empty() => {
            pieces.push((look.pick("nobody waits", "无进程等待").to_owned(), Tone::Soft));
        }
        Shape::Condition => {}
        Shape::Lamp { is_on: true } => {
            pieces.push((format!("{} {}  ", look.sign("●", "(*)"), look.pick("set", "已触发")), Tone::Good));
        }
        Shape::Lamp { is_on: false } => {
            pieces.push((format!("{} {}  ", look.sign("○", "( )"), look.pick("not set", "未触发")), Tone::Soft));
        }
        Shape::Barrier { parties, round, is_broken } => {
            let parties = parties.map_or(scene.lanes.workers().len(), |parties| parties as usize);
            let gate = if *is_broken {
                (look.pick("BROKEN  ", "已损坏  ").to_owned(), Tone::Bad)
            } else {
                let there = look.sign("■", "#").repeat(waiters.len().min(MOST_SPACES));
                let missing = look.sign("□", ".").repeat(parties.saturating_sub(waiters.len()).min(MOST_SPACES));
                let count = waiters.len();
                let of = say!(look, "{count} of {parties}, round {round}", "{count}/{parties}，第{round}轮");
                (format!("{there}{missing}  {of}  "), Tone::Waiting)
            };
            pieces.push(gate);
        }
        Shape::Queue(queue) => of_queue(queue, look, &mut pieces),
        Shape::Tasks(tasks) => of_tasks(tasks, name, look, &mut pieces),
        Shape::Object { value } => {
            let text = value.to_string();
            pieces.extend(
                text.split_inclusive(", ")
                    .flat_map(|part| part.split_inclusive(','))
                    .map(|part| (format!("{part} "), Tone::Plain)),
            );
        }
    }
    if !waiters.is_empty() {
        let sign = look_of(State::Waiting, look);
        let wait = format!("{} {sign} ", look.sign("←", "<-"));
        pieces.push((format!("{wait}{}  ", name(&waiters[0])), Tone::Waiting));
        pieces.extend(waiters[1..].iter().map(|waiter| (format!("{}  ", name(waiter)), Tone::Waiting)));
    }
    pieces
}

fn look_of(state: State, look: Look) -> char {
    state.symbol(look.is_ascii)
}

/// The item that is taken next comes first.
fn of_queue(queue: &Queue, look: Look, pieces: &mut Vec<Piece>) {
    let Queue { capacity, items, put, got, done, left, .. } = queue;
    let queued = items.len();
    let count = match (capacity, look.language) {
        (Some(capacity), Language::En) => format!("{queued} of {capacity}  "),
        (Some(capacity), Language::Zh) => format!("{queued}/{capacity}"),
        (None, Language::En) => format!("{queued} in it  "),
        (None, Language::Zh) => format!("{queued} 个"),
    };
    let is_full = capacity.is_some_and(|capacity| queued as u64 >= capacity);
    pieces.push((count, if is_full { Tone::Waiting } else { Tone::Plain }));
    let mut counts = vec![(look.pick("put", "放入"), put), (look.pick("got", "取出"), got)];
    counts.extend((*done > 0).then_some((look.pick("done", "完成"), done)));
    counts.extend((*left > 0).then_some((look.pick("left by the dead", "因进程死亡退回"), left)));
    let counts: Vec<String> = counts.into_iter().map(|(what, count)| format!("{what} {count}")).collect();
    let counts = counts.join(look.pick(", ", "，"));
    pieces.push((
        if look.language == Language::En { format!("({counts})  ") } else { format!("（{counts}）") },
        Tone::Soft,
    ));
    pieces.extend(items.iter().take(200).map(|item| {
        let value = short(&item.value);
        let padding = if capacity.is_some() { SPACE.saturating_sub(value.width()) } else { 0 };
        (format!("[{}{value}]", " ".repeat(padding)), Tone::Working)
    }));
    let spaces = capacity.map_or(0, |capacity| (capacity as usize).saturating_sub(queued));
    if spaces <= MOST_SPACES {
        pieces.extend((0..spaces).map(|_| (format!("[{}]", " ".repeat(SPACE)), Tone::Soft)));
    }
}

fn of_tasks(tasks: &Tasks, name: impl Fn(&str) -> String, look: Look, pieces: &mut Vec<Piece>) {
    let Tasks { total, begun, running, left, failed, done } = tasks;
    if *total <= MOST_SIGNS {
        for task in 1..=*total {
            let (sign, tone) = if running.contains_key(&task) {
                (look_of(State::Working, look), Tone::Working)
            } else if failed.contains(&task) {
                (look_of(State::Died, look), Tone::Bad)
            } else if left.contains(&task) || task > *begun {
                (look_of(State::Running, look), Tone::Soft)
            } else {
                (if look.is_ascii { '+' } else { '✔' }, Tone::Good)
            };
            pieces.push((sign.to_string(), tone));
        }
        pieces.push(("  ".to_owned(), Tone::Plain));
    }
    let waiting = total.saturating_sub(*begun) + left.len() as u64;
    let counts = [
        (look.pick("done", "完成"), *done, Tone::Good),
        (look.pick("running", "执行中"), running.len() as u64, Tone::Working),
        (look.pick("waiting", "待执行"), waiting, Tone::Plain),
        (look.pick("failed", "失败"), failed.len() as u64, Tone::Bad),
    ];
    let shown = counts.into_iter().filter(|(_, count, tone)| *count > 0 || *tone != Tone::Bad);
    pieces.extend(shown.map(|(what, count, tone)| (format!("{what} {count}  "), tone)));
    // Each with its worker.
    for (task, worker) in running {
        pieces.push((format!("[{task}: {}] ", name(worker)), Tone::Soft));
    }
}
