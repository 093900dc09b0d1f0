//! Every method of the types that hold data.

use super::*;

/// Calls methods in order and compares answers, in JSON's notation; an error is its message.
fn script(kind: Kind, arguments: &str, steps: &[(Method, &str, &str)]) {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let object = fixture.make(client, kind, args(arguments));
    for (method, arguments, expected) in steps {
        let answer = match fixture.call(client, &object, *method, args(arguments)) {
            Some(Ok(Reply::Variant(variant))) => variant.to_string(),
            Some(Ok(Reply::Swapped(Swap { swapped, found }))) => {
                format!("{swapped} {}", found.map_or("-".into(), |f| f.to_string()))
            }
            Some(Err(failure)) => failure.to_string(),
            other => panic!("{method} came to {other:?}"),
        };
        assert_eq!(answer, *expected, "{kind}.{method}{arguments}");
    }
}

#[test]
fn dict_has_every_method_of_python_s() {
    use Method::*;
    script(
        Kind::Dict,
        r#"[{"a":1}]"#,
        &[
            (SetItem, r#"["b", [2]]"#, "null"),
            (GetItem, r#"["b"]"#, "[2]"),
            (GetItem, r#"["c"]"#, r#"no such key: "c""#),
            (GetItem, r#"[[]]"#, "a list cannot be a key"),
            (Get, r#"["c"]"#, "null"),
            (Get, r#"["c", 7]"#, "7"),
            (Contains, r#"["a"]"#, "true"),
            (Contains, r#"["c"]"#, "false"),
            (Len, "[]", "2"),
            (Keys, "[]", r#"["a","b"]"#),
            (Values, "[]", "[1,[2]]"),
            (Items, "[]", r#"[["a",1],["b",[2]]]"#),
            (Reversed, "[]", r#"["b","a"]"#),
            (Copy, "[]", r#"{"a":1,"b":[2]}"#),
            (SetDefault, r#"["a", 5]"#, "1"),
            (SetDefault, r#"["d"]"#, "null"),
            (Update, r#"[{"a":3,"e":4}]"#, "null"),
            (Update, r#"[[["a", 4], [5, 6]]]"#, "null"),
            (Or, r#"[{"z":0}]"#, r#"{"$dict":[["a",4],["b",[2]],["d",null],["e",4],[5,6],["z",0]]}"#),
            (FromKeys, r#"[["x","y"], 1]"#, r#"{"x":1,"y":1}"#),
            (PopItem, "[]", "[5,6]"),
            (Pop, r#"["a"]"#, "4"),
            (Pop, r#"["a"]"#, r#"no such key: "a""#),
            (Pop, r#"["a", 9]"#, "9"),
            (DelItem, r#"["b"]"#, "null"),
            (DelItem, r#"["b"]"#, r#"no such key: "b""#),
            (Len, "[1]", "len takes no arguments, and 1 was given"),
            (Append, "[1]", "dict has no method append"),
            (Clear, "[]", "null"),
            (PopItem, "[]", "dict is empty"),
            (Snapshot, "[]", "{}"),
        ],
    );
}

#[test]
fn one_key_for_equal_numbers() {
    script(
        Kind::Dict,
        "[]",
        &[
            (Method::SetItem, r#"[1, "one"]"#, "null"),
            (Method::SetItem, r#"[1.0, "float"]"#, "null"),
            (Method::SetItem, r#"[true, "bool"]"#, "null"),
            (Method::Items, "[]", r#"[[1,"bool"]]"#),
        ],
    );
}

#[test]
fn list_has_every_method_of_python_s() {
    use Method::*;
    script(
        Kind::List,
        "[[3,1,2]]",
        &[
            (Len, "[]", "3"),
            (Append, "[1]", "null"),
            (Extend, "[[5,4]]", "null"),
            (GetItem, "[-1]", "4"),
            (GetItem, "[6]", "index out of range"),
            (SetItem, "[0, 9]", "null"),
            (DelItem, "[0]", "null"),
            (Insert, "[-100, 0]", "null"),
            (Insert, "[100, 6]", "null"),
            (Copy, "[]", "[0,1,2,1,5,4,6]"),
            (Contains, "[5.0]", "true"),
            (Count, "[1]", "2"),
            (Index, "[1]", "1"),
            (Index, "[1, 2]", "3"),
            (Index, "[1, 2, 3]", "no such item in the list"),
            (Remove, "[1]", "null"),
            (Remove, "[77]", "no such item in the list"),
            (Pop, "[]", "6"),
            (Pop, "[0]", "0"),
            (Pop, "[9]", "index out of range"),
            (Sort, "[]", "null"),
            (Snapshot, "[]", "[1,2,4,5]"),
            (Sort, "[true]", "null"),
            (Reversed, "[]", "[1,2,4,5]"),
            (Reverse, "[]", "null"),
            (GetSlice, "[1, null, 2]", "[2,5]"),
            (SetSlice, "[1, 3, null, [7,8,9]]", "null"),
            (SetSlice, "[0, null, 2, [0,0]]", "cannot assign 2 elements to a slice of 3"),
            (SetSlice, "[null, null, -2, [30,20,10]]", "null"),
            (Copy, "[]", "[10,7,20,9,30]"),
            (DelSlice, "[null, null, 2]", "null"),
            (Concat, r#"[["x"]]"#, r#"[7,9,"x"]"#),
            (Repeat, "[2]", "[7,9,7,9]"),
            (RepeatInPlace, "[2]", "null"),
            (Len, "[]", "4"),
            (Repeat, "[-1]", "[]"),
            (Repeat, "[9999999999]", "a list of at most 16777216 items expected, more given"),
            (Append, r#"["text"]"#, "null"),
            (Sort, "[]", "cannot compare a whole number with text"),
            (Copy, "[]", r#"[7,9,7,9,"text"]"#),
            (Clear, "[]", "null"),
            (Pop, "[]", "list is empty"),
            (Keys, "[]", "list has no method keys"),
        ],
    );
}

#[test]
fn namespace_has_attributes() {
    use Method::*;
    script(
        Kind::Namespace,
        r#"[{"x":1}]"#,
        &[
            (GetItem, r#"["x"]"#, "1"),
            (GetItem, r#"["y"]"#, "no such attribute: y"),
            (SetItem, r#"["y", 2]"#, "null"),
            (Contains, r#"["y"]"#, "true"),
            (DelItem, r#"["x"]"#, "null"),
            (Add, r#"["y", 3]"#, "5"),
            (Update, r#"[{"z":1}]"#, "null"),
            (Update, "[[[1,2]]]", "a name expected, a whole number given"),
            (SetItem, "[1, 2]", "set_item NAME: text expected, a whole number given"),
            (Copy, "[]", r#"{"y":5,"z":1}"#),
        ],
    );
}

#[test]
fn value_is_any_data() {
    use Method::*;
    script(
        Kind::Value,
        r#"["i", 1]"#,
        &[
            (Get, "[]", "1"),
            (Set, r#"["not checked"]"#, "null"),
            (Typecode, "[]", r#""i""#),
            (Add, "[1]", "a number expected, text given"),
            (Set, "[18446744073709551615]", "null"),
            (Add, "[1]", "a whole number does not fit 64 bits"),
            (Add, "[-18]", "18446744073709551597"),
            (CompareAndSwap, "[[5], [6]]", "false 18446744073709551597"),
            (CompareAndSwap, "[[18446744073709551597], [6]]", "true 18446744073709551597"),
            (Get, "[]", "6"),
        ],
    );
}

#[test]
fn array_checks_type_and_range() {
    use Method::*;
    script(
        Kind::Array,
        r#"["b", 3]"#,
        &[
            (Len, "[]", "3"),
            (SetItem, "[0, -128]", "null"),
            (SetItem, "[0, 128]", "128 does not fit an element of type 'b'"),
            (SetItem, "[0, 1.5]", "a whole number for typecode 'b' expected, a float given"),
            (SetItem, "[3, 1]", "index out of range"),
            (GetItem, "[-3]", "-128"),
            (SetSlice, "[1, null, null, [1, 2]]", "null"),
            (SetSlice, "[1, null, null, [1]]", "cannot assign 1 elements to a slice of 2"),
            (SetSlice, "[0, null, null, [1, 2, 300]]", "300 does not fit an element of type 'b'"),
            (Copy, "[]", "[-128,1,2]"),
            (GetSlice, "[null, null, -1]", "[2,1,-128]"),
            (Add, "[1, 5]", "6"),
            (Add, "[1, 127]", "133 does not fit an element of type 'b'"),
            (CompareAndSwap, "[1, [6], [0]]", "true 6"),
            (Typecode, "[]", r#""b""#),
        ],
    );
    script(Kind::Array, r#"["d", [1, 2.5]]"#, &[(Copy, "[]", "[1.0,2.5]")]);
    script(Kind::Array, r#"["Q", [18446744073709551615]]"#, &[(GetItem, "[0]", "18446744073709551615")]);
    script(Kind::Array, r#"["u", ["ä"]]"#, &[(GetItem, "[0]", r#""ä""#)]);
    script(Kind::Array, r#"["c", {"$bytes":"6869"}]"#, &[(GetItem, "[1]", r#"{"$bytes":"69"}"#)]);
    let mut fixture = Fixture::new();
    let client = fixture.client();
    for bad in [r#"["x", 1]"#, r#"["b", -1]"#, r#"["b", 999999999999]"#, r#"["ii", 1]"#] {
        let refused = fixture.ask(client, Request::Create { kind: Kind::Array, args: args(bad), name: None });
        assert!(matches!(refused, Some(Err(Failure::BadArgument { .. }))), "{bad}: {refused:?}");
    }
}

#[test]
fn changes_by_path_reach_inside() {
    use Method::*;
    script(
        Kind::Dict,
        r#"[{"a":{"b":[1,2,{"c":3}]}}]"#,
        &[
            (GetAt, r#"[["a","b",2,"c"]]"#, "3"),
            (GetAt, r#"[["a","x","y"]]"#, r#"no such key: "x""#),
            (GetAt, r#"[["a","b",9]]"#, "index out of range"),
            (GetAt, r#"[["a","b",0,"c"]]"#, r#"a list or a dict before "c" expected, a whole number given"#),
            (AddAt, r#"[["a","b",2,"c"], 4]"#, "7"),
            (AddAt, r#"[["a","n"], 1, 10]"#, "11"),
            (AddAt, r#"[["a","m"], 1]"#, r#"no such key: "m""#),
            (PushAt, r#"[["a","b"], "new"]"#, "4"),
            (PushAt, r#"[["a"], "new"]"#, "a list to push to expected, a dict given"),
            (SetAt, r#"[["a","b",0], 0]"#, "null"),
            (RemoveAt, r#"[["a","b",1]]"#, "2"),
            (CompareAndSwapAt, r#"[["a","k"], [], [1]]"#, "true -"),
            (CompareAndSwapAt, r#"[["a","k"], [], [2]]"#, "false 1"),
            (CompareAndSwapAt, r#"[["a","k"], [1], []]"#, "true 1"),
            (CompareAndSwap, r#"["z", [], [0]]"#, "true -"),
            (Add, r#"["z", 1.5]"#, "1.5"),
            (Copy, "[]", r#"{"a":{"b":[0,{"c":7},"new"],"n":11},"z":1.5}"#),
            (GetAt, "[[]]", "a path expected, nothing given"),
        ],
    );
}

#[test]
fn too_deep_is_refused_wherever_it_comes_from() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let list = fixture.make(client, Kind::List, vec![]);
    let nested = |depth| (0..depth).fold(Variant::from(1), |inner, _| Variant::from(vec![inner]));
    assert_eq!(fixture.fail(client, &list, Method::Append, vec![nested(DEPTH_LIMIT + 1)]), Failure::TooDeep);
    fixture.get(client, &list, Method::Append, vec![nested(DEPTH_LIMIT)]);
    // Data that fits by itself may not fit inside other data.
    let path = Variant::from_iter((0..DEPTH_LIMIT).map(|_| Variant::from(0)));
    assert_eq!(fixture.fail(client, &list, Method::PushAt, vec![path, nested(2)]), Failure::TooDeep);
}

#[test]
fn change_through_a_value_that_refers_to_itself_ends() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let value = fixture.make(client, Kind::Value, args(r#"["i", 1]"#));
    fixture.get(client, &value, Method::Set, vec![value.clone().into()]);
    assert_eq!(fixture.fail(client, &value, Method::Add, args("[1]")), Failure::TooDeep);
}

#[test]
fn what_there_is_no_memory_for_is_refused() {
    let mut fixture = Fixture::new();
    let client = fixture.client();
    let large = 1_u64 << 18;
    let array = fixture.make(client, Kind::Array, vec!["d".into(), large.into()]);
    let list = fixture.make(client, Kind::List, args("[[1]]"));
    fixture.store.memory = Some(|bytes| bytes < 1 << 20);
    let make = Request::Create { kind: Kind::Array, args: vec!["b".into(), large.into()], name: None };
    assert_eq!(fixture.ask(client, make), Some(Err(Failure::OutOfMemory { bytes: 1 << 21 })));
    for method in [Method::Copy, Method::Snapshot, Method::GetSlice] {
        assert!(matches!(fixture.fail(client, &array, method, vec![]), Failure::OutOfMemory { .. }), "{method}");
    }
    for method in [Method::Repeat, Method::RepeatInPlace] {
        assert!(
            matches!(fixture.fail(client, &list, method, vec![large.into()]), Failure::OutOfMemory { .. }),
            "{method}"
        );
    }
    assert_eq!(fixture.get(client, &array, Method::Len, vec![]), large.into());
    assert_eq!(fixture.get(client, &list, Method::Copy, vec![]), json("[1]"));
    let few = vec![Variant::Null, 9.into()];
    assert_eq!(fixture.get(client, &array, Method::GetSlice, few).as_list().map(<[_]>::len), Some(9));
}
