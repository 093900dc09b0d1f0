//! Objects live exactly as long as they are referred to.

use super::*;

#[test]
fn object_dies_with_its_last_client_reference() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.client(), fixture.client());
    let id = fixture.make(a, Kind::Dict, vec![]);
    fixture.give(a, b, &id);
    let object = id.id();
    drop(id);
    fixture.ask(a, Request::Release { object, count: 1 });
    assert_eq!(fixture.objects(), 1, "the other still has it");
    fixture.leave(b);
    assert_eq!(fixture.objects(), 0);
}

#[test]
fn client_can_use_only_what_it_was_given() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.client(), fixture.client());
    let list = fixture.make(a, Kind::List, vec![]);
    assert_eq!(fixture.fail(b, &list, Method::Len, vec![]), Failure::NoSuchObject);
    let own = fixture.make(b, Kind::List, vec![]);
    assert_eq!(fixture.fail(b, &own, Method::Append, vec![list.clone().into()]), Failure::NoSuchObject);
    assert_eq!(fixture.ask(b, Request::Import(TransferToken(5))), Some(Err(Failure::NoSuchTransfer)));
    // A reference in an answer counts as given.
    fixture.get(a, &list, Method::Append, vec![list.clone().into()]);
    fixture.give(a, b, &list);
    fixture.get(b, &own, Method::Append, vec![list.clone().into()]);
}

#[test]
fn dict_in_a_dict_stays_a_reference() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let (outer, inner) = (fixture.make(client, Kind::Dict, vec![]), fixture.make(client, Kind::Dict, vec![]));
    fixture.get(client, &outer, Method::SetItem, vec!["d".into(), inner.clone().into()]);
    fixture.get(client, &inner, Method::SetItem, args(r#"["x", 1]"#));
    let fetched = fixture.get(client, &outer, Method::GetItem, args(r#"["d"]"#));
    assert_eq!(fetched.as_object().map(ObjectRef::id), Some(inner.id()));
    assert_eq!(
        fixture.get(client, &outer, Method::GetAt, args(r#"[["d", "x"]]"#)),
        Variant::from(1),
        "a path goes through"
    );
    assert_eq!(fixture.get(client, &outer, Method::AddAt, args(r#"[["d", "x"], 4]"#)), Variant::from(5));
    assert_eq!(fixture.get(client, &inner, Method::Get, args(r#"["x"]"#)), Variant::from(5));
    let list = fixture.make(client, Kind::List, vec![]);
    fixture.get(client, &inner, Method::SetItem, vec!["l".into(), list.clone().into()]);
    assert_eq!(fixture.get(client, &outer, Method::PushAt, args(r#"[["d", "l"], "pushed"]"#)), Variant::from(1));
    assert_eq!(fixture.get(client, &list, Method::Copy, vec![]), json(r#"["pushed"]"#));
}

#[test]
fn nested_reference_keeps_an_object_alive_and_lets_it_go() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let (outer, inner) = (fixture.make(client, Kind::List, vec![]), fixture.make(client, Kind::Dict, vec![]));
    fixture.get(client, &outer, Method::Append, vec![json("[1]")]);
    fixture.get(client, &outer, Method::Append, vec![Variant::from(vec![inner.clone().into()])]);
    let id = inner.id();
    drop(inner);
    fixture.ask(client, Request::Release { object: id, count: 1 });
    assert_eq!(fixture.objects(), 2);
    fixture.get(client, &outer, Method::Pop, vec![]);
    assert_eq!(fixture.objects(), 2, "the answer gave it to the client");
    fixture.ask(client, Request::Release { object: id, count: 1 });
    assert_eq!(fixture.objects(), 1);
}

#[test]
fn names_keep_objects_until_they_are_taken_away() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.client(), fixture.client());
    let named = |kind| Request::Create { kind, args: vec![], name: Some("shop".into()) };
    fixture.ask(a, named(Kind::Dict)).expect("an answer").expect("made");
    fixture.leave(a);
    assert_eq!(fixture.objects(), 1);
    let found = fixture.ask(b, Request::Lookup("shop".into()));
    assert_eq!(fixture.ask(b, named(Kind::Dict)), found, "the same again");
    let taken = Failure::NameTaken { name: "shop".into(), kind: Kind::Dict };
    assert_eq!(fixture.ask(b, named(Kind::List)), Some(Err(taken)));
    assert_eq!(fixture.ask(b, Request::Names), Some(Ok(json(r#"{"shop":"dict"}"#).into())));
    drop(found);
    fixture.ask(b, Request::RemoveName("shop".into()));
    fixture.leave(b);
    assert_eq!(fixture.objects(), 0);
}

#[test]
fn export_keeps_an_object_until_it_is_imported_or_its_exporter_leaves() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.client(), fixture.client());
    let object = fixture.make(a, Kind::Dict, vec![]).id();
    fixture.ask(a, Request::Export { object, token: TransferToken(1) });
    fixture.ask(a, Request::Export { object, token: TransferToken(2) });
    fixture.ask(a, Request::Export { object, token: TransferToken(3) });
    fixture.ask(a, Request::Release { object, count: 1 });
    assert_eq!(fixture.objects(), 1);
    assert!(matches!(fixture.ask(b, Request::Import(TransferToken(1))), Some(Ok(Reply::Object(_)))));
    assert_eq!(fixture.ask(b, Request::Import(TransferToken(1))), Some(Err(Failure::NoSuchTransfer)), "once");
    fixture.ask(b, Request::Release { object, count: 1 });
    fixture.ask(b, Request::CancelExport(TransferToken(2)));
    fixture.ask(a, Request::CancelExport(TransferToken(2)));
    assert_eq!(fixture.objects(), 1, "one export is left");
    fixture.leave(a);
    assert_eq!(fixture.objects(), 0);
}

#[test]
fn circles_go_when_a_client_leaves() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let (a, b) = (fixture.make(client, Kind::Dict, vec![]), fixture.make(client, Kind::List, vec![]));
    fixture.get(client, &a, Method::SetItem, vec!["b".into(), b.clone().into()]);
    fixture.get(client, &b, Method::Append, vec![a.clone().into()]);
    fixture.get(client, &a, Method::SetItem, vec!["self".into(), a.clone().into()]);
    drop((a, b));
    fixture.leave(client);
    assert_eq!(fixture.objects(), 0);
}

#[test]
fn waits_at_a_dying_object_end() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let event = fixture.make(client, Kind::Event, vec![]);
    fixture.call(client, &event, Method::Wait, vec![]);
    let object = event.id();
    drop(event);
    fixture.ask(client, Request::Release { object, count: 1 });
    assert_eq!(fixture.completed(), [(client, Err(Failure::NoSuchObject))]);
    assert_eq!(fixture.store.status().waiting, 0);
}
