//! Chooses the next schedule: a depth-first search over the choices of a scheduler.
//!
//! # State
//! A stack of the states that the current schedule went through, each with the turn that was taken, the turns already
//! begun, and those still to be tried. A schedule is run from the beginning: the stack is its prefix, and new states
//! are appended to it. This module does not deal with processes: a run asks for each turn, and reports its end.
//!
//! With *reduction*, only one schedule of each class is run. Two schedules are in the same class if they differ only in
//! the order of independent steps: steps on different objects, or steps that only read.
//!
//! # Standard
//! Dynamic partial-order reduction (Flanagan and Godefroid, POPL 2005) with source sets (Abdulla et al., POPL 2014) and
//! sleep sets (Godefroid, 1996).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ipc::operation::{ObjectId, Point};

use super::lanes::Lanes;
use super::random::Random;
use super::schedule::{Participant, SPAWNER, Schedule, Turn};

/// The next operation of a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) operation: String,
    pub(crate) object: ObjectId,
    /// The lock that it also acquires or releases.
    pub(crate) lock: Option<ObjectId>,
    pub(crate) reads_only: bool,
}

impl Step {
    pub(crate) fn of(point: &Point<'_>) -> Self {
        let Point { operation, object, lock, .. } = *point;
        Step { operation: operation.name.to_owned(), object, lock, reads_only: operation.reads_only }
    }

    /// Returns the objects that it concerns.
    fn objects(&self) -> impl Iterator<Item = ObjectId> {
        std::iter::once(self.object).chain(self.lock.filter(|lock| *lock != self.object))
    }

    /// Returns whether two steps have an object in common.
    pub(crate) fn shares_an_object_with(&self, other: &Step) -> bool {
        let is_shared = |object: ObjectId| other.objects().any(|one| one.overlaps(object));
        self.objects().any(is_shared)
    }

    /// Returns whether the order of two steps can make a difference.
    fn depends_on(&self, other: &Step) -> bool {
        self.shares_an_object_with(other) && !(self.reads_only && other.reads_only)
    }
}

/// A participant that is at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) participant: Participant,
    pub(crate) step: Step,
    /// Whether it is not blocked.
    pub(crate) can_go: bool,
    /// When its operation times out, on the virtual clock.
    pub(crate) deadline_ns: Option<u64>,
    /// Whether it is a process that can be killed.
    pub(crate) can_be_killed: bool,
}

/// Which turns a search takes, or has taken, in addition to those of participants that are not blocked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The maximum number of workers killed in a schedule.
    pub(crate) kills: u32,
    /// The number of timeouts in a schedule from which on an operation times out only if all participants are blocked.
    pub(crate) timeouts: u32,
}

/// A turn that was taken, with its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) turn: Turn,
    pub(crate) step: Step,
    /// Whether it is a timeout that was possible only because all were blocked.
    pub(crate) is_forced: bool,
}

impl Taken {
    /// Returns whether the order of the two can make a difference; `later` was taken after this one.
    pub(crate) fn is_ordered_before(&self, later: &Taken) -> bool {
        self.is_forced || later.is_forced || depend((self.turn, &self.step), (later.turn, &later.step))
    }
}

/// Returns whether the order of two turns, each with its participant's operation, can make a difference.
fn depend((one, own): (Turn, &Step), (other, step): (Turn, &Step)) -> bool {
    match (one, other) {
        // The end of a process concerns every object that it has a handle to.
        (Turn::Dies(_), _) | (_, Turn::Dies(_)) => true,
        // Their number is limited.
        (Turn::TimesOut(_), Turn::TimesOut(_)) => true,
        _ => one.participant() == other.participant() || own.depends_on(step),
    }
}

/// A state in which turns are taken.
#[derive(Debug)]
struct State {
    pending: Vec<Pending>,
    /// In order of preference.
    possible: Vec<Turn>,
    /// The number of kills and of timeouts before this state.
    used: Bounds,
    /// Turns that lead only to classes explored elsewhere (the sleep set).
    sleep: BTreeSet<Turn>,
    /// Whether all turns lead there: this state, or one before it, has only turns that are asleep.
    is_redundant: bool,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    /// Taken in this or earlier schedules, by any lane.
    begun: BTreeSet<Turn>,
    /// To be taken in this or a later schedule.
    backtrack: BTreeSet<Turn>,
}

