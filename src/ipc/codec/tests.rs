//! Everything that serde can represent arrives equal.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::*;

fn again<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, CodecError> {
    from_slice(&to_vec(value)?)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct UnitStruct;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Newtype<T>(T);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair<T>(T, Option<T>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Struct<T> {
    field: T,
    option: Option<T>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum External<T> {
    Unit,
    Newtype(T),
    Tuple(T, u8),
    Struct { field: T, unit: Option<()> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tag")]
enum Internal<T> {
    Unit,
    Newtype(Struct<T>),
    Struct { field: T, unit: Option<()> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tag", content = "content")]
enum Adjacent<T> {
    Unit,
    Newtype(T),
    Tuple(T, u8),
    Struct { field: T, unit: Option<()> },
}

/// A variant that is read only if those before it do not fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<T> {
    Struct { field: T, unit: Option<()> },
    Tuple((), T, u8),
    Newtype(T),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flattened<T> {
    own: T,
    #[serde(flatten)]
    inner: Struct<T>,
    #[serde(flatten)]
    rest: BTreeMap<String, T>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Skipping<T> {
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    left_out: Option<T>,
    last: T,
}

fn none<T>() -> Option<T> {
    None
}

/// Serialises as bytes.
#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visit)
    }
}

/// The bits of a float, so that a NaN equals itself.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct F32(f32);
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct F64(f64);

macro_rules! by_bits {
    ($($float:ident)*) => {$(
        impl PartialEq for $float {
            fn eq(&self, other: &Self) -> bool {
                self.0.to_bits() == other.0.to_bits()
            }
        }

        impl fmt::Debug for $float {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} ({:#x})", self.0, self.0.to_bits())
            }
        }
    )*};
}
by_bits!(F32 F64);

fn equal<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T) {
    assert_eq!(again(&value).as_ref(), Ok(&value), "in {}", std::any::type_name::<T>());
}

/// Checks that `value` arrives equal where its type is known.
fn typed<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug + Clone>(value: &T) {
    let (value, unit) = (|| value.clone(), Some(()));
    equal([None, Some(None), Some(Some(None)), Some(Some(Some(value())))]);
    equal((vec![value(), value()], 1_u8, Newtype(Newtype(Some(value())))));
    equal([Pair(value(), None), Pair(value(), Some(value()))]);
    equal(Struct { field: Some(value()), option: Some(None) });
    equal([External::Unit, External::Newtype(value()), External::Tuple(value(), 1)]);
    equal([External::Struct { field: value(), unit }, External::Struct { field: value(), unit: None }]);
    equal([Adjacent::Unit, Adjacent::Newtype(value()), Adjacent::Tuple(value(), 1)]);
    equal([Adjacent::Struct { field: value(), unit }, Adjacent::Struct { field: value(), unit: None }]);
    equal([Skipping { left_out: None, last: value() }, Skipping { left_out: Some(value()), last: value() }]);
    equal(BTreeMap::from([((1_u8, "one".to_owned()), value()), ((2, String::new()), value())]));
    equal(BTreeMap::from([(None, value()), (Some(None), value()), (Some(Some(1_i64)), value())]));
}

/// Checks the same where serde must first find out the type.
fn untyped<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug + Clone>(value: &T) {
    typed(value);
    let (value, unit) = (|| value.clone(), Some(()));
    let inner = Struct { field: value(), option: Some(value()) };
    let bare = Struct { field: value(), option: None };
    equal([Internal::Unit, Internal::Newtype(inner.clone()), Internal::Newtype(bare.clone())]);
    equal([Internal::Struct { field: value(), unit }, Internal::Struct { field: value(), unit: None }]);
    equal([Untagged::Struct { field: Some(value()), unit }, Untagged::Tuple((), None, 1), Untagged::Newtype(None)]);
    equal(Untagged::Struct { field: value(), unit: None });
    let rest = BTreeMap::from([("rest".to_owned(), value())]);
    equal([Flattened { own: value(), inner, rest }, Flattened { own: value(), inner: bare, rest: BTreeMap::new() }]);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers {
    unsigned: (u64, u32, u16, u8),
    signed: (i64, i32, i16, i8),
    floats: [(F64, F32); 2],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Texts {
    text: String,
    char: char,
    flag: bool,
    bytes: Bytes,
    list: Vec<u8>,
    os: OsString,
    path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Maps {
    numbers: BTreeMap<i16, String>,
    pairs: BTreeMap<(i16, String), i16>,
    options: BTreeMap<Newtype<Option<i16>>, ()>,
    lists: BTreeMap<Vec<String>, Option<()>>,
    chars: BTreeMap<char, Newtype<()>>,
    units: BTreeMap<(), ()>,
    set: BTreeSet<bool>,
}

/// Types that most formats write alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Nothings {
    unit: ((), UnitStruct, [(); 2], Vec<()>),
    options: Vec<Option<Option<Option<()>>>>,
    newtypes: Vec<Newtype<Option<UnitStruct>>>,
    enums: Vec<External<Option<()>>>,
}

/// Enums in enums, and types of the standard library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Mixed {
    internal: Internal<Untagged<u16>>,
    adjacent: Adjacent<Internal<u8>>,
    result: Result<External<External<bool>>, String>,
    address: std::net::IpAddr,
    duration: std::time::Duration,
    json: serde_json::Value,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn numbers_keep_their_width_and_their_bits(bits: u128) {
        typed(&(bits, bits.cast_signed()));
        let bits = bits as u64;
        // Every bit set in the exponent: infinities, and all kinds of NaNs.
        let special = (bits | f64::INFINITY.to_bits(), bits as u32 | f32::INFINITY.to_bits());
        untyped(&Numbers {
            unsigned: (bits, bits as u32, bits as u16, bits as u8),
            signed: (bits.cast_signed(), bits as i32, bits as i16, bits as i8),
            floats: [(bits, bits as u32), special].map(|(f64, f32)| (F64(f64::from_bits(f64)), F32(f32::from_bits(f32)))),
        });
    }

    #[test]
    fn text_and_bytes_arrive_equal(text: String, char: char, list: Vec<u8>, flag: bool) {
        let (bytes, os, path) = (Bytes(list.clone()), OsString::from_vec(list.clone()), PathBuf::from(text.clone()));
        untyped(&Texts { text, char, flag, bytes, list, os, path });
    }

    #[test]
    fn keys_may_be_anything(numbers: Vec<i16>, texts: Vec<String>) {
        let pairs = || numbers.iter().copied().zip(texts.iter().cloned());
        untyped(&Maps {
            numbers: pairs().collect(),
            pairs: pairs().map(|(number, text)| ((number, text), number)).collect(),
            options: pairs().map(|(number, _)| (Newtype(Some(number).filter(|number| *number > 0)), ())).collect(),
            lists: pairs().map(|(number, text)| (vec![text], (number > 0).then_some(()))).collect(),
            chars: pairs().map(|(number, _)| (char::from(number as u8), Newtype(()))).collect(),
            units: pairs().map(|_| ((), ())).collect(),
            set: pairs().map(|(number, _)| number > 0).collect(),
        });
    }
}

#[test]
fn nothing_and_something_are_told_apart() {
    untyped(&());
    untyped(&Nothings {
        unit: ((), UnitStruct, [(); 2], Vec::new()),
        options: vec![None, Some(None), Some(Some(None)), Some(Some(Some(())))],
        newtypes: vec![Newtype(None), Newtype(Some(UnitStruct))],
        enums: vec![External::Newtype(None), External::Newtype(Some(())), External::Struct { field: None, unit: None }],
    });
}

#[test]
fn enums_within_enums_arrive_equal() {
    untyped(&Mixed {
        internal: Internal::Struct { field: Untagged::Newtype(7), unit: Some(()) },
        adjacent: Adjacent::Tuple(Internal::Unit, 3),
        result: Ok(External::Newtype(External::Tuple(true, 1))),
        address: [127, 0, 0, 1].into(),
        duration: std::time::Duration::new(7, 999_999_999),
        json: serde_json::json!({ "null": null, "list": [1, -2, 0.5, "text", {}] }),
    });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested(Option<Box<Nested>>);

fn nested(levels: u32) -> Nested {
    (0..levels).fold(Nested(None), |inner, _| Nested(Some(Box::new(inner))))
}

#[test]
fn deep_values_arrive_and_deeper_ones_are_refused() {
    // Two levels each: a struct and an option.
    let deep = nested(MOST_LEVELS / 2 - 1);
    assert_eq!(again(&deep).as_ref(), Ok(&deep));
    assert_eq!(to_vec(&nested(MOST_LEVELS)), Err(CodecError::TooDeep { limit: MOST_LEVELS }));
}

#[test]
fn what_is_left_over_or_missing_is_an_error() {
    let mut bytes = to_vec(&(1_u8, "text")).expect("a form");
    let whole = bytes.clone();
    bytes.extend([0, 0]);
    assert_eq!(from_slice::<(u8, String)>(&bytes), Err(CodecError::LeftOver { bytes: 2 }));
    for len in 0..whole.len() {
        assert!(matches!(from_slice::<(u8, String)>(&whole[..len]), Err(CodecError::Malformed { .. })), "{len}");
    }
    assert!(matches!(from_slice::<(u8,)>(&whole), Err(CodecError::Refused(_))), "one element more than the type has");
    assert!(matches!(from_slice::<u8>(&[255]), Err(CodecError::Malformed { at: 0 })), "no tag");
}

#[test]
fn what_serde_refuses_is_refused_when_it_is_written() {
    let path = PathBuf::from(OsString::from_vec(vec![b'/', 0xff]));
    assert_eq!(to_vec(&path), Err(CodecError::Refused("path contains invalid UTF-8 characters".to_owned())));
}

#[test]
fn unknown_fields_are_passed_over() {
    #[derive(Debug, PartialEq, Serialize)]
    struct More {
        field: u8,
        other: (u128, External<Bytes>),
        option: Option<u8>,
    }
    let more = More { field: 1, other: (1, External::Struct { field: Bytes(vec![]), unit: None }), option: None };
    let known = from_slice::<Struct<u8>>(&to_vec(&more).expect("a form"));
    assert_eq!(known, Ok(Struct { field: 1, option: None }));
}

#[test]
fn bytes_are_written_in_one_piece_wherever_they_are() {
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let forms = [to_vec(&bytes), to_vec(&bytes[..]), to_vec(&bytes.clone().into_boxed_slice()), to_vec(&Some(&bytes))];
    for form in forms {
        let form = form.expect("a form");
        assert!(form.len() <= 5000 + 11, "{}", form.len());
        assert!(form.ends_with(&bytes));
    }
    typed(&bytes);
    let two = (bytes.clone(), Newtype(bytes.clone()), vec![bytes.clone(), vec![], vec![1]], "text".to_owned());
    equal(two);
    equal((bytes.clone().into_boxed_slice(), std::sync::Arc::<[u8]>::from(bytes.clone()).to_vec()));
    equal(std::collections::VecDeque::from(bytes));
}

#[test]
fn list_of_bytes_can_be_read_as_any_list() {
    let read = to_vec(&[1_u8, 2][..]).expect("a form");
    assert_eq!(from_slice::<Vec<Newtype<u8>>>(&read), Ok(vec![Newtype(1), Newtype(2)]));
    assert_eq!(from_slice::<Vec<Option<u8>>>(&read), Ok(vec![Some(1), Some(2)]));
    assert_eq!(from_slice::<Vec<u64>>(&read), Ok(vec![1, 2]));
    assert_eq!(from_slice::<BTreeSet<u8>>(&read), Ok(BTreeSet::from([1, 2])));
    assert_eq!(from_slice::<(u8, u16)>(&read), Ok((1, 2)));
    assert_eq!(from_slice::<[u8; 2]>(&read), Ok([1, 2]));
    assert_eq!(from_slice::<serde_json::Value>(&read), Ok(serde_json::json!([1, 2])));
    assert!(matches!(from_slice::<(u8,)>(&read), Err(CodecError::Refused(_))), "one element more than the type has");
    assert!(matches!(from_slice::<String>(&read), Err(CodecError::Refused(_))));
    assert!(matches!(from_slice::<Vec<u8>>(&read[..3]), Err(CodecError::Malformed { .. })));
}

/// Reads a vector in its own way.
#[derive(Debug, PartialEq)]
struct Doubled(Vec<u8>);

impl<'de> Deserialize<'de> for Doubled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Doubles;
        impl<'de> Visitor<'de> for Doubles {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<u8>, A::Error> {
                let mut doubled = Vec::with_capacity(elements.size_hint().unwrap_or(0));
                while let Some(number) = elements.next_element::<u8>()? {
                    doubled.push(2 * number);
                }
                Ok(doubled)
            }
        }
        deserializer.deserialize_seq(Doubles).map(Doubled)
    }
}

#[test]
fn visitor_of_another_type_that_makes_a_vector_is_asked() {
    assert_eq!(from_slice(&to_vec(&[1_u8, 2, 3][..]).expect("a form")), Ok(Doubled(vec![2, 4, 6])));
}
