//! Decoding data from a peer, with a limit on its depth.
//!
//! Decoding is recursive, so the depth is checked first; an announced length is trusted only as far as bytes have
//! arrived.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, de};

use super::DEPTH_LIMIT;
use super::key::Key;
use super::map::Map;
use super::variant::{Tagged, Variant};

/// Higher than for stored data: a copy of a whole object is nested deeper than its items, and so is a call's list of
/// them.
const WIRE_DEPTH: usize = DEPTH_LIMIT + 8;

const VARIANTS: &[&str] = &["Null", "Bool", "Int", "Float", "Str", "Bytes", "List", "Dict", "Object", "Tagged"];

/// The shapes in the order of [`Variant`]'s variants.
#[derive(Deserialize)]
#[serde(variant_identifier)]
enum Shape {
    Null,
    Bool,
    Int,
    Float,
    Str,
    Bytes,
    List,
    Dict,
    Object,
    Tagged,
}

impl<'de> Deserialize<'de> for Variant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Nested(WIRE_DEPTH).deserialize(deserializer)
    }
}

/// Decodes one piece of data with this many more levels of nesting.
#[derive(Clone, Copy)]
struct Nested(usize);

impl Nested {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Nested).ok_or_else(|| E::custom("data is nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Variant;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Variant, D::Error> {
        deserializer.deserialize_enum("Variant", VARIANTS, self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Variant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a datum")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Variant, A::Error> {
        let (shape, content) = data.variant()?;
        Ok(match shape {
            Shape::Null => {
                content.unit_variant()?;
                Variant::Null
            }
            Shape::Bool => Variant::Bool(content.newtype_variant()?),
            Shape::Int => Variant::Int(content.newtype_variant()?),
            Shape::Float => Variant::Float(content.newtype_variant()?),
            Shape::Str => Variant::Str(content.newtype_variant()?),
            Shape::Bytes => Variant::Bytes(content.newtype_variant()?),
            Shape::List => Variant::List(content.newtype_variant_seed(Items(self.deeper()?))?),
            Shape::Dict => Variant::Dict(Box::new(content.newtype_variant_seed(Entries(self.deeper()?))?)),
            Shape::Object => Variant::Object(content.newtype_variant()?),
            Shape::Tagged => Variant::Tagged(Box::new(content.newtype_variant_seed(TaggedItems(self.deeper()?))?)),
        })
    }
}

struct Items(Nested);

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Vec<Variant>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<Variant>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        // The announced length is not trusted: the list starts with a small capacity and grows as items arrive.
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or(0).min(64));
        while let Some(item) = items.next_element_seed(self.0)? {
            list.push(item);
        }
        Ok(list)
    }
}

struct Entries(Nested);

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Map;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Map, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Map;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dict")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Map, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(self.0)? {
            let key = Key::try_from(key).map_err(A::Error::custom)?;
            map.insert(key, entries.next_value_seed(self.0)?);
        }
        Ok(map)
    }
}

struct TaggedItems(Nested);

impl<'de> DeserializeSeed<'de> for TaggedItems {
    type Value = Tagged;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tagged, D::Error> {
        deserializer.deserialize_struct("Tagged", &["tag", "items"], self)
    }
}

impl<'de> Visitor<'de> for TaggedItems {
    type Value = Tagged;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tagged data")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Tagged, A::Error> {
        let missing = |field| move || A::Error::missing_field(field);
        let tag = fields.next_element()?.ok_or_else(missing("tag"))?;
        let items = fields.next_element_seed(Items(self.0))?.ok_or_else(missing("items"))?;
        Ok(Tagged { tag, items })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ipc::manager::data::{Kind, ObjectId, ObjectRef};
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
