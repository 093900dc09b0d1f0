//! Two clients that wait for each other, at everything that can be waited for.

use super::*;
use crate::ipc::sync::BreakCause::{self, Aborted, ActionFailed, Died, Reset, TimedOut};

fn two(kind: Kind, arguments: &str) -> (Fixture, SessionId, SessionId, ObjectRef) {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.client(), fixture.client());
    let object = fixture.make(a, kind, args(arguments));
    fixture.give(a, b, &object);
    (fixture, a, b, object)
}

fn permit(answer: &Answer) -> u64 {
    match answer {
        Some(Ok(Reply::Acquired { permit, .. })) => *permit,
        other => panic!("not acquired: {other:?}"),
    }
}

fn acquired(results: &[(SessionId, Result<Reply, Failure>)], by: SessionId) -> bool {
    matches!(results, [(session, Ok(Reply::Acquired { abandoned: false, .. }))] if *session == by)
}

#[test]
pub(super) fn lock_blocks_until_released_and_serves_in_order() {
    let (mut fixture, a, b, lock) = two(Kind::Lock, "[]");
    permit(&fixture.call(a, &lock, Method::Acquire, vec![]));
    assert_eq!(fixture.call_for(b, &lock, Method::Acquire, vec![], Some(Duration::ZERO)), Some(Ok(Reply::NotInTime)));
    assert_eq!(fixture.call(b, &lock, Method::Acquire, vec![]), None);
    assert_eq!(fixture.call(a, &lock, Method::Acquire, vec![]), None, "not recursive: the owner waits too");
    assert_eq!(fixture.get(b, &lock, Method::Release, vec![]), Variant::Null, "anybody may release a plain lock");
    assert!(acquired(&fixture.completed(), b));
    fixture.get(b, &lock, Method::Release, vec![]);
    assert!(acquired(&fixture.completed(), a));
    fixture.get(a, &lock, Method::Release, vec![]);
    assert_eq!(fixture.fail(a, &lock, Method::Release, vec![]).to_string(), "release unlocked lock");
    assert_eq!(fixture.get(a, &lock, Method::Locked, vec![]), Variant::from(false));
}

#[test]
fn late_release_by_permit_does_not_touch_the_next_holder() {
    let (mut fixture, a, b, lock) = two(Kind::Lock, "[]");
    let first = permit(&fixture.call(a, &lock, Method::Acquire, vec![]));
    fixture.get(b, &lock, Method::Release, vec![]);
    permit(&fixture.call(b, &lock, Method::Acquire, vec![]));
    assert_eq!(fixture.fail(a, &lock, Method::Release, vec![first.into()]), Failure::ReleaseUnacquired);
    assert_eq!(fixture.get(a, &lock, Method::Locked, vec![]), Variant::from(true));
}

#[test]
fn acquire_times_out_and_leaves_the_line() {
    let (mut fixture, a, b, lock) = two(Kind::Lock, "[]");
    permit(&fixture.call(a, &lock, Method::Acquire, vec![]));
    assert_eq!(fixture.call_for(b, &lock, Method::Acquire, vec![], Some(Duration::from_nanos(10))), None);
    assert_eq!(fixture.store.next_deadline(), Some(fixture.now_ns + 10));
    assert_eq!(fixture.after(9), []);
    assert_eq!(fixture.after(1), [(b, Ok(Reply::NotInTime))]);
    assert_eq!(fixture.store.next_deadline(), None);
    fixture.get(a, &lock, Method::Release, vec![]);
    assert_eq!(fixture.completed(), []);
    assert_eq!(fixture.get(a, &lock, Method::Locked, vec![]), Variant::from(false), "nobody got it");
}

#[test]
pub(super) fn rlock_belongs_to_a_thread_of_a_client() {
    let (mut fixture, a, b, lock) = two(Kind::RLock, "[]");
    let first = permit(&fixture.call(a, &lock, Method::Acquire, vec![]));
    assert_eq!(permit(&fixture.call(a, &lock, Method::Acquire, vec![])), first);
    assert_eq!(fixture.fail(b, &lock, Method::Release, vec![]).to_string(), "cannot release un-acquired lock");
    let call =
        Call { object: lock.id(), method: Method::Acquire, args: vec![], timeout: Some(Duration::ZERO), thread: 2 };
    assert_eq!(fixture.ask(a, Request::Call(call)), Some(Ok(Reply::NotInTime)), "another thread of the same client");
    fixture.call(b, &lock, Method::Acquire, vec![]);
    fixture.get(a, &lock, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [], "held once more");
    fixture.get(a, &lock, Method::Release, vec![]);
    assert!(acquired(&fixture.completed(), b));
}

