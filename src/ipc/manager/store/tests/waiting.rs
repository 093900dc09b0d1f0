//! Two clients that wait for each other, at everything that can be waited for.

use super::*;

fn two(kind: Kind, arguments: &str) -> (Stage, SessionId, SessionId, ObjectRef) {
    let mut stage = Stage::new();
    let (a, b) = (stage.client(), stage.client());
    let object = stage.make(a, kind, args(arguments));
    stage.give(a, b, &object);
    (stage, a, b, object)
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
    let (mut stage, a, b, lock) = two(Kind::Lock, "[]");
    permit(&stage.call(a, &lock, Method::Acquire, vec![]));
    assert_eq!(stage.call_for(b, &lock, Method::Acquire, vec![], Patience::NONE), Some(Ok(Reply::NotInTime)));
    assert_eq!(stage.call(b, &lock, Method::Acquire, vec![]), None);
    assert_eq!(stage.call(a, &lock, Method::Acquire, vec![]), None, "not recursive: the owner waits too");
    assert_eq!(stage.get(b, &lock, Method::Release, vec![]), Datum::Null, "anybody may release a plain lock");
    assert!(acquired(&stage.completed(), b));
    stage.get(b, &lock, Method::Release, vec![]);
    assert!(acquired(&stage.completed(), a));
    stage.get(a, &lock, Method::Release, vec![]);
    assert_eq!(stage.fail(a, &lock, Method::Release, vec![]).to_string(), "release unlocked lock");
    assert_eq!(stage.get(a, &lock, Method::Locked, vec![]), Datum::from(false));
}

#[test]
fn late_release_by_permit_does_not_touch_the_next_holder() {
    let (mut stage, a, b, lock) = two(Kind::Lock, "[]");
    let first = permit(&stage.call(a, &lock, Method::Acquire, vec![]));
    stage.get(b, &lock, Method::Release, vec![]);
    permit(&stage.call(b, &lock, Method::Acquire, vec![]));
    assert_eq!(stage.fail(a, &lock, Method::Release, vec![first.into()]), Failure::ReleaseUnacquired);
    assert_eq!(stage.get(a, &lock, Method::Locked, vec![]), Datum::from(true));
}

#[test]
fn acquire_times_out_and_leaves_the_line() {
    let (mut stage, a, b, lock) = two(Kind::Lock, "[]");
    permit(&stage.call(a, &lock, Method::Acquire, vec![]));
    assert_eq!(stage.call_for(b, &lock, Method::Acquire, vec![], Patience::Nanos(10)), None);
    assert_eq!(stage.store.next_deadline(), Some(stage.now_ns + 10));
    assert_eq!(stage.after(9), []);
    assert_eq!(stage.after(1), [(b, Ok(Reply::NotInTime))]);
    assert_eq!(stage.store.next_deadline(), None);
    stage.get(a, &lock, Method::Release, vec![]);
    assert_eq!(stage.completed(), []);
    assert_eq!(stage.get(a, &lock, Method::Locked, vec![]), Datum::from(false), "nobody got it");
}

#[test]
pub(super) fn rlock_belongs_to_a_thread_of_a_client() {
    let (mut stage, a, b, lock) = two(Kind::RLock, "[]");
    let first = permit(&stage.call(a, &lock, Method::Acquire, vec![]));
    assert_eq!(permit(&stage.call(a, &lock, Method::Acquire, vec![])), first);
    assert_eq!(stage.fail(b, &lock, Method::Release, vec![]).to_string(), "cannot release un-acquired lock");
    let call = Call { object: lock.id(), method: Method::Acquire, args: vec![], patience: Patience::NONE, thread: 2 };
    assert_eq!(stage.ask(a, Request::Call(call)), Some(Ok(Reply::NotInTime)), "another thread of the same client");
    stage.call(b, &lock, Method::Acquire, vec![]);
    stage.get(a, &lock, Method::Release, vec![]);
    assert_eq!(stage.completed(), [], "held once more");
    stage.get(a, &lock, Method::Release, vec![]);
    assert!(acquired(&stage.completed(), b));
}

