//! A run as the data of its page.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use super::patch::between;
use crate::report::class::Severity;
use crate::report::event::Event;
use crate::report::frame::{RunStarted, Summary};
use crate::report::lanes::{State, Worker};
use crate::report::language::Language;
use crate::report::scene::{Scene, short};
use crate::report::things::{MOST_ITEMS, Shape};
use crate::report::wording::{Known, say};
use crate::report::{text, timeline};

/// The maximum number of events in a page. Pages of a longer run show its end.
const MOST_EVENTS: usize = 10_000;
/// The maximum size of all events in bytes, per worker of a run, and for how many workers at least.
const MOST_BYTES: usize = 11_000;
const FEWEST_WORKERS: usize = 10;

/// The words of the player, in English and in Chinese.
const WORDS: [(&str, &str, &str); 36] = [
    ("controls", "Player", "播放控制"),
    ("play", "Play", "播放"),
    ("pause", "Pause", "暂停"),
    ("first", "To the start", "回到开头"),
    ("back", "One event back", "后退一个事件"),
    ("forward", "One event forward", "前进一个事件"),
    ("last", "To the end", "跳到结尾"),
    ("scrub", "Moment of the run", "播放位置"),
    ("speed", "Speed", "速度"),
    ("per_second", "events/s", "个事件/秒"),
    ("even", "same time for every event", "事件等间隔播放"),
    ("lanes", "Workers", "进程"),
    ("things", "Shared things", "共享对象"),
    ("log", "Events", "事件"),
    (
        "keys",
        "Space: play or pause · ← →: one event back or forward · Home, End: to the start or the end · + −: speed",
        "空格：播放或暂停 · ← →：后退或前进一个事件 · Home、End：开头或结尾 · + −：速度",
    ),
    ("start", "Before the first event: the space bar plays the run.", "第一个事件之前：按空格键播放。"),
    ("claim", "Claim: ", "待验证："),
    ("s", "s", "秒"),
    ("ms", "ms", "毫秒"),
    ("pid", "process", "进程号"),
    ("waiting", "waiting:", "等待："),
    ("nobody", "nobody waits", "没有进程等待"),
    ("free", "free", "空闲"),
    ("cycle", "deadlock", "死锁"),
    ("set", "set", "已设置"),
    ("unset", "not set", "未设置"),
    ("round", "round", "轮次"),
    ("broken", "broken", "已损坏"),
    ("nothing", "empty", "空"),
    ("queued", "in it", "队列中"),
    ("put", "put", "放入"),
    ("got", "got", "取出"),
    ("done", "done", "完成"),
    ("left", "left by the dead", "死亡进程留下"),
    ("failed", "failed", "失败"),
    ("empty", "not begun", "未开始"),
];

/// Returns the run as JSON that can stand in a script element.
pub(super) fn of(events: &[Event], forgotten: u64, language: Language) -> String {
    let recording = Recording::of(events, language);
    let forgotten = forgotten + recording.dropped;
    let started = events.iter().find_map(Event::get::<RunStarted>);
    let summary = events.iter().rev().find_map(Event::get::<Summary>);
    let own_names = started.map_or(&[][..], |started| started.names);
    let workers: BTreeSet<&str> = events.iter().map(|event| event.worker.as_str()).collect();
    let legend = recording.states.iter().map(|state| (state, state.meaning(language)));
    let names = workers.into_iter().map(|name| (name, language.name(own_names, name)));
    let missing =
        say!(in language, "{forgotten} earlier events are not in this page.", "本页不含更早的 {forgotten} 个事件。");
    let about = json!({
        "title": started.map(|started| started.scenario),
        "about": timeline::about(started, summary, recording.workers, language).join(" · "),
        "command": started.map(text::command_without_pictures),
        "claim": summary.map(|summary| language.pick(summary.claim[0], summary.claim[1])),
        "said": summary.map(|summary| format!("{} {}", summary.verdict.sign(), summary.said(language))),
        "verdict": summary.map(|summary| summary.verdict),
        "facts": summary.map(|summary| summary.facts.iter().map(|fact| fact.said(language)).collect::<Vec<_>>().join(" · ")),
        "forgotten": if forgotten > 0 { missing } else { String::new() },
        "words": WORDS.into_iter().map(|(key, en, zh)| (key, language.pick(en, zh))).collect::<BTreeMap<_, _>>(),
        "legend": legend.filter(|(_, meaning)| !meaning.is_empty()).collect::<Vec<_>>(),
        "names": names.collect::<BTreeMap<_, _>>(),
        "from_us": recording.from_us,
        "first": recording.first,
    });
    // One event per line, for those who read it.
    let events = recording.entries.into_iter().collect::<Vec<_>>().join(",\n");
    let about = about.to_string();
    let about = about.strip_suffix('}').expect("it is an object");
    // Inside a string, this is the same character, and it ends no element.
    format!("{about},\n\"events\":[\n{events}\n]}}").replace('<', "\\u003c")
}

/// The events of a page, and the state before the first of them.
#[derive(Debug)]
struct Recording {
    first: Value,
    from_us: u64,
    entries: VecDeque<String>,
    /// The number of events before these.
    dropped: u64,
    /// The number of all workers.
    workers: usize,
    /// The states that they are in.
    states: BTreeSet<State>,
}

