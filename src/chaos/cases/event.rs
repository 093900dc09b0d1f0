//! The event: it is set and all waiters are released, or neither.

use super::*;
use crate::Event;

const GO_ON: Texts = ["see it set, or set it", "看到已置位，或自己置位"];
const ARE_LET_GO: Texts = ["both peers are let go", "两个等待者都被唤醒"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(wait, among_waiters).asleep(WAITING, ARE_LET_GO, Done).like_python("Event.waiting"),
        Row::of(wait, among_waiters)
            .hidden_within(["in wait, others wait", "wait 中，另有等待者"], ARE_LET_GO)
            .like_python("Event.in_wait"),
        Row::of(set, |kill| set_for(kill, 0)).within(["in set", "set 中"], GO_ON).like_python("Event.in_set"),
        Row::of(set, |kill| set_for(kill, 2))
            .within(["in set, two peers wait", "set 中，有两个等待者"], ARE_LET_GO)
            .like_python("Event.in_set_to_peers"),
        Row::of(|event: Event| marked(|| event.clear()), cleared)
            .within(["in clear", "clear 中"], GO_ON)
            .like_python("Event.in_clear"),
    ]
}

fn wait(event: Event) -> RoleResult {
    marked(|| event.wait())
}

fn set(event: Event) -> RoleResult {
    marked(|| event.set())
}

fn waiter(event: &Event) -> Result<Peer<()>> {
    Peer::asleep_in(event.clone(), |event| demand(event.wait_timeout(LONG), Fault::Hangs))
}

/// Clears the event and sets it for a waiter, twice.
fn two_rounds(seen: &mut Observation, event: &Event, effect: Effect) -> Result<Effect> {
    for _ in 0..2 {
        event.clear();
        ensure!(!event.is_set(), Fault::Unusable);
        let peer = waiter(event)?;
        event.set();
        seen.back(&peer)?;
    }
    Ok(effect)
}

/// The victim sets the event for this number of waiters.
fn set_for(kill: Kill<'_, Event>, peers: usize) -> Result<Effect> {
    let event = Event::new()?;
    let peers = (0..peers).map(|_| waiter(&event)).collect::<Result<Vec<_>>>()?;
    let seen = kill.alone(event.clone())?;
    let is_set = event.is_set();
    let set = |_: &mut Observation| {
        event.set();
        Ok(())
    };
    for peer in &peers {
        seen.settle(peer, || event.is_set(), set)?;
    }
    two_rounds(seen, &event, Effect::done_if(is_set))
}

fn cleared(kill: Kill<'_, Event>) -> Result<Effect> {
    let event = Event::new()?;
    event.set();
    let seen = kill.alone(event.clone())?;
    let is_cleared = !event.is_set();
    two_rounds(seen, &event, Effect::done_if(is_cleared))
}

/// The victim and two peers wait, and the event is set.
fn among_waiters(kill: Kill<'_, Event>) -> Result<Effect> {
    let event = Event::new()?;
    let others = [waiter(&event)?, waiter(&event)?];
    let (seen, ()) = kill.victim(event.clone())?.kill_waking(|| {
        event.set();
        Ok(())
    })?;
    for peer in &others {
        seen.back(peer)?;
    }
    two_rounds(seen, &event, Done)
}