#[test]
fn dead_holder_gives_the_lock_back_and_the_next_is_told() {
    for kind in [Kind::Lock, Kind::RLock] {
        let (mut fixture, a, b, lock) = two(kind, "[]");
        fixture.call(a, &lock, Method::Acquire, vec![]);
        fixture.call(b, &lock, Method::Acquire, vec![]);
        let results = fixture.leave(a);
        assert!(matches!(results[..], [(to, Ok(Reply::Acquired { abandoned: true, .. }))] if to == b), "{results:?}");
        fixture.get(b, &lock, Method::Release, vec![]);
        let again = fixture.call(b, &lock, Method::Acquire, vec![]);
        assert!(matches!(again, Some(Ok(Reply::Acquired { abandoned: false, .. }))), "told once");
    }
}

#[test]
fn dead_waiter_leaves_no_trace() {
    let (mut fixture, a, b, lock) = two(Kind::Lock, "[]");
    fixture.call(a, &lock, Method::Acquire, vec![]);
    fixture.call(b, &lock, Method::Acquire, vec![]);
    fixture.leave(b);
    fixture.get(a, &lock, Method::Release, vec![]);
    assert!(matches!(
        fixture.call(a, &lock, Method::Acquire, vec![]),
        Some(Ok(Reply::Acquired { abandoned: false, .. }))
    ));
}

#[test]
pub(super) fn semaphore_hands_on_permits() {
    let (mut fixture, a, b, semaphore) = two(Kind::Semaphore, "[1]");
    permit(&fixture.call(a, &semaphore, Method::Acquire, vec![]));
    assert_eq!(fixture.call(b, &semaphore, Method::Acquire, vec![]), None);
    assert_eq!(fixture.get(a, &semaphore, Method::GetValue, vec![]), Variant::from(0));
    fixture.get(a, &semaphore, Method::Release, args("[2]"));
    assert!(acquired(&fixture.completed(), b));
    assert_eq!(fixture.get(a, &semaphore, Method::GetValue, vec![]), Variant::from(1));
    fixture.leave(b);
    assert_eq!(fixture.get(a, &semaphore, Method::GetValue, vec![]), Variant::from(2), "the dead one's came back");
}

#[test]
fn semaphore_without_holders_gets_nothing_back() {
    let (mut fixture, a, b, semaphore) = two(Kind::Semaphore, "[1, false]");
    permit(&fixture.call(b, &semaphore, Method::Acquire, vec![]));
    fixture.leave(b);
    assert_eq!(fixture.get(a, &semaphore, Method::GetValue, vec![]), Variant::from(0));
}

#[test]
pub(super) fn bounded_semaphore_has_a_bound() {
    let (mut fixture, a, b, semaphore) = two(Kind::BoundedSemaphore, "[1]");
    assert_eq!(fixture.fail(a, &semaphore, Method::Release, vec![]).to_string(), "Semaphore released too many times");
    permit(&fixture.call(a, &semaphore, Method::Acquire, vec![]));
    assert_eq!(fixture.call(b, &semaphore, Method::Acquire, vec![]), None);
    fixture.get(b, &semaphore, Method::Release, vec![]);
    assert!(acquired(&fixture.completed(), b));
    fixture.get(b, &semaphore, Method::Release, vec![]);
    fixture.leave(a);
    assert_eq!(fixture.get(b, &semaphore, Method::GetValue, vec![]), Variant::from(1), "never above its start");
}

