//! Every type serves what the table says, and nothing else.

use super::*;

/// Every method there is.
fn all() -> impl Iterator<Item = Method> {
    // What is sent of a method is its number.
    (0..=u8::MAX).map_while(|number| postcard::from_bytes(&[number]).ok())
}

/// Arguments with which a method gets past the check of its arguments, if it looks at them before its object.
fn args_of(method: Method) -> Vec<Datum> {
    match method {
        Method::Add => args(r#"[0, 1]"#),
        Method::CompareAndSwap => args(r#"[0, [], []]"#),
        Method::GetAt | Method::RemoveAt => args(r#"[[0]]"#),
        Method::SetAt | Method::PushAt | Method::AddAt => args(r#"[[0], 1]"#),
        Method::CompareAndSwapAt => args(r#"[[0], [], []]"#),
        _ => Vec::new(),
    }
}

fn made_with(kind: Kind) -> Vec<Datum> {
    match kind {
        Kind::Barrier => args("[2]"),
        Kind::Value | Kind::Array => args(r#"["i", [1]]"#),
        _ => Vec::new(),
    }
}

#[test]
fn types_serve_what_the_table_says_and_nothing_else() {
    assert_eq!(all().last(), Some(Method::DeadLetters));
    for kind in Kind::ALL {
        let methods = kind.methods();
        for method in all() {
            // A fresh object each time: what a wait or a shutdown leaves behind does not matter.
            let mut stage = Stage::new();
            let client = stage.client();
            let object = stage.make(client, kind, made_with(kind));
            let answer = stage.call_for(client, &object, method, args_of(method), Patience::NONE);
            let is_served = !matches!(answer, Some(Err(Failure::NoSuchMethod { .. })));
            assert_eq!(is_served, methods.contains(&method), "{kind} {method}: {answer:?}");
        }
        assert!(methods.iter().enumerate().all(|(at, method)| !methods[..at].contains(method)), "{kind}: named twice");
    }
}
