//! Decoding data from a peer, with a limit on its depth: decoding is recursive.

use std::cell::Cell;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::DEPTH_LIMIT;

/// Higher than for stored data: a copy of a whole object is nested deeper than its items, and so is a call's list of
/// them.
const WIRE_DEPTH: usize = DEPTH_LIMIT + 8;

thread_local! {
    /// How many lists, dicts and tagged data are around what this thread decodes: serde's derived code has no other way
    /// to hand it on.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Decodes the content of a list, a dict or tagged data.
pub(super) fn nested<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    let depth = DEPTH.get();
    if depth == WIRE_DEPTH {
        return Err(D::Error::custom("data is nested too deeply"));
    }
    DEPTH.set(depth + 1);
    let content = T::deserialize(deserializer);
    DEPTH.set(depth);
    content
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ipc::manager::data::{Key, Kind, Map, ObjectId, ObjectRef, Tagged, Variant};
    use proptest::prelude::*;

    /// Arbitrary data.
    pub(crate) fn any_datum() -> impl Strategy<Value = Variant> {
        let leaf = prop_oneof![
            Just(Variant::Null),
            any::<bool>().prop_map(Variant::from),
            any::<i64>().prop_map(Variant::from),
            any::<u64>().prop_map(Variant::from),
            any::<f64>().prop_filter("NaN is not equal to itself", |n| !n.is_nan()).prop_map(Variant::from),
            ".{0,8}".prop_map(Variant::from),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(Variant::bytes),
            any::<u64>().prop_map(|id| ObjectRef::new(ObjectId(id), Kind::Dict, None).into()),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Variant::from),
                prop::collection::vec((".{0,4}", inner.clone()), 0..6).prop_map(|entries| {
                    Variant::from(entries.into_iter().map(|(key, variant)| (Key::from(key), variant)).collect::<Map>())
                }),
                (".{0,4}", prop::collection::vec(inner, 0..3))
                    .prop_map(|(tag, items)| Variant::Tagged(Box::new(Tagged { tag, items }))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn reads_back_what_was_written(variant in any_datum()) {
            let bytes = postcard::to_stdvec(&variant).expect("writable");
            prop_assert_eq!(postcard::from_bytes::<Variant>(&bytes).expect("readable"), variant);
        }

        #[test]
        fn reads_any_bytes_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = postcard::from_bytes::<Variant>(&bytes);
        }
    }

    #[test]
    fn too_deep_is_refused_and_not_followed() {
        let list_of_one = [6_u8, 1];
        for shape in [list_of_one, [7, 1], [9, 0]] {
            let bytes: Vec<u8> = shape.repeat(1_000_000);
            assert!(postcard::from_bytes::<Variant>(&bytes).is_err());
        }
        let mut bytes = list_of_one.repeat(WIRE_DEPTH);
        bytes.push(0);
        assert!(postcard::from_bytes::<Variant>(&bytes).is_ok());
    }

    #[test]
    fn huge_announced_lengths_are_refused_without_room_for_them() {
        for shape in [4, 5, 6, 7] {
            let bytes = [shape, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
            assert!(postcard::from_bytes::<Variant>(&bytes).is_err(), "shape {shape}");
        }
    }

    #[test]
    fn whole_numbers_beyond_64_bits_are_refused() {
        let number = i128::from(u64::MAX) + 1;
        let bytes = postcard::to_stdvec(&(2_u8, number)).expect("writable");
        assert!(postcard::from_bytes::<Variant>(&bytes).is_err());
        let bytes = postcard::to_stdvec(&(2_u8, number - 1)).expect("writable");
        assert_eq!(postcard::from_bytes::<Variant>(&bytes).expect("fits"), Variant::from(u64::MAX));
    }
}