impl Recording {
    fn of(events: &[Event], language: Language) -> Self {
        // The first event tells what there is: nothing has happened before it. What is dropped anyway needs no text.
        let begins = usize::from(events.first().is_some_and(Event::is::<RunStarted>));
        let skipped = begins.max(events.len().saturating_sub(MOST_EVENTS));
        let (mut first, mut last, mut known) =
            (Scene::default(), Shot { language, ..Shot::default() }, Known::default());
        for event in &events[..skipped] {
            known.follow(event);
            first.apply(event);
            last.scene.apply(event);
        }
        (last.lanes, last.things) = shown(&last.scene, language);
        let (mut entries, mut bytes, mut dropped) = (VecDeque::new(), 0, skipped);
        let mut states = BTreeSet::new();
        for event in &events[skipped..] {
            known.follow(event);
            let change = last.apply(event);
            states.extend(last.states());
            let entry = entry(event, &last, &known, change);
            bytes += entry.len();
            entries.push_back(entry);
            while bytes > MOST_BYTES * last.lanes.len().max(FEWEST_WORKERS) {
                let Some(oldest) = entries.pop_front() else { break };
                bytes -= oldest.len();
                first.apply(&events[dropped]);
                dropped += 1;
            }
        }
        let from_us = if dropped > begins { events[dropped - 1].at_us } else { 0 };
        let (lanes, things) = shown(&first, language);
        let (first, dropped) = (json!({ "lanes": lanes, "things": things }), (dropped - begins) as u64);
        Recording { first, from_us, entries, dropped, workers: last.lanes.len(), states }
    }
}

/// Returns an event as an array: its time, its worker, its text, what it changes, and how its dot looks.
fn entry(event: &Event, shot: &Shot, known: &Known, change: Option<Value>) -> String {
    let wording = known.wording(shot.language, event);
    let mut said = vec![event.fact.sentence(&wording)];
    said.extend(event.fact.details(&wording));
    let worker = shot.scene.lanes.index_of(&event.worker).map_or_else(|| json!(event.worker), |index| json!(index));
    let dot = match event.fact.class().severity() {
        Some(Severity::Good) => "good",
        Some(Severity::Trouble) => "trouble",
        Some(Severity::Plain) | None => "",
    };
    json!([event.at_us, worker, said, change, dot]).to_string()
}

/// A scene, and its JSON form.
#[derive(Debug, Default)]
struct Shot {
    language: Language,
    scene: Scene,
    lanes: Vec<Value>,
    things: Vec<Value>,
}

impl Shot {
    /// Applies an event. Returns the patch of the JSON form, if it is another one.
    fn apply(&mut self, event: &Event) -> Option<Value> {
        let Shot { language, scene, lanes, things } = self;
        let changed = scene.apply(event);
        let lanes = renewed(lanes, &changed.workers, scene.lanes.workers().len(), |index| {
            shown_worker(scene, index, *language)
        });
        let things =
            renewed(things, &changed.things, scene.things.all().len(), |index| shown_thing(scene, index, *language));
        let patches = [("lanes", lanes), ("things", things)];
        let patch: Map<_, _> = patches.into_iter().filter_map(|(key, patch)| Some((key.to_owned(), patch?))).collect();
        (!patch.is_empty()).then(|| patch.into())
    }

    fn states(&self) -> impl Iterator<Item = State> {
        self.scene.lanes.workers().iter().map(Worker::state)
    }
}

/// Returns the JSON form of all workers, and of all things.
fn shown(scene: &Scene, language: Language) -> (Vec<Value>, Vec<Value>) {
    let workers = (0..scene.lanes.workers().len()).map(|index| shown_worker(scene, index, language));
    let things = (0..scene.things.all().len()).map(|index| shown_thing(scene, index, language));
    (workers.collect(), things.collect())
}

fn shown_worker(scene: &Scene, index: usize, language: Language) -> Value {
    let worker = &scene.lanes.workers()[index];
    json!({ "name": worker.name, "pid": worker.pid, "state": worker.state(), "says": scene.activity(index, language) })
}

fn shown_thing(scene: &Scene, index: usize, language: Language) -> Value {
    let thing = &scene.things.all()[index];
    let mut shown = json!(thing);
    shown["title"] = scene.title(index, language).into();
    match &thing.shape {
        Shape::Number { verb: [en, zh], .. } => shown["verb"] = language.pick(&format!(" {en} "), zh).into(),
        Shape::Queue(queue) => {
            shown["queued"] = queue.items.len().into();
            shown["items"] = queue.items.iter().take(MOST_ITEMS).map(|item| short(&item.value)).collect();
        }
        _ => {}
    }
    shown
}

/// Makes those elements anew that have changed; all if there are more. Returns the patch, if any is another one.
fn renewed(
    shown: &mut Vec<Value>,
    changed: &BTreeSet<usize>,
    count: usize,
    make: impl Fn(usize) -> Value,
) -> Option<Value> {
    if shown.len() != count {
        let new = (0..count).map(make).collect();
        let patch = between(&json!(shown), &json!(new));
        *shown = new;
        return patch;
    }
    let changes = changed.iter().filter_map(|index| {
        let old = std::mem::replace(&mut shown[*index], make(*index));
        Some((index.to_string(), between(&old, &shown[*index])?))
    });
    let changes: Map<_, _> = changes.collect();
    (!changes.is_empty()).then(|| changes.into())
}
