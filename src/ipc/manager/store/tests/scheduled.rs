//! Calls of clients that an exploration schedules.

use super::*;

fn step(fixture: &mut Fixture, client: SessionId, object: &ObjectRef, method: Method) -> Answer {
    let call = Call { object: object.id(), method, args: vec![], timeout: None, thread: 1 };
    fixture.ask(client, Request::Step(call))
}

/// Returns whether a call can go on, or the wait that it began can end.
fn can_go(fixture: &mut Fixture, client: SessionId, object: &ObjectRef, method: Method) -> bool {
    let call = Call { object: object.id(), method, args: vec![], timeout: None, thread: 1 };
    match fixture.ask(client, Request::Look(call)) {
        Some(Ok(Reply::Look { can_go, .. })) => can_go,
        other => panic!("{other:?}"),
    }
}

fn end_wait(fixture: &mut Fixture, client: SessionId, in_time: bool) -> Vec<(SessionId, Result<Reply, Failure>)> {
    assert_eq!(fixture.ask(client, Request::EndWait { in_time }), Some(Ok(Reply::DONE)));
    fixture.completed()
}

fn three(kind: Kind, with: &str) -> (Fixture, [SessionId; 3], ObjectRef) {
    let mut fixture = Fixture::new();
    let clients = [(); 3].map(|()| fixture.client());
    let object = fixture.make(clients[0], kind, args(with));
    clients[1..].iter().for_each(|other| fixture.give(clients[0], *other, &object));
    (fixture, clients, object)
}

#[test]
fn notified_waiter_acquires_the_lock_when_it_is_told_to() {
    let (mut fixture, [a, b, c], condition) = three(Kind::Condition, "[]");
    let fixture = &mut fixture;
    assert!(matches!(step(fixture, a, &condition, Method::Acquire), Some(Ok(Reply::Acquired { .. }))));
    assert_eq!(step(fixture, a, &condition, Method::Wait), Some(Ok(Reply::Waits)));
    assert!(!can_go(fixture, a, &condition, Method::Wait) && can_go(fixture, b, &condition, Method::Acquire));
    step(fixture, b, &condition, Method::Acquire);
    step(fixture, b, &condition, Method::Notify);
    assert!(!can_go(fixture, a, &condition, Method::Wait), "the lock is held");
    step(fixture, b, &condition, Method::Release);
    assert_eq!(fixture.completed(), []);
    // Another is first.
    assert!(can_go(fixture, a, &condition, Method::Wait) && can_go(fixture, c, &condition, Method::Acquire));
    step(fixture, c, &condition, Method::Acquire);
    assert!(!can_go(fixture, a, &condition, Method::Wait));
    step(fixture, c, &condition, Method::Release);
    let woken = Reply::Woken { notified: true, abandoned: false };
    assert_eq!(end_wait(fixture, a, true), [(a, Ok(woken))]);
    assert!(!can_go(fixture, c, &condition, Method::Acquire));
}

#[test]
fn waiter_that_gives_up_has_to_acquire_the_lock_again() {
    let (mut fixture, [a, b, _], condition) = three(Kind::Condition, "[]");
    let fixture = &mut fixture;
    step(fixture, a, &condition, Method::Acquire);
    step(fixture, a, &condition, Method::Wait);
    step(fixture, b, &condition, Method::Acquire);
    assert_eq!(end_wait(fixture, a, false), []);
    assert!(!can_go(fixture, a, &condition, Method::Wait));
    // The holder dies: the waiter is told.
    assert_eq!(fixture.leave(b), []);
    assert!(can_go(fixture, a, &condition, Method::Wait));
    let woken = Reply::Woken { notified: false, abandoned: true };
    assert_eq!(end_wait(fixture, a, true), [(a, Ok(woken))]);
}

#[test]
fn notification_of_a_waiter_that_dies_goes_to_the_next() {
    let (mut fixture, [a, b, c], condition) = three(Kind::Condition, "[]");
    let fixture = &mut fixture;
    for waiter in [a, b] {
        step(fixture, waiter, &condition, Method::Acquire);
        step(fixture, waiter, &condition, Method::Wait);
    }
    for method in [Method::Acquire, Method::Notify, Method::Release] {
        step(fixture, c, &condition, method);
    }
    assert!(can_go(fixture, a, &condition, Method::Wait) && !can_go(fixture, b, &condition, Method::Wait));
    assert_eq!(fixture.leave(a), []);
    assert!(can_go(fixture, b, &condition, Method::Wait));
}

#[test]
fn party_waits_until_the_others_come_or_it_gives_up() {
    let (mut fixture, [a, b, c], barrier) = three(Kind::Barrier, "[2]");
    let fixture = &mut fixture;
    assert_eq!(step(fixture, a, &barrier, Method::Wait), Some(Ok(Reply::Waits)));
    assert!(!can_go(fixture, a, &barrier, Method::Wait));
    assert_eq!(step(fixture, b, &barrier, Method::Wait), None);
    let both = [a, b].into_iter().zip(0..).map(|(to, index)| (to, Ok(Reply::Arrived { index, leads: false })));
    assert_eq!(fixture.completed(), both.collect::<Vec<_>>());
    assert!(can_go(fixture, a, &barrier, Method::Wait));
    assert_eq!(end_wait(fixture, a, true), [], "its answer was sent");
    assert_eq!(step(fixture, c, &barrier, Method::Wait), Some(Ok(Reply::Waits)));
    assert_eq!(end_wait(fixture, c, false), [(c, Ok(Reply::NotInTime))]);
    let broken = Failure::BrokenBarrier(BreakCause::TimedOut);
    assert_eq!(step(fixture, a, &barrier, Method::Wait), Some(Err(broken)));
}

#[test]
fn call_that_cannot_go_on_does_not_wait() {
    let (mut fixture, [a, b, _], lock) = three(Kind::Lock, "[]");
    let fixture = &mut fixture;
    step(fixture, a, &lock, Method::Acquire);
    assert!(!can_go(fixture, b, &lock, Method::Acquire));
    assert_eq!(step(fixture, b, &lock, Method::Acquire), Some(Ok(Reply::NotInTime)));
    step(fixture, a, &lock, Method::Release);
    assert_eq!(fixture.completed(), []);
    assert!(can_go(fixture, b, &lock, Method::Acquire));
}
