//! Objects live exactly as long as somebody refers to them.

use super::*;

#[test]
fn object_dies_with_its_last_client_reference() {
    let mut stage = Stage::new();
    let (a, b) = (stage.client(), stage.client());
    let id = stage.make(a, Kind::Dict, vec![]);
    stage.give(a, b, &id);
    let object = id.id();
    drop(id);
    stage.ask(a, Request::Release { object, count: 1 });
    assert_eq!(stage.objects(), 1, "the other still has it");
    stage.leave(b);
    assert_eq!(stage.objects(), 0);
}

#[test]
fn client_can_use_only_what_it_was_given() {
    let mut stage = Stage::new();
    let (a, b) = (stage.client(), stage.client());
    let list = stage.make(a, Kind::List, vec![]);
    assert_eq!(stage.fail(b, &list, Method::Len, vec![]), Failure::NoSuchObject);
    let own = stage.make(b, Kind::List, vec![]);
    assert_eq!(stage.fail(b, &own, Method::Append, vec![list.clone().into()]), Failure::NoSuchObject);
    assert_eq!(stage.ask(b, Request::TakeLoan { token: LoanToken(5) }), Some(Err(Failure::NoSuchLoan)));
    // A reference of an answer counts as given.
    stage.get(a, &list, Method::Append, vec![list.clone().into()]);
    stage.give(a, b, &list);
    stage.get(b, &own, Method::Append, vec![list.clone().into()]);
}

#[test]
fn dict_in_a_dict_stays_a_reference() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (outer, inner) = (stage.make(client, Kind::Dict, vec![]), stage.make(client, Kind::Dict, vec![]));
    stage.get(client, &outer, Method::SetItem, vec!["d".into(), inner.clone().into()]);
    stage.get(client, &inner, Method::SetItem, args(r#"["x", 1]"#));
    let fetched = stage.get(client, &outer, Method::GetItem, args(r#"["d"]"#));
    assert_eq!(fetched.as_object().map(ObjectRef::id), Some(inner.id()));
    assert_eq!(
        stage.get(client, &outer, Method::GetAt, args(r#"[["d", "x"]]"#)),
        Datum::from(1),
        "a path goes through"
    );
    assert_eq!(stage.get(client, &outer, Method::AddAt, args(r#"[["d", "x"], 4]"#)), Datum::from(5));
    assert_eq!(stage.get(client, &inner, Method::Get, args(r#"["x"]"#)), Datum::from(5));
    let list = stage.make(client, Kind::List, vec![]);
    stage.get(client, &inner, Method::SetItem, vec!["l".into(), list.clone().into()]);
    assert_eq!(stage.get(client, &outer, Method::PushAt, args(r#"[["d", "l"], "pushed"]"#)), Datum::from(1));
    assert_eq!(stage.get(client, &list, Method::Copy, vec![]), json(r#"["pushed"]"#));
}

#[test]
fn nested_reference_keeps_an_object_alive_and_lets_it_go() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (outer, inner) = (stage.make(client, Kind::List, vec![]), stage.make(client, Kind::Dict, vec![]));
    stage.get(client, &outer, Method::Append, vec![json("[1]")]);
    stage.get(client, &outer, Method::Append, vec![Datum::from(vec![inner.clone().into()])]);
    let id = inner.id();
    drop(inner);
    stage.ask(client, Request::Release { object: id, count: 1 });
    assert_eq!(stage.objects(), 2);
    stage.get(client, &outer, Method::Pop, vec![]);
    assert_eq!(stage.objects(), 2, "the answer gave it to the client");
    stage.ask(client, Request::Release { object: id, count: 1 });
    assert_eq!(stage.objects(), 1);
}

#[test]
fn names_keep_objects_until_they_are_taken_away() {
    let mut stage = Stage::new();
    let (a, b) = (stage.client(), stage.client());
    let named = |kind| Request::Create { kind, args: vec![], name: Some("shop".into()) };
    stage.ask(a, named(Kind::Dict)).expect("an answer").expect("made");
    stage.leave(a);
    assert_eq!(stage.objects(), 1);
    let found = stage.ask(b, Request::Lookup { name: "shop".into() });
    assert_eq!(stage.ask(b, named(Kind::Dict)), found, "the same again");
    let taken = Failure::NameTaken { name: "shop".into(), kind: Kind::Dict };
    assert_eq!(stage.ask(b, named(Kind::List)), Some(Err(taken)));
    assert_eq!(stage.ask(b, Request::Names), Some(Ok(json(r#"{"shop":"dict"}"#).into())));
    drop(found);
    stage.ask(b, Request::Unname { name: "shop".into() });
    stage.leave(b);
    assert_eq!(stage.objects(), 0);
}

#[test]
fn loan_keeps_an_object_until_it_is_taken_or_its_lender_leaves() {
    let mut stage = Stage::new();
    let (a, b) = (stage.client(), stage.client());
    let object = stage.make(a, Kind::Dict, vec![]).id();
    stage.ask(a, Request::Lend { object, token: LoanToken(1) });
    stage.ask(a, Request::Lend { object, token: LoanToken(2) });
    stage.ask(a, Request::Lend { object, token: LoanToken(3) });
    stage.ask(a, Request::Release { object, count: 1 });
    assert_eq!(stage.objects(), 1);
    assert!(matches!(stage.ask(b, Request::TakeLoan { token: LoanToken(1) }), Some(Ok(Reply::Object(_)))));
    assert_eq!(stage.ask(b, Request::TakeLoan { token: LoanToken(1) }), Some(Err(Failure::NoSuchLoan)), "once");
    stage.ask(b, Request::Release { object, count: 1 });
    stage.ask(b, Request::EndLoan { token: LoanToken(2) });
    stage.ask(a, Request::EndLoan { token: LoanToken(2) });
    assert_eq!(stage.objects(), 1, "one loan is left");
    stage.leave(a);
    assert_eq!(stage.objects(), 0);
}

#[test]
fn circles_go_when_a_client_leaves() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (stage.make(client, Kind::Dict, vec![]), stage.make(client, Kind::List, vec![]));
    stage.get(client, &a, Method::SetItem, vec!["b".into(), b.clone().into()]);
    stage.get(client, &b, Method::Append, vec![a.clone().into()]);
    stage.get(client, &a, Method::SetItem, vec!["self".into(), a.clone().into()]);
    drop((a, b));
    stage.leave(client);
    assert_eq!(stage.objects(), 0);
}

#[test]
fn waits_at_a_dying_object_end() {
    let mut stage = Stage::new();
    let client = stage.client();
    let event = stage.make(client, Kind::Event, vec![]);
    stage.call(client, &event, Method::Wait, vec![]);
    let object = event.id();
    drop(event);
    stage.ask(client, Request::Release { object, count: 1 });
    assert_eq!(stage.completed(), [(client, Err(Failure::NoSuchObject))]);
    assert_eq!(stage.store.census().waiting, 0);
}
