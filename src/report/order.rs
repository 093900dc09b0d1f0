//! Sorts the events of several processes into the order in which they happened.
//!
//! Every event has a time from one monotonic clock, but messages of different processes race, and a worker's death is
//! noticed only after others were affected by it. So each event waits for [`WINDOW_US`] after its arrival; then the
//! earliest is shown first. An event with an unreported cause waits for it, up to [`LONGEST_WAIT_US`]: a lock is not
//! acquired before its holder has released it or died, nothing arrives before it was sent, nothing is delivered again
//! before its receiver died. A cause that was reported with a later time than its effect happened at the effect's time
//! at the latest, and is shown with that. Times never go backwards: an event that arrives after the window is shown
//! with the time of the event before it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::class::{Class, Direction, Ending, Noun, OwnedKey as Sent, SpanKind, Subject};
use super::event::Event;

/// How long every event waits for earlier ones to arrive, in microseconds.
const WINDOW_US: u64 = 20_000;
/// How long an event waits for its cause to be reported, in microseconds.
pub(crate) const LONGEST_WAIT_US: u64 = 250_000;

/// Events in transit from the workers to the report.
#[derive(Debug, Default)]
pub(crate) struct Reorder {
    /// By time; events of the same time in the order of arrival.
    pending: BTreeMap<Place, Event>,
    /// The arrival of each, in order; events that were shown are removed only when they are first.
    arrivals: VecDeque<(u64, Place)>,
    arrived: u64,
    /// The time of the last shown event.
    shown_us: u64,
    /// Workers that were started and have not ended, according to the shown events.
    alive: HashSet<String>,
    /// The holders of each object: at most one, unless several workers can hold it at once.
    holders: HashMap<Held, Vec<String>>,
    /// What was sent and has not arrived, and how often.
    under_way: HashMap<Sent, u64>,
    /// What each worker received last.
    taken: HashMap<String, Sent>,
}

/// An event's time and its number in the order of arrival.
type Place = (u64, u64);

/// Something that a worker holds: its kind and its name.
type Held = (Noun, String);

/// What has to be shown before an event.
enum Cause {
    /// This worker ends, or releases the object if one is given.
    Release { worker: String, held: Option<Held> },
    /// It is sent.
    Sending(Sent),
    /// A worker's death, if one was just reported; it may be the cause. Only a permit holder's, if `of_holder`.
    AnyDeath { of_holder: bool },
}

impl Reorder {
    /// Accepts an event that arrived at `now_us`. Events of one worker arrive in order.
    pub(crate) fn push(&mut self, event: Event, now_us: u64) {
        let place = (event.at_us, self.arrived);
        self.arrived += 1;
        self.arrivals.push_back((now_us, place));
        self.pending.insert(place, event);
    }

    /// Returns the next event to be shown at `now_us`; `None` if there is none yet.
    ///
    /// `u64::MAX` is the end, when all events have arrived: nothing is waited for.
    pub(crate) fn pop(&mut self, now_us: u64) -> Option<Event> {
        if self.due_us()? > now_us {
            return None;
        }
        let head = *self.pending.first_key_value()?.0;
        let (mut next, mut passed) = (head, HashSet::new());
        while let Some(cause) = self.unmet_cause(&self.pending[&next]) {
            match self.find(&cause, &self.pending[&next]) {
                Some(found) if passed.insert(found) => next = found,
                _ if self.can_come(&cause) && now_us < self.deadline_us(next) => return None,
                _ => break,
            }
        }
        let mut event = self.pending.remove(&next).expect("found above");
        event.at_us = event.at_us.min(head.0).max(self.shown_us);
        self.shown_us = event.at_us;
        self.note(&event);
        Some(event)
    }

    /// Returns when [`pop`](Self::pop) should be called again if nothing arrives until then.
    pub(crate) fn due_us(&mut self) -> Option<u64> {
        self.oldest_us().map(|arrived_us| arrived_us.saturating_add(WINDOW_US))
    }

    /// Returns the arrival time of the oldest event that is not shown yet.
    pub(crate) fn oldest_us(&mut self) -> Option<u64> {
        while self.arrivals.front().is_some_and(|(_, place)| !self.pending.contains_key(place)) {
            self.arrivals.pop_front();
        }
        self.arrivals.front().map(|(arrived_us, _)| *arrived_us)
    }

    fn deadline_us(&self, place: Place) -> u64 {
        let arrived = self.arrivals.iter().find(|(_, of)| *of == place);
        arrived.map_or(0, |(arrived_us, _)| arrived_us.saturating_add(LONGEST_WAIT_US))
    }

