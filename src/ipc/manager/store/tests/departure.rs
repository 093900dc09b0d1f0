//! What the end of a client does to the others.

use super::*;

/// A stage with a barrier for three, and three clients that refer to it.
fn three_at_a_barrier(arguments: &str) -> (Stage, [SessionId; 3], ObjectRef) {
    let mut stage = Stage::new();
    let clients = [stage.client(), stage.client(), stage.client()];
    let barrier = stage.make(clients[0], Kind::Barrier, args(arguments));
    stage.give(clients[0], clients[1], &barrier);
    stage.give(clients[0], clients[2], &barrier);
    (stage, clients, barrier)
}

fn broken(session: SessionId) -> (SessionId, Result<Reply, Failure>) {
    (session, Err(Failure::BrokenBarrier))
}

#[test]
fn party_that_is_lost_before_it_comes_breaks_the_barrier_until_reset() {
    let (mut stage, [a, b, c], barrier) = three_at_a_barrier("[3]");
    assert_eq!(stage.call(a, &barrier, Method::Wait, vec![]), None);
    assert_eq!(stage.leave(c), [broken(a)], "who waits");
    assert_eq!(stage.fail(b, &barrier, Method::Wait, vec![]), Failure::BrokenBarrier, "who comes");
    assert_eq!(stage.fail(a, &barrier, Method::Wait, vec![]), Failure::BrokenBarrier, "who comes again");
    stage.get(b, &barrier, Method::Reset, vec![]);
    let new = stage.client();
    stage.give(a, new, &barrier);
    for client in [a, b, new] {
        assert_eq!(stage.call(client, &barrier, Method::Wait, vec![]), None);
    }
    assert_eq!(stage.completed().len(), 3, "the lost one is no longer counted on");
}

#[test]
fn party_that_is_lost_while_nobody_waits_breaks_the_barrier() {
    let (mut stage, [a, _, c], barrier) = three_at_a_barrier("[3]");
    assert_eq!(stage.leave(c), []);
    assert_eq!(stage.get(a, &barrier, Method::Broken, vec![]), Datum::from(true));
    assert_eq!(stage.fail(a, &barrier, Method::Wait, vec![]), Failure::BrokenBarrier);
}

#[test]
fn client_that_gave_everything_back_breaks_nothing() {
    let (mut stage, [a, b, c], barrier) = three_at_a_barrier("[2]");
    // It was shown the barrier a second time, and gives back one and then the other.
    stage.give(a, c, &barrier);
    stage.ask(c, Request::Release { object: barrier.id(), count: 1 });
    stage.call(a, &barrier, Method::Wait, vec![]);
    stage.ask(c, Request::Release { object: barrier.id(), count: 1 });
    assert_eq!(stage.leave(c), []);
    assert_eq!(stage.call(b, &barrier, Method::Wait, vec![]), None);
    let arrived = |index| Ok(Reply::Arrived { index, leads: false });
    assert_eq!(stage.completed(), [(a, arrived(0)), (b, arrived(1))]);
    assert_eq!(stage.get(a, &barrier, Method::Broken, vec![]), Datum::from(false));
}

#[test]
fn client_that_gave_back_one_of_two_references_is_still_missed() {
    let (mut stage, [a, _, c], barrier) = three_at_a_barrier("[2]");
    stage.give(a, c, &barrier);
    stage.ask(c, Request::Release { object: barrier.id(), count: 1 });
    stage.leave(c);
    assert_eq!(stage.get(a, &barrier, Method::Broken, vec![]), Datum::from(true));
}

#[test]
fn barrier_that_was_fetched_from_a_container_counts() {
    let (mut stage, [a, b, _], barrier) = three_at_a_barrier("[2]");
    let dict = stage.make(a, Kind::Dict, vec![]);
    stage.get(a, &dict, Method::SetItem, vec!["barrier".into(), barrier.clone().into()]);
    let d = stage.client();
    stage.give(a, d, &dict);
    stage.call(b, &barrier, Method::Wait, vec![]);
    stage.get(d, &dict, Method::Get, vec!["barrier".into()]);
    assert_eq!(stage.leave(d), [broken(b)]);
}