#[test]
pub(super) fn condition_wakes_as_many_as_asked_with_the_lock_held() {
    let (mut fixture, a, b, condition) = two(Kind::Condition, "[]");
    let c = fixture.client();
    fixture.give(a, c, &condition);
    assert_eq!(fixture.fail(a, &condition, Method::Wait, vec![]).to_string(), "cannot wait on un-acquired lock");
    assert_eq!(fixture.fail(a, &condition, Method::Notify, vec![]).to_string(), "cannot notify on un-acquired lock");
    for waiter in [a, b] {
        permit(&fixture.call(waiter, &condition, Method::Acquire, vec![]));
        // Twice: a wait releases every level.
        permit(&fixture.call(waiter, &condition, Method::Acquire, vec![]));
        assert_eq!(fixture.call(waiter, &condition, Method::Wait, vec![]), None);
    }
    permit(&fixture.call(c, &condition, Method::Acquire, vec![]));
    fixture.get(c, &condition, Method::Notify, args("[1]"));
    assert_eq!(fixture.completed(), [], "the lock is still held by who notified");
    fixture.get(c, &condition, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [(a, Ok(Reply::Woken { notified: true, abandoned: false }))]);
    fixture.get(a, &condition, Method::Release, vec![]);
    assert_eq!(fixture.get(b, &condition, Method::Locked, vec![]), Variant::from(true), "as deep as before");
    fixture.get(a, &condition, Method::NotifyAll, vec![]);
    fixture.get(a, &condition, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [(b, Ok(Reply::Woken { notified: true, abandoned: false }))]);
}

#[test]
fn condition_wait_times_out_only_with_the_lock_held_again() {
    let (mut fixture, a, b, condition) = two(Kind::Condition, "[]");
    fixture.call(a, &condition, Method::Acquire, vec![]);
    assert_eq!(fixture.call_for(a, &condition, Method::Wait, vec![], Some(Duration::from_nanos(5))), None);
    fixture.call(b, &condition, Method::Acquire, vec![]);
    assert_eq!(fixture.after(5), [], "the other holds the lock");
    fixture.get(b, &condition, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [(a, Ok(Reply::Woken { notified: false, abandoned: false }))]);
    assert_eq!(fixture.call_for(a, &condition, Method::Wait, vec![], Some(Duration::ZERO)), None);
    assert_eq!(fixture.completed(), [(a, Ok(Reply::Woken { notified: false, abandoned: false }))]);
}

#[test]
fn dead_waiter_of_a_condition_swallows_no_notification() {
    let (mut fixture, a, b, condition) = two(Kind::Condition, "[]");
    let c = fixture.client();
    fixture.give(a, c, &condition);
    for waiter in [a, b] {
        fixture.call(waiter, &condition, Method::Acquire, vec![]);
        fixture.call(waiter, &condition, Method::Wait, vec![]);
    }
    fixture.leave(a);
    fixture.call(c, &condition, Method::Acquire, vec![]);
    fixture.get(c, &condition, Method::Notify, vec![]);
    fixture.get(c, &condition, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [(b, Ok(Reply::Woken { notified: true, abandoned: false }))]);
}

#[test]
fn conditions_can_share_a_lock() {
    let (mut fixture, a, b, lock) = two(Kind::Lock, "[]");
    let not_empty = fixture.make(a, Kind::Condition, vec![lock.clone().into()]);
    let not_full = fixture.make(a, Kind::Condition, vec![lock.clone().into()]);
    fixture.give(a, b, &not_full);
    fixture.call(a, &lock, Method::Acquire, vec![]);
    assert_eq!(fixture.call(a, &not_empty, Method::Wait, vec![]), None);
    fixture.call(b, &lock, Method::Acquire, vec![]);
    fixture.get(b, &not_full, Method::NotifyAll, vec![]);
    fixture.get(b, &lock, Method::Release, vec![]);
    assert_eq!(fixture.completed(), [], "another condition");
    let wrong = Request::Create { kind: Kind::Condition, args: vec![not_full.into()], name: None };
    assert!(matches!(fixture.ask(a, wrong), Some(Err(Failure::BadArgument { .. }))));
}