impl State {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().expect("nothing panics while it holds the lock")
    }

    /// Begins the turn to take next in this state, if one is left. Also returns those begun before it.
    fn begin_next(&self) -> Option<(Turn, BTreeSet<Turn>)> {
        if self.is_redundant {
            return None;
        }
        let Turns { begun, backtrack } = &mut *self.turns();
        let is_left = |turn: &&Turn| backtrack.contains(turn) && !begun.contains(turn) && !self.sleep.contains(turn);
        let next = self.possible.iter().find(is_left).copied()?;
        let before = begun.clone();
        begun.insert(next);
        Some((next, before))
    }
}

/// A state in which a turn was taken.
#[derive(Debug, Clone)]
struct Node {
    state: Arc<State>,
    chosen: Turn,
    /// The turns that were begun in this state before the chosen one. Where they lead is explored there.
    before: BTreeSet<Turn>,
    /// The steps that happened before the chosen one, and itself. Only with reduction.
    clock: Clock,
}

/// A schedule to begin with a turn that was not taken yet, the last one.
#[derive(Debug)]
pub(crate) struct Branch(Vec<Node>);

impl Deref for Node {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl Node {
    /// Returns the operation of the participant of `turn`.
    fn step(&self, turn: Turn) -> Option<&Step> {
        self.pending.iter().find(|pending| pending.participant == turn.participant()).map(|pending| &pending.step)
    }

    /// Returns the operation of the turn that was taken.
    fn chosen_step(&self) -> &Step {
        self.step(self.chosen).expect("it is a participant's at a point")
    }

    /// Returns whether the order of the chosen turn and another can make a difference.
    fn depends_on(&self, turn: Turn, step: &Step) -> bool {
        self.is_forced() || depend((self.chosen, self.chosen_step()), (turn, step))
    }

    /// Returns whether an operation timed out because all participants were blocked: time passed for all of them.
    fn is_forced(&self) -> bool {
        matches!(self.chosen, Turn::TimesOut(_)) && self.pending.iter().all(|one| !one.can_go)
    }

    /// Returns whether the chosen step of another state is this one's, or happened before it.
    fn comes_after(&self, other: &Node) -> bool {
        self.clock.contains(other)
    }

    /// Returns the number of kills and of timeouts so far.
    fn used_after(&self) -> Bounds {
        let Bounds { kills, timeouts } = self.used;
        let [is_kill, is_timeout] = [matches!(self.chosen, Turn::Dies(_)), matches!(self.chosen, Turn::TimesOut(_))];
        Bounds { kills: kills + u32::from(is_kill), timeouts: timeouts + u32::from(is_timeout) }
    }
}

/// Outcome of asking for the next turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Take(Turn),
    /// The same prefix has led to a different state; how.
    Differs(String),
    /// The schedule that is replayed asks for a turn that is not possible.
    Misfits(Turn),
    /// All participants are blocked.
    Nobody,
}

/// The search.
#[derive(Debug)]
pub(crate) struct Search {
    reduces: bool,
    bounds: Bounds,
    /// The turns of the schedule that is replayed.
    given: Vec<Turn>,
    random: Option<Random>,
    stack: Vec<Node>,
    history: History,
    /// The other lanes of the search.
    lanes: Option<Arc<Lanes>>,
    depth: usize,
    /// Whether the current schedule belongs to a class explored already.
    is_redundant: bool,
}

impl Search {
    /// Begins a search for one schedule of each class, or for all of them.
    pub(crate) fn new(reduces: bool, bounds: Bounds) -> Self {
        let (given, stack, history) = (Vec::new(), Vec::new(), History::default());
        Search { reduces, bounds, given, random: None, stack, history, lanes: None, depth: 0, is_redundant: false }
    }

    /// Shares the search with other lanes.
    pub(crate) fn in_lanes(self, lanes: Arc<Lanes>) -> Self {
        Search { lanes: Some(lanes), ..self }
    }

    /// Runs random schedules, without end.
    pub(crate) fn random(bounds: Bounds, seed: u64) -> Self {
        Search { random: Some(Random::new(seed)), ..Search::new(false, bounds) }
    }

