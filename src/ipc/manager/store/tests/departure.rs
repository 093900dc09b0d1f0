//! How the end of a client affects the others.

use super::*;
use crate::ipc::sync::BreakCause;

/// A fixture with a barrier for three, and three clients that refer to it.
fn three_at_a_barrier(arguments: &str) -> (Fixture, [SessionId; 3], ObjectRef) {
    let mut fixture = Fixture::new();
    let clients = [fixture.client(), fixture.client(), fixture.client()];
    let barrier = fixture.make(clients[0], Kind::Barrier, args(arguments));
    fixture.give(clients[0], clients[1], &barrier);
    fixture.give(clients[0], clients[2], &barrier);
    (fixture, clients, barrier)
}

const DIED: Failure = Failure::BrokenBarrier(BreakCause::Died(None));

fn broken(session: SessionId) -> (SessionId, Result<Reply, Failure>) {
    (session, Err(DIED))
}

#[test]
fn party_that_is_lost_before_it_comes_breaks_the_barrier_until_reset() {
    let (mut fixture, [a, b, c], barrier) = three_at_a_barrier("[3]");
    assert_eq!(fixture.call(a, &barrier, Method::Wait, vec![]), None);
    assert_eq!(fixture.leave(c), [broken(a)], "who waits");
    assert_eq!(fixture.fail(b, &barrier, Method::Wait, vec![]), DIED, "a later party");
    assert_eq!(fixture.fail(a, &barrier, Method::Wait, vec![]), DIED, "and the party itself");
    fixture.get(b, &barrier, Method::Reset, vec![]);
    let new = fixture.client();
    fixture.give(a, new, &barrier);
    for client in [a, b, new] {
        assert_eq!(fixture.call(client, &barrier, Method::Wait, vec![]), None);
    }
    assert_eq!(fixture.completed().len(), 3, "the lost one is no longer counted on");
}

#[test]
fn party_that_is_lost_is_named() {
    for with_action in ["[2]", "[2, true]"] {
        let (mut fixture, [a, ..], barrier) = three_at_a_barrier(with_action);
        let known = fixture.store.open_session(Some(7));
        fixture.give(a, known, &barrier);
        fixture.call(a, &barrier, Method::Wait, vec![]);
        // It arrives last, and runs the action if there is one.
        fixture.call(known, &barrier, Method::Wait, vec![]);
        fixture.completed();
        fixture.leave(known);
        let named = Failure::BrokenBarrier(BreakCause::Died(Some(7)));
        assert_eq!(fixture.fail(a, &barrier, Method::Wait, vec![]), named, "{with_action}");
    }
}

#[test]
fn party_that_is_lost_while_nobody_waits_breaks_the_barrier() {
    let (mut fixture, [a, _, c], barrier) = three_at_a_barrier("[3]");
    assert_eq!(fixture.leave(c), []);
    assert_eq!(fixture.get(a, &barrier, Method::Broken, vec![]), Variant::from(true));
    assert_eq!(fixture.fail(a, &barrier, Method::Wait, vec![]), DIED);
}

#[test]
fn client_that_gave_everything_back_breaks_nothing() {
    let (mut fixture, [a, b, c], barrier) = three_at_a_barrier("[2]");
    // It was given the barrier a second time, and releases one reference and then the other.
    fixture.give(a, c, &barrier);
    fixture.ask(c, Request::Release { object: barrier.id(), count: 1 });
    fixture.call(a, &barrier, Method::Wait, vec![]);
    fixture.ask(c, Request::Release { object: barrier.id(), count: 1 });
    assert_eq!(fixture.leave(c), []);
    assert_eq!(fixture.call(b, &barrier, Method::Wait, vec![]), None);
    let arrived = |index| Ok(Reply::Arrived { index, leads: false });
    assert_eq!(fixture.completed(), [(a, arrived(0)), (b, arrived(1))]);
    assert_eq!(fixture.get(a, &barrier, Method::Broken, vec![]), Variant::from(false));
}