#[test]
pub(super) fn event_wakes_all_also_if_cleared_at_once() {
    let (mut fixture, a, b, event) = two(Kind::Event, "[]");
    assert_eq!(fixture.call(b, &event, Method::Wait, vec![]), None);
    assert_eq!(fixture.call_for(a, &event, Method::Wait, vec![], Some(Duration::from_nanos(3))), None);
    assert_eq!(fixture.after(3), [(a, Ok(Reply::from(false)))]);
    assert_eq!(fixture.call(a, &event, Method::Wait, vec![]), None);
    fixture.get(a, &event, Method::Set, vec![]);
    fixture.get(a, &event, Method::Clear, vec![]);
    let mut woken = fixture.completed();
    woken.sort_by_key(|(session, _)| *session);
    assert_eq!(woken, [(a, Ok(Reply::from(true))), (b, Ok(Reply::from(true)))]);
    assert_eq!(fixture.get(a, &event, Method::IsSet, vec![]), Variant::from(false));
}

#[test]
pub(super) fn barrier_gives_each_party_a_number_and_is_reusable() {
    let (mut fixture, a, b, barrier) = two(Kind::Barrier, "[2]");
    for _ in 0..2 {
        assert_eq!(fixture.call(a, &barrier, Method::Wait, vec![]), None);
        assert_eq!(fixture.get(b, &barrier, Method::NWaiting, vec![]), Variant::from(1));
        assert_eq!(fixture.call(b, &barrier, Method::Wait, vec![]), None);
        let arrived = |index| Ok(Reply::Arrived { index, leads: false });
        assert_eq!(fixture.completed(), [(a, arrived(0)), (b, arrived(1))]);
    }
    assert_eq!(fixture.get(a, &barrier, Method::Parties, vec![]), Variant::from(2));
    let none = Request::Create { kind: Kind::Barrier, args: args("[0]"), name: None };
    assert!(matches!(fixture.ask(a, none), Some(Err(Failure::BadArgument { .. }))));
}

#[test]
fn barrier_breaks_by_timeout_abort_and_death() {
    let broken = |session, cause: BreakCause| (session, Err(Failure::BrokenBarrier(cause)));
    let (mut fixture, a, b, barrier) = two(Kind::Barrier, "[3, false, 7]");
    fixture.call(a, &barrier, Method::Wait, vec![]);
    assert_eq!(fixture.after(2), []);
    fixture.call(b, &barrier, Method::Wait, vec![]);
    assert_eq!(
        fixture.after(5),
        [(a, Ok(Reply::NotInTime)), broken(b, TimedOut)],
        "its own timeout breaks it for the other"
    );
    assert_eq!(fixture.fail(b, &barrier, Method::Wait, vec![]), Failure::BrokenBarrier(TimedOut));
    assert_eq!(fixture.get(b, &barrier, Method::Broken, vec![]), Variant::from(true));
    fixture.get(a, &barrier, Method::Reset, vec![]);
    fixture.call(a, &barrier, Method::Wait, vec![]);
    fixture.get(b, &barrier, Method::Abort, vec![]);
    assert_eq!(fixture.completed(), [broken(a, Aborted)]);
    fixture.get(a, &barrier, Method::Reset, vec![]);
    fixture.call(a, &barrier, Method::Wait, vec![]);
    fixture.call(b, &barrier, Method::Wait, vec![]);
    assert_eq!(fixture.leave(b), [broken(a, Died(None))]);
}

#[test]
pub(super) fn barrier_action_runs_before_anybody_is_released() {
    let (mut fixture, a, b, barrier) = two(Kind::Barrier, "[2, true]");
    let run = |fixture: &mut Fixture| {
        fixture.call(a, &barrier, Method::Wait, vec![]);
        fixture.call(b, &barrier, Method::Wait, vec![]);
        assert_eq!(fixture.completed(), [(b, Ok(Reply::Arrived { index: 1, leads: true }))]);
    };
    run(&mut fixture);
    assert_eq!(fixture.fail(a, &barrier, Method::Finish, vec![]), Failure::BrokenBarrier(Reset), "it does not lead");
    assert_eq!(fixture.get(a, &barrier, Method::NWaiting, vec![]), Variant::from(0));
    fixture.get(b, &barrier, Method::Finish, vec![]);
    assert_eq!(fixture.completed(), [(a, Ok(Reply::Arrived { index: 0, leads: false }))]);
    run(&mut fixture);
    fixture.get(b, &barrier, Method::Finish, args("[false]"));
    assert_eq!(fixture.completed(), [(a, Err(Failure::BrokenBarrier(ActionFailed)))]);
    fixture.get(a, &barrier, Method::Reset, vec![]);
    run(&mut fixture);
    assert_eq!(fixture.leave(b), [(a, Err(Failure::BrokenBarrier(Died(None))))], "the action's runner died");
}