#[test]
fn handle_that_nobody_will_take_over_breaks_the_barrier() {
    let token = LoanToken(77);
    // Its lender says so: the worker died before it could take the handle over.
    let (mut stage, [a, b, c], barrier) = three_at_a_barrier("[4]");
    let lend = Request::Lend { object: barrier.id(), token };
    stage.ask(a, lend.clone());
    stage.call(b, &barrier, Method::Wait, vec![]);
    assert_eq!(stage.ask(c, Request::EndLoan { token }), Some(Ok(Reply::DONE)), "another's is not ended");
    assert_eq!(stage.ask(a, Request::IsLent { token }), Some(Ok(Reply::from(true))));
    stage.ask(a, Request::EndLoan { token });
    assert_eq!(stage.completed(), [broken(b)]);
    assert_eq!(stage.ask(a, Request::IsLent { token }), Some(Ok(Reply::from(false))));
    // Or its lender is gone itself, in order.
    let (mut stage, [a, b, _], barrier) = three_at_a_barrier("[4]");
    stage.ask(a, lend.clone());
    stage.call(b, &barrier, Method::Wait, vec![]);
    stage.ask(a, Request::Release { object: barrier.id(), count: 1 });
    assert_eq!(stage.leave(a), [broken(b)]);
    // One that was taken over is nobody's loan any more.
    let (mut stage, [a, b, c], barrier) = three_at_a_barrier("[4]");
    stage.ask(a, lend);
    stage.call(b, &barrier, Method::Wait, vec![]);
    stage.ask(c, Request::TakeLoan { token });
    stage.ask(a, Request::EndLoan { token });
    assert_eq!(stage.completed(), []);
}

/// A condition with clients that wait at it, in this order.
fn waiting_at_a_condition<const N: usize>() -> (Stage, [SessionId; N], ObjectRef) {
    let mut stage = Stage::new();
    let maker = stage.client();
    let condition = stage.make(maker, Kind::Condition, vec![]);
    let clients = std::array::from_fn(|_| {
        let client = stage.client();
        stage.give(maker, client, &condition);
        client
    });
    for client in &clients[1..] {
        stage.call(*client, &condition, Method::Acquire, vec![]);
        assert_eq!(stage.call(*client, &condition, Method::Wait, vec![]), None);
    }
    (stage, clients, condition)
}

const NOTIFIED: Reply = Reply::Woken { notified: true, abandoned: false };
const ABANDONED: Reply = Reply::Woken { notified: true, abandoned: true };

#[test]
fn notification_whose_receiver_dies_before_it_has_the_lock_goes_to_the_next() {
    let (mut stage, [notifier, first, second], condition) = waiting_at_a_condition();
    stage.call(notifier, &condition, Method::Acquire, vec![]);
    stage.get(notifier, &condition, Method::Notify, vec![]);
    assert_eq!(stage.leave(first), [], "the lock is held");
    stage.get(notifier, &condition, Method::Release, vec![]);
    assert_eq!(stage.completed(), [(second, Ok(NOTIFIED))]);
}

#[test]
pub(super) fn notification_of_the_dead_does_not_go_to_who_came_after_it() {
    let (mut stage, [notifier, first], condition) = waiting_at_a_condition();
    let [late, other] = [stage.client(), stage.client()];
    stage.call(notifier, &condition, Method::Acquire, vec![]);
    for client in [late, other] {
        stage.give(notifier, client, &condition);
        assert_eq!(stage.call(client, &condition, Method::Acquire, vec![]), None);
    }
    stage.get(notifier, &condition, Method::Notify, vec![]);
    stage.get(notifier, &condition, Method::Release, vec![]);
    assert!(matches!(stage.completed()[..], [(to, _)] if to == late));
    // It begins to wait when the first is notified already, and stands behind the other in the line for the lock.
    stage.call(late, &condition, Method::Wait, vec![]);
    assert!(matches!(stage.completed()[..], [(to, _)] if to == other));
    assert_eq!(stage.leave(first), []);
    stage.get(other, &condition, Method::Release, vec![]);
    assert_eq!(stage.completed(), [], "the late one was not meant");
    assert_eq!(stage.get(notifier, &condition, Method::Locked, vec![]), Datum::from(false));
}