    /// Replays one schedule. After its end, the last participant continues, or else the first that is not blocked.
    pub(crate) fn replay(schedule: Schedule) -> Self {
        let any = Bounds { kills: u32::MAX, timeouts: u32::MAX };
        Search { given: schedule.0, ..Search::new(false, any) }
    }

    /// Chooses among the participants at a point, given in the order of start.
    pub(crate) fn choose(&mut self, pending: &[Pending]) -> Choice {
        if let Some(node) = self.stack.get(self.depth) {
            if node.pending != pending {
                return Choice::Differs(difference(&node.pending, pending));
            }
            self.is_redundant |= node.is_redundant;
            self.depth += 1;
            return Choice::Take(node.chosen);
        }
        let used = self.stack.last().map_or_else(Bounds::default, Node::used_after);
        let possible = self.possible(pending, used);
        let sleep = self.stack.last().filter(|_| self.reduces).map_or_else(BTreeSet::new, asleep_after);
        let awake = possible.iter().find(|turn| !sleep.contains(turn)).copied();
        let given = self.given.get(self.depth).copied();
        if let Some(given) = given.filter(|given| !possible.contains(given)) {
            return Choice::Misfits(given);
        }
        let random = self.random.as_mut().filter(|_| !possible.is_empty()).map(|random| random.choose(&possible));
        let chosen = given.or(random).or(awake).or(possible.first().copied());
        let backtrack = match chosen {
            // A kill is not a participant's next step, so no race adds it.
            Some(chosen) if self.reduces => {
                possible.iter().copied().filter(|turn| *turn == chosen || matches!(turn, Turn::Dies(_))).collect()
            }
            _ => possible.iter().copied().collect(),
        };
        // If all are blocked, the state is pushed only to find the races of the blocked operations.
        let turns = Mutex::new(Turns { begun: chosen.into_iter().collect(), backtrack });
        let is_redundant = self.is_redundant || (awake.is_none() && chosen.is_some());
        let state = Arc::new(State { pending: pending.to_vec(), possible, used, sleep, is_redundant, turns });
        let (before, clock) = (BTreeSet::new(), Clock::default());
        self.stack.push(Node { state, chosen: chosen.unwrap_or(Turn::Goes(0)), before, clock });
        self.find_races();
        match chosen {
            Some(chosen) => {
                self.is_redundant = is_redundant;
                self.note_chosen();
                self.depth += 1;
                Choice::Take(chosen)
            }
            None => {
                self.stack.pop();
                Choice::Nobody
            }
        }
    }

    /// Returns the possible turns, the preferred one first: the last participant continues, or else the first that is
    /// not blocked.
    fn possible(&self, pending: &[Pending], used: Bounds) -> Vec<Turn> {
        let last = self.stack.last().map(|node| node.chosen.participant());
        let mut turns: Vec<_> =
            pending.iter().filter(|one| one.can_go).map(|one| Turn::Goes(one.participant)).collect();
        turns.sort_by_key(|turn| Some(turn.participant()) != last);
        let waiters =
            || pending.iter().filter(|one| !one.can_go).filter_map(|one| Some((one.deadline_ns?, one.participant)));
        if turns.is_empty() {
            // The virtual clock advances to the earliest deadline.
            let first = waiters().map(|(deadline_ns, _)| deadline_ns).min();
            turns.extend(waiters().filter(|(at_ns, _)| Some(*at_ns) == first).map(|(_, one)| Turn::TimesOut(one)));
        } else if used.timeouts < self.bounds.timeouts {
            turns.extend(waiters().map(|(_, one)| Turn::TimesOut(one)));
        }
        // A deadlock is the end, unless the schedule that is replayed goes on.
        let goes_on = !turns.is_empty() || self.depth < self.given.len();
        if goes_on && used.kills < self.bounds.kills {
            turns.extend(pending.iter().filter(|one| one.can_be_killed).map(|one| Turn::Dies(one.participant)));
        }
        turns
    }