#[test]
fn client_that_gave_back_one_of_two_references_is_still_missed() {
    let (mut fixture, [a, _, c], barrier) = three_at_a_barrier("[2]");
    fixture.give(a, c, &barrier);
    fixture.ask(c, Request::Release { object: barrier.id(), count: 1 });
    fixture.leave(c);
    assert_eq!(fixture.get(a, &barrier, Method::Broken, vec![]), Variant::from(true));
}

#[test]
fn barrier_that_was_fetched_from_a_container_counts() {
    let (mut fixture, [a, b, _], barrier) = three_at_a_barrier("[2]");
    let dict = fixture.make(a, Kind::Dict, vec![]);
    fixture.get(a, &dict, Method::SetItem, vec!["barrier".into(), barrier.clone().into()]);
    let d = fixture.client();
    fixture.give(a, d, &dict);
    fixture.call(b, &barrier, Method::Wait, vec![]);
    fixture.get(d, &dict, Method::Get, vec!["barrier".into()]);
    assert_eq!(fixture.leave(d), [broken(b)]);
}

#[test]
fn handle_that_nobody_will_take_over_breaks_the_barrier() {
    let token = TransferToken(77);
    // Cancelled by its exporter: the worker died before it could import the reference.
    let (mut fixture, [a, b, c], barrier) = three_at_a_barrier("[4]");
    let export = Request::Export { object: barrier.id(), token };
    fixture.ask(a, export.clone());
    fixture.call(b, &barrier, Method::Wait, vec![]);
    assert_eq!(fixture.ask(c, Request::CancelExport(token)), Some(Ok(Reply::DONE)), "another's is not ended");
    assert!(fixture.store.transfers.contains_key(&token));
    fixture.ask(a, Request::CancelExport(token));
    assert_eq!(fixture.completed(), [broken(b)]);
    assert!(!fixture.store.transfers.contains_key(&token));
    // Or its exporter itself leaves, in order.
    let (mut fixture, [a, b, _], barrier) = three_at_a_barrier("[4]");
    fixture.ask(a, export.clone());
    fixture.call(b, &barrier, Method::Wait, vec![]);
    fixture.ask(a, Request::Release { object: barrier.id(), count: 1 });
    assert_eq!(fixture.leave(a), [broken(b)]);
    // An imported reference is not an export any more.
    let (mut fixture, [a, b, c], barrier) = three_at_a_barrier("[4]");
    fixture.ask(a, export);
    fixture.call(b, &barrier, Method::Wait, vec![]);
    fixture.ask(c, Request::Import(token));
    fixture.ask(a, Request::CancelExport(token));
    assert_eq!(fixture.completed(), []);
}

/// A condition with clients that wait at it, in this order.
fn waiting_at_a_condition<const N: usize>() -> (Fixture, [SessionId; N], ObjectRef) {
    let mut fixture = Fixture::new();
    let maker = fixture.client();
    let condition = fixture.make(maker, Kind::Condition, vec![]);
    let clients = std::array::from_fn(|_| {
        let client = fixture.client();
        fixture.give(maker, client, &condition);
        client
    });
    for client in &clients[1..] {
        fixture.call(*client, &condition, Method::Acquire, vec![]);
        assert_eq!(fixture.call(*client, &condition, Method::Wait, vec![]), None);
    }
    (fixture, clients, condition)
}

const NOTIFIED: Reply = Reply::Woken { notified: true, abandoned: false };
const ABANDONED: Reply = Reply::Woken { notified: true, abandoned: true };

#[test]
fn notification_whose_receiver_dies_before_it_has_the_lock_goes_to_the_next() {
    let (mut fixture, [notifier, first, second], condition) = waiting_at_a_condition();
    fixture.call(notifier, &condition, Method::Acquire, vec![]);
    fixture.get(notifier, &condition, Method::Notify, vec![]);
    assert_eq!(fixture.leave(first), [], "the lock is held");
    fixture.get(notifier, &condition, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [(second, Ok(NOTIFIED))]);
}