#[test]
fn dead_holder_gives_the_lock_back_and_the_next_is_told() {
    for kind in [Kind::Lock, Kind::RLock] {
        let (mut stage, a, b, lock) = two(kind, "[]");
        stage.call(a, &lock, Method::Acquire, vec![]);
        stage.call(b, &lock, Method::Acquire, vec![]);
        let results = stage.leave(a);
        assert!(matches!(results[..], [(to, Ok(Reply::Acquired { abandoned: true, .. }))] if to == b), "{results:?}");
        stage.get(b, &lock, Method::Release, vec![]);
        let again = stage.call(b, &lock, Method::Acquire, vec![]);
        assert!(matches!(again, Some(Ok(Reply::Acquired { abandoned: false, .. }))), "told once");
    }
}

#[test]
fn dead_waiter_leaves_no_trace() {
    let (mut stage, a, b, lock) = two(Kind::Lock, "[]");
    stage.call(a, &lock, Method::Acquire, vec![]);
    stage.call(b, &lock, Method::Acquire, vec![]);
    stage.leave(b);
    stage.get(a, &lock, Method::Release, vec![]);
    assert!(matches!(
        stage.call(a, &lock, Method::Acquire, vec![]),
        Some(Ok(Reply::Acquired { abandoned: false, .. }))
    ));
}

#[test]
pub(super) fn semaphore_hands_on_permits() {
    let (mut stage, a, b, semaphore) = two(Kind::Semaphore, "[1]");
    permit(&stage.call(a, &semaphore, Method::Acquire, vec![]));
    assert_eq!(stage.call(b, &semaphore, Method::Acquire, vec![]), None);
    assert_eq!(stage.get(a, &semaphore, Method::GetValue, vec![]), Datum::from(0));
    stage.get(a, &semaphore, Method::Release, args("[2]"));
    assert!(acquired(&stage.completed(), b));
    assert_eq!(stage.get(a, &semaphore, Method::GetValue, vec![]), Datum::from(1));
    stage.leave(b);
    assert_eq!(stage.get(a, &semaphore, Method::GetValue, vec![]), Datum::from(2), "the dead one's came back");
}

#[test]
fn semaphore_without_holders_gets_nothing_back() {
    let (mut stage, a, b, semaphore) = two(Kind::Semaphore, "[1, false]");
    permit(&stage.call(b, &semaphore, Method::Acquire, vec![]));
    stage.leave(b);
    assert_eq!(stage.get(a, &semaphore, Method::GetValue, vec![]), Datum::from(0));
}

#[test]
pub(super) fn bounded_semaphore_has_a_bound() {
    let (mut stage, a, b, semaphore) = two(Kind::BoundedSemaphore, "[1]");
    assert_eq!(stage.fail(a, &semaphore, Method::Release, vec![]).to_string(), "Semaphore released too many times");
    permit(&stage.call(a, &semaphore, Method::Acquire, vec![]));
    assert_eq!(stage.call(b, &semaphore, Method::Acquire, vec![]), None);
    stage.get(b, &semaphore, Method::Release, vec![]);
    assert!(acquired(&stage.completed(), b));
    stage.get(b, &semaphore, Method::Release, vec![]);
    stage.leave(a);
    assert_eq!(stage.get(b, &semaphore, Method::GetValue, vec![]), Datum::from(1), "never above its start");
}