    /// Returns the cause that must be shown before the event and has not been.
    fn unmet_cause(&self, event: &Event) -> Option<Cause> {
        let class = event.fact.class();
        match held(class.begins) {
            Some((noun, _)) if noun.is_shared => return Some(Cause::AnyDeath { of_holder: true }),
            Some(held) => {
                let worker = self.holders.get(&held)?.first().filter(|holder| **holder != event.worker)?.clone();
                return Some(Cause::Release { worker, held: Some(held) });
            }
            None if class.follows_death => return Some(Cause::AnyDeath { of_holder: false }),
            None => {}
        }
        let transfer = class.transfer.filter(|transfer| transfer.direction == Direction::In)?;
        let sent = Sent::from(transfer.key);
        if transfer.again {
            let taker = self.taken.iter().find(|(worker, taken)| **taken == sent && **worker != event.worker);
            return Some(match taker {
                Some((worker, _)) => Cause::Release { worker: worker.clone(), held: None },
                None => Cause::AnyDeath { of_holder: false },
            });
        }
        (!self.under_way.contains_key(&sent)).then_some(Cause::Sending(sent))
    }

    /// Returns the event to be shown next on the way to the cause: the cause, or an earlier event of the same worker.
    fn find(&self, cause: &Cause, effect: &Event) -> Option<Place> {
        let is_it = |event: &Event| {
            let Class { ending, ends, transfer, .. } = event.fact.class();
            match cause {
                Cause::Release { worker, held: wanted } => {
                    event.worker == *worker && (ending.is_some() || (wanted.is_some() && held(ends) == *wanted))
                }
                Cause::Sending(sent) => {
                    transfer.is_some_and(|it| it.direction == Direction::Out && Sent::from(it.key) == *sent)
                }
                Cause::AnyDeath { of_holder } => {
                    event.worker != effect.worker
                        && matches!(ending, Some(Ending::Killed(_)))
                        && (!of_holder || self.holds_permit(&event.worker))
                }
            }
        };
        let (place, event) = self.pending.iter().find(|(_, event)| is_it(event))?;
        let (first, _) = self.pending.iter().find(|(_, first)| first.worker == event.worker)?;
        // A worker that reported something later was alive then, so its death is not the cause.
        (first == place || !matches!(cause, Cause::AnyDeath { .. })).then_some(*first)
    }

    /// Returns whether a cause that has not arrived still may.
    fn can_come(&self, cause: &Cause) -> bool {
        let can_tell = |worker: &String| {
            let ended = |event: &Event| event.worker == *worker && event.fact.class().ending.is_some();
            self.alive.contains(worker) && !self.pending.values().any(ended)
        };
        match cause {
            Cause::Release { worker, .. } | Cause::Sending(Sent::Item(worker, _)) => can_tell(worker),
            Cause::Sending(_) => self.alive.iter().any(can_tell),
            Cause::AnyDeath { .. } => false,
        }
    }

    /// Returns whether a worker holds an object that several can hold at once.
    fn holds_permit(&self, worker: &String) -> bool {
        self.holders.iter().any(|((noun, _), holders)| noun.is_shared && holders.contains(worker))
    }

    /// Records what is shown.
    fn note(&mut self, event: &Event) {
        let worker = || event.worker.clone();
        let class = event.fact.class();
        if class.starts {
            self.alive.insert(worker());
        }
        if class.ending.is_some() {
            self.alive.remove(&event.worker);
            self.holders.values_mut().for_each(|holders| holders.retain(|holder| *holder != event.worker));
            self.taken.remove(&event.worker);
        }
        if let Some(holders) = held(class.ends).and_then(|held| self.holders.get_mut(&held))
            && let Some(place) = holders.iter().position(|holder| *holder == event.worker)
        {
            holders.remove(place);
        }
        if let Some(held) = held(class.begins) {
            let is_shared = held.0.is_shared;
            let holders = self.holders.entry(held).or_default();
            if !is_shared {
                holders.clear();
            }
            holders.push(worker());
        }
        if let Some((SpanKind::Working, Subject::Item(_))) = class.ends {
            self.taken.remove(&event.worker);
        }
        let Some(transfer) = class.transfer else { return };
        let sent = Sent::from(transfer.key);
        match transfer.direction {
            Direction::Out => *self.under_way.entry(sent).or_default() += 1,
            Direction::In => {
                if let Some(count) = self.under_way.get_mut(&sent) {
                    *count -= 1;
                    if *count == 0 {
                        self.under_way.remove(&sent);
                    }
                }
                self.taken.insert(worker(), sent);
            }
        }
    }
}