#[test]
fn queue_brings_putters_and_getters_together() {
    let (mut fixture, a, b, queue) = two(Kind::Queue, "[1]");
    assert_eq!(fixture.call(b, &queue, Method::Get, vec![]), None);
    fixture.get(a, &queue, Method::Put, args("[1]"));
    assert_eq!(fixture.completed(), [(b, Ok(Reply::Item(1.into())))]);
    fixture.get(a, &queue, Method::Put, args("[2]"));
    assert_eq!(fixture.call(a, &queue, Method::Put, args("[3]")), None);
    assert_eq!(fixture.get(b, &queue, Method::Get, vec![]), Variant::from(2));
    assert_eq!(fixture.completed(), [(a, Ok(Reply::DONE))]);
    assert_eq!(fixture.call_for(a, &queue, Method::Put, args("[4]"), Some(Duration::from_nanos(5))), None);
    assert_eq!(fixture.after(5), [(a, Ok(Reply::NotInTime))]);
    assert_eq!(fixture.get(b, &queue, Method::Snapshot, vec![]), json("[3]"));
}

#[test]
fn queue_of_a_dead_getter_loses_nothing() {
    let (mut fixture, a, b, queue) = two(Kind::Queue, "[]");
    fixture.call(b, &queue, Method::Get, vec![]);
    fixture.leave(b);
    fixture.get(a, &queue, Method::Put, args("[1]"));
    assert_eq!(fixture.get(a, &queue, Method::Get, vec![]), Variant::from(1));
    // Delivered, but the client was gone before it could be sent.
    fixture.store.take_back(queue.id(), Reply::Item(1.into()));
    assert_eq!(fixture.get(a, &queue, Method::Get, vec![]), Variant::from(1));
}

#[test]
fn queue_shutdown_ends_every_wait() {
    let (mut fixture, a, b, queue) = two(Kind::Queue, "[1]");
    fixture.call(b, &queue, Method::Get, vec![]);
    fixture.get(a, &queue, Method::Shutdown, vec![]);
    assert_eq!(fixture.completed(), [(b, Err(Failure::ShutDown))]);
    let (mut fixture, a, b, queue) = two(Kind::Queue, "[1]");
    fixture.get(a, &queue, Method::Put, args("[1]"));
    fixture.call(a, &queue, Method::Put, args("[2]"));
    assert_eq!(fixture.call(b, &queue, Method::Join, vec![]), None);
    fixture.get(b, &queue, Method::Shutdown, args("[true]"));
    let mut ended = fixture.completed();
    ended.sort_by_key(|(session, _)| *session);
    assert_eq!(ended, [(a, Err(Failure::ShutDown)), (b, Ok(Reply::DONE))]);
    assert_eq!(fixture.fail(a, &queue, Method::Put, args("[1]")), Failure::ShutDown);
    assert_eq!(fixture.fail(a, &queue, Method::Get, vec![]), Failure::ShutDown);
}

fn lease(answer: Answer) -> (u64, u32, Variant) {
    match answer {
        Some(Ok(Reply::Leased { lease, deliveries, item })) => (lease, deliveries, item),
        other => panic!("nothing leased: {other:?}"),
    }
}