#[test]
pub(super) fn condition_wakes_as_many_as_asked_with_the_lock_held() {
    let (mut stage, a, b, condition) = two(Kind::Condition, "[]");
    let c = stage.client();
    stage.give(a, c, &condition);
    assert_eq!(stage.fail(a, &condition, Method::Wait, vec![]).to_string(), "cannot wait on un-acquired lock");
    assert_eq!(stage.fail(a, &condition, Method::Notify, vec![]).to_string(), "cannot notify on un-acquired lock");
    for waiter in [a, b] {
        permit(&stage.call(waiter, &condition, Method::Acquire, vec![]));
        // Twice: a wait gives up every level.
        permit(&stage.call(waiter, &condition, Method::Acquire, vec![]));
        assert_eq!(stage.call(waiter, &condition, Method::Wait, vec![]), None);
    }
    permit(&stage.call(c, &condition, Method::Acquire, vec![]));
    stage.get(c, &condition, Method::Notify, args("[1]"));
    assert_eq!(stage.completed(), [], "the lock is still held by who notified");
    stage.get(c, &condition, Method::Release, vec![]);
    assert_eq!(stage.completed(), [(a, Ok(Reply::Woken { notified: true, abandoned: false }))]);
    stage.get(a, &condition, Method::Release, vec![]);
    assert_eq!(stage.get(b, &condition, Method::Locked, vec![]), Datum::from(true), "as deep as before");
    stage.get(a, &condition, Method::NotifyAll, vec![]);
    stage.get(a, &condition, Method::Release, vec![]);
    assert_eq!(stage.completed(), [(b, Ok(Reply::Woken { notified: true, abandoned: false }))]);
}

#[test]
fn condition_wait_times_out_only_with_the_lock_held_again() {
    let (mut stage, a, b, condition) = two(Kind::Condition, "[]");
    stage.call(a, &condition, Method::Acquire, vec![]);
    assert_eq!(stage.call_for(a, &condition, Method::Wait, vec![], Patience::Nanos(5)), None);
    stage.call(b, &condition, Method::Acquire, vec![]);
    assert_eq!(stage.after(5), [], "the other holds the lock");
    stage.get(b, &condition, Method::Release, vec![]);
    assert_eq!(stage.completed(), [(a, Ok(Reply::Woken { notified: false, abandoned: false }))]);
    assert_eq!(stage.call_for(a, &condition, Method::Wait, vec![], Patience::NONE), None);
    assert_eq!(stage.completed(), [(a, Ok(Reply::Woken { notified: false, abandoned: false }))]);
}

#[test]
fn dead_waiter_of_a_condition_swallows_no_notification() {
    let (mut stage, a, b, condition) = two(Kind::Condition, "[]");
    let c = stage.client();
    stage.give(a, c, &condition);
    for waiter in [a, b] {
        stage.call(waiter, &condition, Method::Acquire, vec![]);
        stage.call(waiter, &condition, Method::Wait, vec![]);
    }
    stage.leave(a);
    stage.call(c, &condition, Method::Acquire, vec![]);
    stage.get(c, &condition, Method::Notify, vec![]);
    stage.get(c, &condition, Method::Release, vec![]);
    assert_eq!(stage.completed(), [(b, Ok(Reply::Woken { notified: true, abandoned: false }))]);
}

#[test]
fn conditions_can_share_a_lock() {
    let (mut stage, a, b, lock) = two(Kind::Lock, "[]");
    let not_empty = stage.make(a, Kind::Condition, vec![lock.clone().into()]);
    let not_full = stage.make(a, Kind::Condition, vec![lock.clone().into()]);
    stage.give(a, b, &not_full);
    stage.call(a, &lock, Method::Acquire, vec![]);
    assert_eq!(stage.call(a, &not_empty, Method::Wait, vec![]), None);
    stage.call(b, &lock, Method::Acquire, vec![]);
    stage.get(b, &not_full, Method::NotifyAll, vec![]);
    stage.get(b, &lock, Method::Release, vec![]);
    assert_eq!(stage.completed(), [], "another condition");
    let wrong = Request::Create { kind: Kind::Condition, args: vec![not_full.into()], name: None };
    assert!(matches!(stage.ask(a, wrong), Some(Err(Failure::BadArgument { .. }))));
}