#[test]
pub(super) fn notification_of_the_dead_does_not_go_to_who_came_after_it() {
    let (mut fixture, [notifier, first], condition) = waiting_at_a_condition();
    let [late, other] = [fixture.client(), fixture.client()];
    fixture.call(notifier, &condition, Method::Acquire, vec![]);
    for client in [late, other] {
        fixture.give(notifier, client, &condition);
        assert_eq!(fixture.call(client, &condition, Method::Acquire, vec![]), None);
    }
    fixture.get(notifier, &condition, Method::Notify, vec![]);
    fixture.get(notifier, &condition, Method::Release, vec![]);
    assert!(matches!(fixture.completed()[..], [(to, _)] if to == late));
    // It begins to wait when the first is notified already, and queues behind the other for the lock.
    fixture.call(late, &condition, Method::Wait, vec![]);
    assert!(matches!(fixture.completed()[..], [(to, _)] if to == other));
    assert_eq!(fixture.leave(first), []);
    fixture.get(other, &condition, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [], "the late one was not meant");
    assert_eq!(fixture.get(notifier, &condition, Method::Locked, vec![]), Variant::from(false));
}

#[test]
fn holder_that_dies_before_it_notifies_leaves_no_waiter_asleep_for_ever() {
    let (mut fixture, [holder, first, second], condition) = waiting_at_a_condition();
    fixture.call(holder, &condition, Method::Acquire, vec![]);
    assert_eq!(fixture.leave(holder), [(first, Ok(ABANDONED))]);
    // And when that one dies too, holding the lock: the next.
    assert_eq!(fixture.leave(first), [(second, Ok(ABANDONED))]);
}

#[test]
fn heir_that_dies_before_it_has_the_lock_hands_its_notice_on() {
    let (mut fixture, [holder, first, second], condition) = waiting_at_a_condition();
    let other = fixture.client();
    fixture.give(first, other, &condition);
    fixture.call(holder, &condition, Method::Acquire, vec![]);
    assert_eq!(fixture.call(other, &condition, Method::Acquire, vec![]), None);
    let told = fixture.leave(holder);
    assert!(matches!(told[..], [(to, Ok(Reply::Acquired { abandoned: true, .. }))] if to == other), "{told:?}");
    assert_eq!(fixture.leave(first), []);
    fixture.get(other, &condition, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [(second, Ok(ABANDONED))]);
}

#[test]
fn dead_holder_wakes_one_waiter_of_each_condition_of_its_lock() {
    let mut fixture = Fixture::new();
    let [a, b, c] = [fixture.client(), fixture.client(), fixture.client()];
    let lock = fixture.make(a, Kind::Lock, vec![]);
    let own = || vec![lock.clone().into()];
    let (not_empty, not_full) = (fixture.make(a, Kind::Condition, own()), fixture.make(a, Kind::Condition, own()));
    for (client, condition) in [(b, &not_empty), (c, &not_full)] {
        fixture.give(a, client, condition);
        fixture.call(client, condition, Method::Acquire, vec![]);
        fixture.call(client, condition, Method::Wait, vec![]);
    }
    let holder = fixture.client();
    fixture.give(a, holder, &lock);
    fixture.call(holder, &lock, Method::Acquire, vec![]);
    assert_eq!(fixture.leave(holder), [(b, Ok(ABANDONED))]);
    fixture.get(b, &not_empty, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [(c, Ok(ABANDONED))]);
}

#[test]
fn killed_clients_leave_no_wait_behind_at_queues_and_events() {
    let mut fixture = Fixture::new();
    let [a, b] = [fixture.client(), fixture.client()];
    let (event, queue) = (fixture.make(a, Kind::Event, vec![]), fixture.make(a, Kind::Queue, args("[1]")));
    fixture.give(a, b, &event);
    fixture.give(a, b, &queue);
    fixture.get(a, &queue, Method::Put, args("[1]"));
    assert_eq!(fixture.call(b, &event, Method::Wait, vec![]), None);
    assert_eq!(fixture.call(b, &queue, Method::Put, args("[2]")), None);
    assert_eq!(fixture.call(b, &queue, Method::Join, vec![]), None);
    assert_eq!(fixture.leave(b), []);
    assert_eq!(fixture.store.status().waiting, 0);
    assert_eq!(fixture.get(a, &queue, Method::Get, vec![]), Variant::from(1));
    assert_eq!(fixture.get(a, &queue, Method::Qsize, vec![]), Variant::from(0), "what it waited to put was never put");
}