#[test]
fn join_blocks_until_every_task_is_done() {
    let (mut fixture, a, b, queue) = two(Kind::JoinableQueue, "[]");
    assert_eq!(fixture.get(a, &queue, Method::Join, vec![]), Variant::Null, "nothing was put");
    fixture.get(a, &queue, Method::Put, args("[1]"));
    fixture.get(a, &queue, Method::Put, args("[2]"));
    assert_eq!(fixture.call(a, &queue, Method::Join, vec![]), None);
    let (first, ..) = lease(fixture.call(b, &queue, Method::Get, vec![]));
    lease(fixture.call(b, &queue, Method::Get, vec![]));
    assert_eq!(fixture.get(a, &queue, Method::Unfinished, vec![]), Variant::from(2));
    fixture.get(b, &queue, Method::TaskDone, vec![first.into()]);
    assert_eq!(fixture.completed(), []);
    fixture.get(b, &queue, Method::TaskDone, vec![]);
    assert_eq!(fixture.completed(), [(a, Ok(Reply::DONE))]);
    assert_eq!(fixture.fail(b, &queue, Method::TaskDone, vec![]).to_string(), "task_done() called too many times");
    assert_eq!(fixture.fail(b, &queue, Method::TaskDone, vec![first.into()]), Failure::LeaseLost);
}

#[test]
pub(super) fn both_queues_bring_together_who_puts_gets_and_joins() {
    for kind in [Kind::Queue, Kind::JoinableQueue] {
        let (mut fixture, a, b, queue) = two(kind, "[1]");
        assert_eq!(fixture.call(b, &queue, Method::Get, vec![]), None);
        fixture.get(a, &queue, Method::Put, args("[1]"));
        let got = fixture.completed();
        let is_one =
            |reply: &Reply| matches!(reply, Reply::Item(item) | Reply::Leased { item, .. } if *item == 1.into());
        assert!(matches!(&got[..], [(to, Ok(reply))] if *to == b && is_one(reply)), "{got:?}");
        fixture.get(a, &queue, Method::Put, args("[2]"));
        assert_eq!(fixture.call(a, &queue, Method::Put, args("[3]")), None, "no room");
        fixture.call(b, &queue, Method::Get, vec![]);
        assert_eq!(fixture.completed(), [(a, Ok(Reply::DONE))]);
        fixture.call(b, &queue, Method::Get, vec![]);
        assert_eq!(fixture.call(a, &queue, Method::Join, vec![]), None);
        for _ in 0..3 {
            assert_eq!(fixture.completed(), [], "not all is done");
            fixture.get(b, &queue, Method::TaskDone, vec![]);
        }
        assert_eq!(fixture.completed(), [(a, Ok(Reply::DONE))]);
    }
}

#[test]
fn leased_items_of_a_dead_taker_go_to_another_in_order() {
    let (mut fixture, a, b, queue) = two(Kind::JoinableQueue, "[0, 2]");
    for item in ["[1]", "[2]", "[3]"] {
        fixture.get(a, &queue, Method::Put, args(item));
    }
    lease(fixture.call(b, &queue, Method::Get, vec![]));
    lease(fixture.call(b, &queue, Method::Get, vec![]));
    fixture.leave(b);
    let (first, deliveries, item) = lease(fixture.call(a, &queue, Method::Get, vec![]));
    assert_eq!((deliveries, item), (2, Variant::from(1)));
    assert_eq!(fixture.get(a, &queue, Method::Snapshot, vec![]), json("[2,3]"));
    let c = fixture.client();
    fixture.give(a, c, &queue);
    assert_eq!(fixture.fail(c, &queue, Method::TaskDone, vec![first.into()]), Failure::LeaseLost, "another's lease");
    assert_eq!(lease(fixture.call(c, &queue, Method::Get, vec![])).2, Variant::from(2));
    assert_eq!(fixture.call(a, &queue, Method::Join, vec![]), None);
    fixture.leave(c);
    assert_eq!(fixture.get(a, &queue, Method::DeadLetters, vec![]), json("[2]"), "delivered as often as allowed");
    fixture.get(a, &queue, Method::TaskDone, vec![first.into()]);
    let (last, ..) = lease(fixture.call(a, &queue, Method::Get, vec![]));
    fixture.get(a, &queue, Method::TaskDone, vec![last.into()]);
    assert_eq!(fixture.completed(), [(a, Ok(Reply::DONE))]);
}

#[test]
fn waits_of_one_client_are_limited() {
    let (mut fixture, a, _, event) = two(Kind::Event, "[]");
    let answers = std::iter::repeat_with(|| fixture.call(a, &event, Method::Wait, vec![]));
    let refused = answers.take(20_000).find(Option::is_some).flatten();
    assert!(matches!(refused, Some(Err(Failure::TooManyWaiting { .. }))));
}