#[test]
pub(super) fn event_wakes_all_also_if_cleared_at_once() {
    let (mut stage, a, b, event) = two(Kind::Event, "[]");
    assert_eq!(stage.call(b, &event, Method::Wait, vec![]), None);
    assert_eq!(stage.call_for(a, &event, Method::Wait, vec![], Patience::Nanos(3)), None);
    assert_eq!(stage.after(3), [(a, Ok(Reply::from(false)))]);
    assert_eq!(stage.call(a, &event, Method::Wait, vec![]), None);
    stage.get(a, &event, Method::Set, vec![]);
    stage.get(a, &event, Method::Clear, vec![]);
    let mut woken = stage.completed();
    woken.sort_by_key(|(session, _)| *session);
    assert_eq!(woken, [(a, Ok(Reply::from(true))), (b, Ok(Reply::from(true)))]);
    assert_eq!(stage.get(a, &event, Method::IsSet, vec![]), Datum::from(false));
}

#[test]
pub(super) fn barrier_gives_each_party_a_number_and_is_reusable() {
    let (mut stage, a, b, barrier) = two(Kind::Barrier, "[2]");
    for _ in 0..2 {
        assert_eq!(stage.call(a, &barrier, Method::Wait, vec![]), None);
        assert_eq!(stage.get(b, &barrier, Method::NWaiting, vec![]), Datum::from(1));
        assert_eq!(stage.call(b, &barrier, Method::Wait, vec![]), None);
        let arrived = |index| Ok(Reply::Arrived { index, leads: false });
        assert_eq!(stage.completed(), [(a, arrived(0)), (b, arrived(1))]);
    }
    assert_eq!(stage.get(a, &barrier, Method::Parties, vec![]), Datum::from(2));
    let none = Request::Create { kind: Kind::Barrier, args: args("[0]"), name: None };
    assert!(matches!(stage.ask(a, none), Some(Err(Failure::BadArgument { .. }))));
}

#[test]
fn barrier_breaks_by_timeout_abort_and_death() {
    let broken = |session| (session, Err(Failure::BrokenBarrier));
    let (mut stage, a, b, barrier) = two(Kind::Barrier, "[3, false, 7]");
    stage.call(a, &barrier, Method::Wait, vec![]);
    assert_eq!(stage.after(2), []);
    stage.call(b, &barrier, Method::Wait, vec![]);
    assert_eq!(stage.after(5), [(a, Ok(Reply::NotInTime)), broken(b)], "its own timeout breaks it for the other");
    assert_eq!(stage.fail(b, &barrier, Method::Wait, vec![]), Failure::BrokenBarrier);
    assert_eq!(stage.get(b, &barrier, Method::Broken, vec![]), Datum::from(true));
    stage.get(a, &barrier, Method::Reset, vec![]);
    stage.call(a, &barrier, Method::Wait, vec![]);
    stage.get(b, &barrier, Method::Abort, vec![]);
    assert_eq!(stage.completed(), [broken(a)]);
    stage.get(a, &barrier, Method::Reset, vec![]);
    stage.call(a, &barrier, Method::Wait, vec![]);
    stage.call(b, &barrier, Method::Wait, vec![]);
    assert_eq!(stage.leave(b), [broken(a)]);
}

#[test]
pub(super) fn barrier_action_runs_before_anybody_is_released() {
    let (mut stage, a, b, barrier) = two(Kind::Barrier, "[2, true]");
    let run = |stage: &mut Stage| {
        stage.call(a, &barrier, Method::Wait, vec![]);
        stage.call(b, &barrier, Method::Wait, vec![]);
        assert_eq!(stage.completed(), [(b, Ok(Reply::Arrived { index: 1, leads: true }))]);
    };
    run(&mut stage);
    assert_eq!(stage.fail(a, &barrier, Method::Finish, vec![]), Failure::BrokenBarrier, "it does not lead");
    assert_eq!(stage.get(a, &barrier, Method::NWaiting, vec![]), Datum::from(0));
    stage.get(b, &barrier, Method::Finish, vec![]);
    assert_eq!(stage.completed(), [(a, Ok(Reply::Arrived { index: 0, leads: false }))]);
    run(&mut stage);
    stage.get(b, &barrier, Method::Finish, args("[false]"));
    assert_eq!(stage.completed(), [(a, Err(Failure::BrokenBarrier))]);
    stage.get(a, &barrier, Method::Reset, vec![]);
    run(&mut stage);
    assert_eq!(stage.leave(b), [(a, Err(Failure::BrokenBarrier))], "the action's runner died");
}