/// Returns what begins or ends to be held.
fn held(activity: Option<(SpanKind, Subject<'_>)>) -> Option<Held> {
    match activity? {
        (SpanKind::Holding, Subject::Named(noun, name)) => Some((noun, name.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::AnyFact;
    use crate::report::frame::{WorkerExited, WorkerStarted};
    use crate::scenarios::facts::*;
    use serde_json::json;

    const LATER: u64 = 1_000_000_000;

    fn event(at_us: u64, worker: &str, fact: impl Into<AnyFact>) -> Event {
        Event { at_us, worker: worker.to_owned(), pid: 1, fact: fact.into() }
    }

    fn starts(worker: &str) -> Event {
        event(0, worker, WorkerStarted { role: "role", daemon: false })
    }

    fn acquires(at_us: u64, worker: &str, abandoned: bool) -> Event {
        event(at_us, worker, LockFact::LockAcquired { lock: "lock".to_owned(), waited_us: 0, abandoned })
    }

    fn releases(at_us: u64, worker: &str) -> Event {
        event(at_us, worker, LockFact::LockReleased { lock: "lock".to_owned(), held_us: 0 })
    }

    fn dies(at_us: u64, worker: &str) -> Event {
        event(at_us, worker, WorkerExited { exit_code: None, signal: Some(9), failure: None })
    }

    fn puts(at_us: u64, worker: &str) -> Event {
        let from = worker.to_owned();
        event(at_us, worker, ItemFact::ItemPut { value: json!(1), from, number: 1, size: None })
    }

    fn gets(at_us: u64, worker: &str, redelivered: bool) -> Event {
        let from = "producer".to_owned();
        event(at_us, worker, ItemFact::ItemGot { value: json!(1), from, number: 1, size: None, redelivered })
    }

    /// Returns a channel on which all workers were started and shown.
    fn with(workers: &[&str]) -> Reorder {
        let mut reorder = Reorder::default();
        for worker in workers {
            reorder.push(starts(worker), 0);
        }
        while reorder.pop(u64::MAX).is_some() {}
        reorder
    }

    fn shown(reorder: &mut Reorder, now_us: u64) -> Vec<(u64, String)> {
        std::iter::from_fn(|| reorder.pop(now_us)).map(|event| (event.at_us, event.worker)).collect()
    }

    /// Returns all events in the order of showing, given the order of arrival.
    fn order(workers: &[&str], arriving: impl IntoIterator<Item = Event>) -> Vec<(u64, String)> {
        let mut reorder = with(workers);
        arriving.into_iter().for_each(|event| reorder.push(event, 100));
        shown(&mut reorder, LATER)
    }

    fn pairs(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
        expected.iter().map(|&(at_us, worker)| (at_us, worker.to_owned())).collect()
    }

    #[test]
    fn earlier_events_are_shown_first_if_they_arrive_within_the_window() {
        let waits = |at_us, worker| event(at_us, worker, BarrierFact::BarrierWaiting { round: 1 });
        assert_eq!(order(&["a", "b"], [waits(20, "a"), waits(10, "b")]), pairs(&[(10, "b"), (20, "a")]));
        let mut reorder = with(&["a", "b"]);
        reorder.push(waits(20, "a"), 100);
        assert_eq!(reorder.due_us(), Some(100 + WINDOW_US));
        assert_eq!(shown(&mut reorder, 99 + WINDOW_US), []);
        assert_eq!(shown(&mut reorder, 100 + WINDOW_US), pairs(&[(20, "a")]));
        // What comes later than that does not turn the time back.
        reorder.push(waits(10, "b"), 200 + WINDOW_US);
        assert_eq!(shown(&mut reorder, LATER), pairs(&[(20, "b")]));
    }

    #[test]
    fn holder_releases_before_the_next_acquires() {
        // Released first and told last, with the time before the release.
        let told = [acquires(10, "a", false), acquires(30, "b", false), releases(20, "a")];
        assert_eq!(order(&["a", "b"], told), pairs(&[(10, "a"), (20, "a"), (30, "b")]));
        let mut reorder = with(&["a", "b"]);
        reorder.push(acquires(10, "a", false), 100);
        reorder.push(acquires(30, "b", false), 100);
        assert_eq!(shown(&mut reorder, 50_000), pairs(&[(10, "a")]), "the release is still to be told");
        reorder.push(releases(20, "a"), 50_000);
        assert_eq!(shown(&mut reorder, 50_000), pairs(&[(20, "a"), (30, "b")]));
    }

    #[test]
    fn death_is_shown_before_its_effects_and_at_their_time() {
        let mut reorder = with(&["a", "b"]);
        reorder.push(acquires(10, "a", false), 100);
        reorder.push(acquires(30, "b", true), 100);
        assert_eq!(shown(&mut reorder, 60_000), pairs(&[(10, "a")]));
        reorder.push(dies(60_000, "a"), 60_000);
        assert_eq!(shown(&mut reorder, 60_000), pairs(&[(30, "a"), (30, "b")]));
        // Who does not die and does not tell either is not waited for without end.
        let mut reorder = with(&["a", "b"]);
        reorder.push(acquires(10, "a", false), 100);
        reorder.push(acquires(30, "b", false), 100);
        assert_eq!(shown(&mut reorder, 99 + LONGEST_WAIT_US), pairs(&[(10, "a")]));
        assert_eq!(shown(&mut reorder, 100 + LONGEST_WAIT_US), pairs(&[(30, "b")]));
    }

    #[test]
    fn death_is_shown_before_the_exits_that_it_may_cause() {
        let exits =
            |at_us, worker| event(at_us, worker, WorkerExited { exit_code: Some(0), signal: None, failure: None });
        assert_eq!(order(&["a", "b"], [exits(30, "a"), dies(40, "b")]), pairs(&[(30, "b"), (30, "a")]));
        assert_eq!(order(&["a", "b"], [dies(30, "a"), exits(40, "b")]), pairs(&[(30, "a"), (40, "b")]));
        assert_eq!(order(&["a", "b"], [dies(30, "a"), dies(40, "b")]), pairs(&[(30, "a"), (40, "b")]));
        // A worker that reported something after the exit was alive then.
        let told = [exits(30, "a"), releases(35, "b"), dies(40, "b")];
        assert_eq!(order(&["a", "b"], told), pairs(&[(30, "a"), (35, "b"), (40, "b")]));
    }

    #[test]
    fn item_is_put_before_it_is_got() {
        let told = [gets(10, "consumer", false), puts(12, "producer")];
        assert_eq!(order(&["producer", "consumer"], told), pairs(&[(10, "producer"), (10, "consumer")]));
        let mut reorder = with(&["producer", "consumer"]);
        reorder.push(gets(10, "consumer", false), 100);
        assert_eq!(shown(&mut reorder, 50_000), []);
        // It died between the put and the word.
        reorder.push(dies(50_000, "producer"), 50_000);
        assert_eq!(shown(&mut reorder, LATER), pairs(&[(10, "consumer"), (50_000, "producer")]));
    }

    #[test]
    fn everything_that_the_sender_told_before_stays_before() {
        let waits = event(11, "producer", BarrierFact::BarrierWaiting { round: 1 });
        let told = [gets(10, "consumer", false), waits, puts(12, "producer")];
        let expected = pairs(&[(10, "producer"), (10, "producer"), (10, "consumer")]);
        assert_eq!(order(&["producer", "consumer"], told), expected);
    }

    #[test]
    fn item_comes_again_after_its_taker_died() {
        let told = [puts(5, "producer"), gets(10, "a", false), gets(30, "b", true), dies(40, "a")];
        let expected = pairs(&[(5, "producer"), (10, "a"), (30, "a"), (30, "b")]);
        assert_eq!(order(&["producer", "a", "b"], told), expected);
        // Its taker did not live to tell that it took it.
        let told = [puts(5, "producer"), gets(30, "b", true), dies(40, "a")];
        assert_eq!(order(&["producer", "a", "b"], told), pairs(&[(5, "producer"), (30, "a"), (30, "b")]));
    }

    #[test]
    fn permit_of_the_dead_is_acquired_after_the_death() {
        let acquires = |at_us, worker| {
            event(at_us, worker, PermitFact::PermitAcquired { semaphore: "spaces".to_owned(), waited_us: 0 })
        };
        let told = [acquires(10, "a"), acquires(30, "b"), dies(40, "a")];
        assert_eq!(order(&["a", "b"], told), pairs(&[(10, "a"), (30, "a"), (30, "b")]));
        // One that told something after that was still alive, and one without a permit had none to leave.
        let told = [acquires(10, "a"), acquires(30, "b"), event(35, "a", RaceFact::GunAwaited), dies(40, "a")];
        assert_eq!(order(&["a", "b"], told), pairs(&[(10, "a"), (30, "b"), (35, "a"), (40, "a")]));
        assert_eq!(order(&["a", "b"], [acquires(30, "b"), dies(40, "a")]), pairs(&[(30, "b"), (40, "a")]));
    }
}