    /// Returns the number of turns taken since the beginning of the current schedule.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Returns the turns taken since the beginning of the current schedule.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Taken> {
        self.stack[..self.depth].iter().map(|node| Taken {
            turn: node.chosen,
            step: node.chosen_step().clone(),
            is_forced: node.is_forced(),
        })
    }

    /// Returns how many of these turns a replay has to be given: the others follow from them.
    pub(crate) fn needed(&self) -> usize {
        let is_needed =
            |node: &Node| node.possible.first() != Some(&node.chosen) || matches!(node.chosen, Turn::Dies(_));
        self.stack[..self.depth].iter().rposition(is_needed).map_or(1, |last| last + 1).min(self.depth)
    }

    /// Returns the turns to choose from if the schedule that is replayed has no more: all, even in a deadlock.
    pub(crate) fn asks(&self, pending: &[Pending]) -> Option<Vec<Turn>> {
        let used = self.stack.last().map_or_else(Bounds::default, Node::used_after);
        let mut turns = self.possible(pending, used);
        if turns.is_empty() {
            turns.extend(pending.iter().filter(|one| one.can_be_killed).map(|one| Turn::Dies(one.participant)));
        }
        self.is_used_up().then_some(turns)
    }

    /// Adds a turn to the schedule that is replayed.
    pub(crate) fn give(&mut self, turn: Turn) {
        self.given.push(turn);
    }

    /// Returns whether the whole schedule that is replayed was taken.
    pub(crate) fn is_used_up(&self) -> bool {
        self.depth >= self.given.len()
    }

    /// Returns the estimated number of schedules, if random ones were run. There are `at_least` as many.
    pub(crate) fn estimate(&self, at_least: u64) -> Option<u64> {
        Some(self.random.as_ref()?.estimate()?.max(at_least))
    }

    /// Returns whether the current schedule belongs to a class explored already.
    pub(crate) fn is_redundant(&self) -> bool {
        self.is_redundant
    }

    /// Begins the current schedule again.
    pub(crate) fn repeat(&mut self) {
        (self.depth, self.is_redundant) = (0, false);
    }

    /// Ends the current schedule and begins the next. Returns whether there is one.
    pub(crate) fn advance(&mut self) -> bool {
        self.repeat();
        if let Some(random) = &mut self.random {
            random.begin();
            self.stack.clear();
            return true;
        }
        while let Some(node) = self.stack.last_mut() {
            if self.reduces {
                self.history.pop(node);
            }
            if let Some((next, before)) = node.begin_next() {
                (node.chosen, node.before) = (next, before);
                self.note_chosen();
                self.hand_over();
                return true;
            }
            self.stack.pop();
        }
        self.wait_for_branch()
    }

    /// Blocks until another lane hands over a branch. Returns whether one did.
    pub(crate) fn wait_for_branch(&mut self) -> bool {
        let Some(Branch(nodes)) = self.lanes.as_ref().and_then(|lanes| lanes.wait()) else { return false };
        for node in nodes {
            self.stack.push(node);
            self.note_chosen();
        }
        true
    }

    /// Hands branches to the lanes that have none: those that begin first, as they have the most schedules.
    fn hand_over(&self) {
        let Some(lanes) = &self.lanes else { return };
        while lanes.is_one_idle() {
            let mut depths = self.stack.iter().enumerate();
            let Some((depth, (chosen, before))) = depths.find_map(|(depth, node)| Some((depth, node.begin_next()?)))
            else {
                return;
            };
            let mut nodes = self.stack[..=depth].to_vec();
            let state = Arc::clone(&nodes[depth].state);
            nodes[depth] = Node { state, chosen, before, clock: Clock::default() };
            lanes.hand_over(Branch(nodes));
        }
    }

    /// For each participant at a point in the last state, finds the steps that its operation races with: it depends on
    /// them, and no step in between orders the two. The operation, or a step that leads to it, must then be tried
    /// before them.
    ///
    /// This includes blocked participants: a lock that one of them waits for was free before those steps.
    fn find_races(&mut self) {
        let Some((now, before)) = self.stack.split_last().filter(|_| self.reduces) else { return };
        for pending in &now.pending {
            let turn = Turn::Goes(pending.participant);
            let causes = self.history.causes(before, turn, &pending.step, false);
            let clock = self.history.clock(before, &causes);
            let is_ordered =
                |at: usize| causes.iter().any(|&cause| cause != at && before[cause].comes_after(&before[at]));
            let is_race = |at: &usize| before[*at].chosen.participant() != pending.participant && !is_ordered(*at);
            for race in causes.iter().copied().filter(is_race) {
                let node = &before[race];
                // Steps that do not depend on the racing step could happen before it: the initials among them.
                let free: Vec<_> = self.history.first_after(race).filter(|&at| !before[at].comes_after(node)).collect();
                let begins =
                    |at: usize| !free.iter().any(|&other| other != at && before[at].comes_after(&before[other]));
                let mut first: Vec<_> =
                    free.iter().filter(|&&at| begins(at)).map(|&at| before[at].chosen.participant()).collect();
                if !free.iter().any(|&at| clock.contains(&before[at])) {
                    first.push(pending.participant);
                }
                let live = || node.possible.iter().filter(|turn| !matches!(turn, Turn::Dies(_)));
                let leads: Vec<_> = live().filter(|turn| first.contains(&turn.participant())).copied().collect();
                let backtrack = &mut node.turns().backtrack;
                match leads.first() {
                    Some(_) if leads.iter().any(|turn| backtrack.contains(turn)) => {}
                    Some(&turn) => _ = backtrack.insert(turn),
                    None => backtrack.extend(live()),
                }
            }
        }
    }

    /// Adds the turn of the last state to the history.
    fn note_chosen(&mut self) {
        let Some((last, before)) = self.stack.split_last_mut().filter(|_| self.reduces) else { return };
        let causes = self.history.causes(before, last.chosen, last.chosen_step(), last.is_forced());
        last.clock = self.history.clock(before, &causes);
        last.clock.count(last.chosen.participant());
        self.history.push(before.len(), last);
    }
}