#[test]
fn queue_brings_putters_and_getters_together() {
    let (mut stage, a, b, queue) = two(Kind::Queue, "[1]");
    assert_eq!(stage.call(b, &queue, Method::Get, vec![]), None);
    stage.get(a, &queue, Method::Put, args("[1]"));
    assert_eq!(stage.completed(), [(b, Ok(Reply::Item(1.into())))]);
    stage.get(a, &queue, Method::Put, args("[2]"));
    assert_eq!(stage.call(a, &queue, Method::Put, args("[3]")), None);
    assert_eq!(stage.get(b, &queue, Method::Get, vec![]), Datum::from(2));
    assert_eq!(stage.completed(), [(a, Ok(Reply::DONE))]);
    assert_eq!(stage.call_for(a, &queue, Method::Put, args("[4]"), Patience::Nanos(5)), None);
    assert_eq!(stage.after(5), [(a, Ok(Reply::NotInTime))]);
    assert_eq!(stage.get(b, &queue, Method::Snapshot, vec![]), json("[3]"));
}

#[test]
fn queue_of_a_dead_getter_loses_nothing() {
    let (mut stage, a, b, queue) = two(Kind::Queue, "[]");
    stage.call(b, &queue, Method::Get, vec![]);
    stage.leave(b);
    stage.get(a, &queue, Method::Put, args("[1]"));
    assert_eq!(stage.get(a, &queue, Method::Get, vec![]), Datum::from(1));
    // Given, but the client was gone before it could be sent.
    stage.store.take_back(queue.id(), Reply::Item(1.into()));
    assert_eq!(stage.get(a, &queue, Method::Get, vec![]), Datum::from(1));
}

#[test]
fn queue_shutdown_ends_every_wait() {
    let (mut stage, a, b, queue) = two(Kind::Queue, "[1]");
    stage.call(b, &queue, Method::Get, vec![]);
    stage.get(a, &queue, Method::Shutdown, vec![]);
    assert_eq!(stage.completed(), [(b, Err(Failure::ShutDown))]);
    let (mut stage, a, b, queue) = two(Kind::Queue, "[1]");
    stage.get(a, &queue, Method::Put, args("[1]"));
    stage.call(a, &queue, Method::Put, args("[2]"));
    assert_eq!(stage.call(b, &queue, Method::Join, vec![]), None);
    stage.get(b, &queue, Method::Shutdown, args("[true]"));
    let mut ended = stage.completed();
    ended.sort_by_key(|(session, _)| *session);
    assert_eq!(ended, [(a, Err(Failure::ShutDown)), (b, Ok(Reply::DONE))]);
    assert_eq!(stage.fail(a, &queue, Method::Put, args("[1]")), Failure::ShutDown);
    assert_eq!(stage.fail(a, &queue, Method::Get, vec![]), Failure::ShutDown);
}

fn lease(answer: Answer) -> (u64, u32, Datum) {
    match answer {
        Some(Ok(Reply::Leased { lease, deliveries, item })) => (lease, deliveries, item),
        other => panic!("nothing leased: {other:?}"),
    }
}

#[test]
fn join_blocks_until_every_task_is_done() {
    let (mut stage, a, b, queue) = two(Kind::JoinableQueue, "[]");
    assert_eq!(stage.get(a, &queue, Method::Join, vec![]), Datum::Null, "nothing was put");
    stage.get(a, &queue, Method::Put, args("[1]"));
    stage.get(a, &queue, Method::Put, args("[2]"));
    assert_eq!(stage.call(a, &queue, Method::Join, vec![]), None);
    let (first, ..) = lease(stage.call(b, &queue, Method::Get, vec![]));
    lease(stage.call(b, &queue, Method::Get, vec![]));
    assert_eq!(stage.get(a, &queue, Method::Unfinished, vec![]), Datum::from(2));
    stage.get(b, &queue, Method::TaskDone, vec![first.into()]);
    assert_eq!(stage.completed(), []);
    stage.get(b, &queue, Method::TaskDone, vec![]);
    assert_eq!(stage.completed(), [(a, Ok(Reply::DONE))]);
    assert_eq!(stage.fail(b, &queue, Method::TaskDone, vec![]).to_string(), "task_done() called too many times");
    assert_eq!(stage.fail(b, &queue, Method::TaskDone, vec![first.into()]), Failure::LeaseLost);
}

