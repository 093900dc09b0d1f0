//! Every type implements what the table says, and nothing else.

use super::*;

/// The minimum number of arguments for the method, so that the call reaches the object.
fn args_of(method: Method, kind: Kind) -> Vec<Variant> {
    match method {
        Method::Add => args(r#"[0, 1]"#),
        Method::CompareAndSwap => args(r#"[0, [], []]"#),
        Method::GetAt | Method::RemoveAt => args(r#"[[0]]"#),
        Method::SetAt | Method::PushAt | Method::AddAt => args(r#"[[0], 1]"#),
        Method::CompareAndSwapAt => args(r#"[[0], [], []]"#),
        _ => match method.signature(kind) {
            Some(signature) => {
                (0..).map(|count| vec![Variant::from(0); count]).find(|args| signature.takes(args.len()))
            }
            None => None,
        }
        .unwrap_or_default(),
    }
}

fn made_with(kind: Kind) -> Vec<Variant> {
    match kind {
        Kind::Barrier => args("[2]"),
        Kind::Value | Kind::Array => args(r#"["i", [1]]"#),
        _ => Vec::new(),
    }
}

#[test]
fn types_serve_what_the_table_says_and_nothing_else() {
    for kind in Kind::ALL {
        let methods = kind.methods();
        for &method in Method::ALL {
            // A fresh object each time, so that effects of a wait or a shutdown do not matter.
            let mut fixture = Fixture::new();
            let client = fixture.client();
            let object = fixture.make(client, kind, made_with(kind));
            let args = args_of(method, kind);
            let answer = fixture.call_for(client, &object, method, args, Some(Duration::ZERO));
            let is_served = !matches!(answer, Some(Err(Failure::NoSuchMethod { .. })));
            assert_eq!(is_served, methods.contains(&method), "{kind} {method}: {answer:?}");
        }
        assert!(methods.iter().enumerate().all(|(at, method)| !methods[..at].contains(method)), "{kind}: named twice");
    }
}