/// For each participant, the number of its steps that happened before a step, or are that step: a vector clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Clock(Vec<u32>);

/// Returns the place of a participant in a table. The spawner comes first, so that tables are short.
fn place(participant: Participant) -> usize {
    if participant == SPAWNER { 0 } else { participant + 1 }
}

impl Clock {
    fn of(&self, participant: Participant) -> u32 {
        self.0.get(place(participant)).copied().unwrap_or(0)
    }

    fn join(&mut self, other: &Clock) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own = (*own).max(*other));
    }

    fn count(&mut self, participant: Participant) {
        self.0.resize(self.0.len().max(place(participant) + 1), 0);
        self.0[place(participant)] += 1;
    }

    fn contains(&self, node: &Node) -> bool {
        let participant = node.chosen.participant();
        self.of(participant) >= node.clock.of(participant)
    }
}

/// Where to find the steps of the current schedule that a step can depend on, as indices of the stack in order.
#[derive(Debug, Default)]
struct History {
    by_participant: Vec<Vec<usize>>,
    by_object: BTreeMap<ObjectId, Vec<usize>>,
    timeouts: Vec<usize>,
    /// Steps on which all others depend.
    of_all: Vec<usize>,
}

impl History {
    /// Returns the steps that a step depends on, except for some that happened before one of those returned.
    fn causes(&self, steps: &[Node], turn: Turn, step: &Step, is_forced: bool) -> Vec<usize> {
        let mut causes: Vec<usize> = self.of_all.last().copied().into_iter().collect();
        if is_forced || matches!(turn, Turn::Dies(_)) {
            causes.extend(self.by_participant.iter().filter_map(|own| own.last()));
        } else {
            causes.extend(self.by_participant.get(place(turn.participant())).and_then(|own| own.last()));
            causes.extend(self.timeouts.last().filter(|_| matches!(turn, Turn::TimesOut(_))));
            for list in step.objects().flat_map(|object| self.lists_of(object)) {
                for &at in list.iter().rev() {
                    let reads_only = steps[at].chosen_step().reads_only;
                    if !(reads_only && step.reads_only) {
                        causes.push(at);
                    }
                    if !reads_only {
                        break;
                    }
                }
            }
        }
        causes.sort_unstable();
        causes.dedup();
        causes
    }

    /// Returns the steps on an object, and those on its whole or on its parts.
    fn lists_of(&self, object: ObjectId) -> impl Iterator<Item = &Vec<usize>> {
        let whole = object.whole().filter(|whole| *whole != object);
        let of_whole = whole.and_then(|whole| self.by_object.get(&whole));
        self.by_object.range(object.with_parts()).map(|(_, list)| list).chain(of_whole)
    }