#[test]
pub(super) fn both_queues_bring_together_who_puts_gets_and_joins() {
    for kind in [Kind::Queue, Kind::JoinableQueue] {
        let (mut stage, a, b, queue) = two(kind, "[1]");
        assert_eq!(stage.call(b, &queue, Method::Get, vec![]), None);
        stage.get(a, &queue, Method::Put, args("[1]"));
        let got = stage.completed();
        let is_one =
            |reply: &Reply| matches!(reply, Reply::Item(item) | Reply::Leased { item, .. } if *item == 1.into());
        assert!(matches!(&got[..], [(to, Ok(reply))] if *to == b && is_one(reply)), "{got:?}");
        stage.get(a, &queue, Method::Put, args("[2]"));
        assert_eq!(stage.call(a, &queue, Method::Put, args("[3]")), None, "no room");
        stage.call(b, &queue, Method::Get, vec![]);
        assert_eq!(stage.completed(), [(a, Ok(Reply::DONE))]);
        stage.call(b, &queue, Method::Get, vec![]);
        assert_eq!(stage.call(a, &queue, Method::Join, vec![]), None);
        for _ in 0..3 {
            assert_eq!(stage.completed(), [], "not all is done");
            stage.get(b, &queue, Method::TaskDone, vec![]);
        }
        assert_eq!(stage.completed(), [(a, Ok(Reply::DONE))]);
    }
}

#[test]
fn leased_items_of_a_dead_taker_go_to_another_in_order() {
    let (mut stage, a, b, queue) = two(Kind::JoinableQueue, "[0, 2]");
    for item in ["[1]", "[2]", "[3]"] {
        stage.get(a, &queue, Method::Put, args(item));
    }
    lease(stage.call(b, &queue, Method::Get, vec![]));
    lease(stage.call(b, &queue, Method::Get, vec![]));
    stage.leave(b);
    let (first, deliveries, item) = lease(stage.call(a, &queue, Method::Get, vec![]));
    assert_eq!((deliveries, item), (2, Datum::from(1)));
    assert_eq!(stage.get(a, &queue, Method::Snapshot, vec![]), json("[2,3]"));
    let c = stage.client();
    stage.give(a, c, &queue);
    assert_eq!(stage.fail(c, &queue, Method::TaskDone, vec![first.into()]), Failure::LeaseLost, "another's lease");
    assert_eq!(lease(stage.call(c, &queue, Method::Get, vec![])).2, Datum::from(2));
    assert_eq!(stage.call(a, &queue, Method::Join, vec![]), None);
    stage.leave(c);
    assert_eq!(stage.get(a, &queue, Method::DeadLetters, vec![]), json("[2]"), "delivered as often as allowed");
    stage.get(a, &queue, Method::TaskDone, vec![first.into()]);
    let (last, ..) = lease(stage.call(a, &queue, Method::Get, vec![]));
    stage.get(a, &queue, Method::TaskDone, vec![last.into()]);
    assert_eq!(stage.completed(), [(a, Ok(Reply::DONE))]);
}

#[test]
fn waits_of_one_client_are_limited() {
    let (mut stage, a, _, event) = two(Kind::Event, "[]");
    let answers = std::iter::repeat_with(|| stage.call(a, &event, Method::Wait, vec![]));
    let refused = answers.take(20_000).find(Option::is_some).flatten();
    assert!(matches!(refused, Some(Err(Failure::TooManyWaiting { .. }))));
}