#[test]
fn holder_that_dies_before_it_notifies_leaves_no_waiter_asleep_for_ever() {
    let (mut stage, [holder, first, second], condition) = waiting_at_a_condition();
    stage.call(holder, &condition, Method::Acquire, vec![]);
    assert_eq!(stage.leave(holder), [(first, Ok(ABANDONED))]);
    // And when that one dies too, with the lock in hand: the next.
    assert_eq!(stage.leave(first), [(second, Ok(ABANDONED))]);
}

#[test]
fn heir_that_dies_before_it_has_the_lock_hands_its_notice_on() {
    let (mut stage, [holder, first, second], condition) = waiting_at_a_condition();
    let other = stage.client();
    stage.give(first, other, &condition);
    stage.call(holder, &condition, Method::Acquire, vec![]);
    assert_eq!(stage.call(other, &condition, Method::Acquire, vec![]), None);
    let told = stage.leave(holder);
    assert!(matches!(told[..], [(to, Ok(Reply::Acquired { abandoned: true, .. }))] if to == other), "{told:?}");
    assert_eq!(stage.leave(first), []);
    stage.get(other, &condition, Method::Release, vec![]);
    assert_eq!(stage.completed(), [(second, Ok(ABANDONED))]);
}

#[test]
fn dead_holder_wakes_one_waiter_of_each_condition_of_its_lock() {
    let mut stage = Stage::new();
    let [a, b, c] = [stage.client(), stage.client(), stage.client()];
    let lock = stage.make(a, Kind::Lock, vec![]);
    let own = || vec![lock.clone().into()];
    let (not_empty, not_full) = (stage.make(a, Kind::Condition, own()), stage.make(a, Kind::Condition, own()));
    for (client, condition) in [(b, &not_empty), (c, &not_full)] {
        stage.give(a, client, condition);
        stage.call(client, condition, Method::Acquire, vec![]);
        stage.call(client, condition, Method::Wait, vec![]);
    }
    let holder = stage.client();
    stage.give(a, holder, &lock);
    stage.call(holder, &lock, Method::Acquire, vec![]);
    assert_eq!(stage.leave(holder), [(b, Ok(ABANDONED))]);
    stage.get(b, &not_empty, Method::Release, vec![]);
    assert_eq!(stage.completed(), [(c, Ok(ABANDONED))]);
}

#[test]
fn killed_clients_leave_no_wait_behind_at_queues_and_events() {
    let mut stage = Stage::new();
    let [a, b] = [stage.client(), stage.client()];
    let (event, queue) = (stage.make(a, Kind::Event, vec![]), stage.make(a, Kind::Queue, args("[1]")));
    stage.give(a, b, &event);
    stage.give(a, b, &queue);
    stage.get(a, &queue, Method::Put, args("[1]"));
    assert_eq!(stage.call(b, &event, Method::Wait, vec![]), None);
    assert_eq!(stage.call(b, &queue, Method::Put, args("[2]")), None);
    assert_eq!(stage.call(b, &queue, Method::Join, vec![]), None);
    assert_eq!(stage.leave(b), []);
    assert_eq!(stage.store.census().waiting, 0);
    assert_eq!(stage.get(a, &queue, Method::Get, vec![]), Datum::from(1));
    assert_eq!(stage.get(a, &queue, Method::Qsize, vec![]), Datum::from(0), "what it waited to put was never put");
}