    /// Returns the clock of a step with these causes, without the step itself.
    fn clock(&self, steps: &[Node], causes: &[usize]) -> Clock {
        let mut clock = Clock::default();
        causes.iter().for_each(|&cause| clock.join(&steps[cause].clock));
        clock
    }

    /// Returns the first step of each participant after a step.
    fn first_after(&self, at: usize) -> impl Iterator<Item = usize> {
        self.by_participant.iter().filter_map(move |own| own.get(own.partition_point(|&own| own <= at)).copied())
    }

    /// Changes the lists in which a step is found.
    fn change(&mut self, node: &Node, change: impl Fn(&mut Vec<usize>)) {
        let place = place(node.chosen.participant());
        self.by_participant.resize_with(self.by_participant.len().max(place + 1), Vec::new);
        change(&mut self.by_participant[place]);
        if matches!(node.chosen, Turn::TimesOut(_)) {
            change(&mut self.timeouts);
        }
        if matches!(node.chosen, Turn::Dies(_)) || node.is_forced() {
            change(&mut self.of_all);
        } else {
            node.chosen_step().objects().for_each(|object| change(self.by_object.entry(object).or_default()));
        }
    }

    fn push(&mut self, at: usize, node: &Node) {
        self.change(node, |list| list.push(at));
    }

    /// Removes the last step.
    fn pop(&mut self, node: &Node) {
        self.change(node, |list| _ = list.pop());
    }
}

/// Returns what differs between the operations of the participants in two schedules.
fn difference(earlier: &[Pending], now: &[Pending]) -> String {
    let only_in = |one: &[Pending], other: &[Pending]| {
        let own = one.iter().filter(|own| !other.contains(own)).map(|own| {
            let Pending { participant, step: Step { operation, object, .. }, can_go, deadline_ns, .. } = own;
            let can_go = if *can_go { "" } else { ", blocked" };
            let deadline = deadline_ns.map(|at_ns| format!(", until {at_ns} ns")).unwrap_or_default();
            format!("{} at {operation} of object {object}{can_go}{deadline}", Schedule::of(*participant))
        });
        let own: Vec<_> = own.collect();
        if own.is_empty() { "nobody".to_owned() } else { own.join(" and ") }
    };
    format!("then {}, now {}", only_in(earlier, now), only_in(now, earlier))
}

/// Returns the turns that stay asleep after the one taken in `node`: those independent of it.
fn asleep_after(node: &Node) -> BTreeSet<Turn> {
    let is_independent = |turn: &&Turn| node.step(**turn).is_some_and(|step| !node.depends_on(**turn, step));
    node.sleep.union(&node.before).filter(is_independent).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a participant of a model does next.
    #[derive(Debug, Clone, Copy)]
    enum Do {
        Acquire(u64),
        /// With a timeout, after which the participant ends.
        TryAcquire(u64),
        Release(u64),
        Read(u64),
        Write(u64),
    }

    impl Do {
        fn object(self) -> u64 {
            let (Do::Acquire(object)
            | Do::TryAcquire(object)
            | Do::Release(object)
            | Do::Read(object)
            | Do::Write(object)) = self;
            object
        }
    }

    /// For each object, the order of its steps, with the reads between two writes sorted; and the kills.
    type Class = (BTreeMap<u64, Vec<(bool, BTreeSet<(usize, usize)>)>>, Vec<(usize, usize)>);

    /// Runs all schedules of a model. Returns their number, and each class with whether it deadlocks.
    fn explore(reduces: bool, bounds: Bounds, participants: &[Vec<Do>]) -> (usize, BTreeMap<Class, bool>) {
        let mut search = Search::new(reduces, bounds);
        let (mut schedules, mut classes) = (0, BTreeMap::new());
        loop {
            let mut at = vec![0; participants.len()];
            let mut held = BTreeMap::new();
            let (mut class, mut now_ns) = (Class::default(), 0);
            let mut deadlines = vec![None; participants.len()];
            let deadlocks = loop {
                let mut pending = Vec::new();
                for (participant, steps) in participants.iter().enumerate() {
                    let Some(&next) = steps.get(at[participant]) else { continue };
                    let waits = matches!(next, Do::Acquire(lock) | Do::TryAcquire(lock) if held.contains_key(&lock));
                    let deadline_ns = matches!(next, Do::TryAcquire(_))
                        .then(|| *deadlines[participant].get_or_insert(now_ns + 1 + participant as u64));
                    let object = ObjectId::from_word(next.object());
                    let (operation, reads_only) = (format!("{next:?}"), matches!(next, Do::Read(_)));
                    let step = Step { operation, object, lock: None, reads_only };
                    pending.push(Pending { participant, step, can_go: !waits, deadline_ns, can_be_killed: true });
                }
                let is_over = pending.is_empty();
                let turn = match search.choose(&pending) {
                    Choice::Take(turn) => turn,
                    Choice::Nobody => break !is_over,
                    Choice::Differs(_) | Choice::Misfits(_) => unreachable!("the model is deterministic"),
                };
                let participant = turn.participant();
                let next = participants[participant][at[participant]];
                let mut note = |reads_only| {
                    let order = class.0.entry(next.object()).or_default();
                    match order.last_mut() {
                        Some((true, reads)) if reads_only => _ = reads.insert((participant, at[participant])),
                        _ => order.push((reads_only, BTreeSet::from([(participant, at[participant])]))),
                    }
                };
                match (turn, next) {
                    (Turn::Goes(_), Do::Acquire(lock) | Do::TryAcquire(lock)) => {
                        assert_eq!(held.insert(lock, participant), None, "it could go");
                        note(false);
                    }
                    (Turn::Goes(_), Do::Release(lock)) => {
                        held.remove(&lock);
                        note(false);
                    }
                    (Turn::Goes(_), Do::Read(_)) => note(true),
                    (Turn::Goes(_), Do::Write(_)) => note(false),
                    (Turn::TimesOut(_), _) => {
                        now_ns = now_ns.max(deadlines[participant].expect("it has one"));
                        note(false);
                    }
                    (Turn::Dies(_), _) => class.1.push((participant, at[participant])),
                }
                (at[participant], deadlines[participant]) = match turn {
                    Turn::Goes(_) => (at[participant] + 1, None),
                    _ => {
                        held.retain(|_, holder| *holder != participant);
                        (usize::MAX, None)
                    }
                };
            };
            if !search.is_redundant() {
                schedules += 1;
                classes.insert(class, deadlocks);
            }
            if !search.advance() {
                return (schedules, classes);
            }
        }
    }

    /// Checks the number of all schedules, of the reduced ones, and of the classes that deadlock.
    fn check(participants: &[Vec<Do>], bounds: Bounds, all: usize, reduced: usize, deadlocks: usize) {
        let (schedules, classes) = explore(false, bounds, participants);
        assert_eq!(schedules, all, "{participants:?}");
        let (schedules, reduced_classes) = explore(true, bounds, participants);
        assert_eq!(reduced_classes, classes, "{participants:?}");
        assert_eq!(schedules, reduced, "{participants:?}");
        assert_eq!(classes.values().filter(|deadlocks| **deadlocks).count(), deadlocks);
    }

    const NONE: Bounds = Bounds { kills: 0, timeouts: 0 };

    fn in_order(first: u64, second: u64) -> Vec<Do> {
        vec![Do::Acquire(first), Do::Acquire(second), Do::Release(second), Do::Release(first)]
    }

    #[test]
    fn increments_without_a_lock() {
        let twice = vec![Do::Read(1), Do::Write(1), Do::Read(1), Do::Write(1)];
        check(&[twice.clone(), twice], NONE, 70, 34, 0);
    }

    #[test]
    fn steps_on_different_objects_are_one_class() {
        let writes = |object| vec![Do::Write(object); 4];
        check(&[writes(1), writes(2)], NONE, 70, 1, 0);
    }

    #[test]
    fn step_on_a_whole_depends_on_those_on_its_parts() {
        let write = |part| vec![Do::Write(ObjectId::from_word(7).part(part).to_word())];
        let participants = [write(0), write(1), write(2)];
        assert_eq!(explore(false, NONE, &participants).0, 6);
        // Each part comes before or after the whole.
        assert_eq!(explore(true, NONE, &participants).0, 4);
        assert_eq!(explore(true, NONE, &[write(1), write(2), write(3)]).0, 1);
    }

    #[test]
    fn lock_makes_increments_one_step() {
        let locked = vec![Do::Acquire(1), Do::Read(2), Do::Write(2), Do::Release(1)];
        check(&[locked.clone(), locked], NONE, 2, 2, 0);
    }

    #[test]
    fn locks_in_the_opposite_order_deadlock() {
        check(&[in_order(1, 2), in_order(2, 1)], NONE, 6, 3, 1);
        check(&[in_order(1, 2), in_order(1, 2)], NONE, 2, 2, 0);
    }

    #[test]
    fn ring_of_three() {
        check(&[in_order(1, 2), in_order(2, 3), in_order(3, 1)], NONE, 168, 7, 1);
    }

    #[test]
    fn kill_is_tried_at_every_point() {
        let steps = |object| vec![Do::Write(object); 3];
        let kill = Bounds { kills: 1, timeouts: 0 };
        let (schedules, _) = explore(false, kill, &[steps(1), steps(1)]);
        assert_eq!(schedules, 88);
        let once = vec![Do::Read(1), Do::Write(1)];
        let locked = vec![Do::Acquire(1), Do::Read(2), Do::Write(2), Do::Release(1)];
        for participants in [
            vec![steps(1), steps(1)],
            vec![steps(1), steps(2)],
            vec![once.clone(), once.clone(), once.clone()],
            vec![[once.clone(), once.clone()].concat(), [once.clone(), once].concat()],
            vec![locked.clone(), locked.clone(), locked],
            vec![in_order(1, 2), in_order(2, 1)],
            vec![in_order(1, 2), in_order(1, 2)],
            vec![in_order(1, 2), in_order(2, 3), in_order(3, 1)],
        ] {
            let all = explore(false, kill, &participants).1;
            assert_eq!(explore(true, kill, &participants).1, all, "{participants:?}");
        }
    }

    #[test]
    fn operation_times_out_if_all_are_blocked_or_early_within_the_bound() {
        let timed =
            |first, second| vec![Do::Acquire(first), Do::TryAcquire(second), Do::Release(second), Do::Release(first)];
        let participants = [timed(1, 2), timed(2, 1)];
        let (in_time, classes) = explore(false, NONE, &participants);
        assert!(classes.values().all(|deadlocks| !deadlocks), "{classes:?}");
        let early = explore(false, Bounds { kills: 0, timeouts: 2 }, &participants).0;
        assert!(early > in_time, "{early} {in_time}");
        for timeouts in [0, 1, 2] {
            let bounds = Bounds { kills: 0, timeouts };
            let all = explore(false, bounds, &participants).1;
            assert_eq!(explore(true, bounds, &participants).1, all, "{timeouts}");
        }
    }

    /// Up to three participants, each with a few operations. Each releases what it acquires.
    fn models() -> impl Strategy<Value = Vec<Vec<Do>>> {
        let step = prop_oneof![
            (1..4_u64).prop_map(|object| vec![Do::Read(object)]),
            (1..4_u64).prop_map(|object| vec![Do::Write(object)]),
            (4..6_u64).prop_map(|lock| vec![Do::Acquire(lock), Do::Release(lock)]),
            (4..6_u64, 1..4_u64).prop_map(|(lock, object)| vec![
                Do::Acquire(lock),
                Do::Write(object),
                Do::Release(lock)
            ]),
            Just(in_order(4, 5)),
            Just(in_order(5, 4)),
            Just(vec![Do::Acquire(4), Do::TryAcquire(5), Do::Release(5), Do::Release(4)]),
        ];
        prop::collection::vec(prop::collection::vec(step, 1..3).prop_map(|steps| steps.concat()), 2..4)
            .prop_filter("few enough schedules to run them all", |participants| {
                participants.iter().map(Vec::len).sum::<usize>() < 9
            })
    }

    proptest! {
        #[test]
        fn one_schedule_of_each_class_is_run(participants in models(), kills in 0..2_u32, timeouts in 0..2_u32) {
            let bounds = Bounds { kills, timeouts };
            let (schedules, all) = explore(false, bounds, &participants);
            let (reduced, classes) = explore(true, bounds, &participants);
            prop_assert_eq!(&classes, &all);
            prop_assert!(reduced <= schedules);
            if (kills, timeouts) == (0, 0) {
                prop_assert_eq!(reduced, classes.len());
            }
        }
    }
}
