//! Requirements on the items of a queue, and their check in debug builds.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values can be put into a queue. Implemented for every type that serde can serialise and deserialise.
///
/// Items are written with postcard, which writes values but neither names nor types. A reader must know what comes
/// next. So neither the item's type nor any type in it may have an attribute that makes serde write more or less than
/// it reads, or that requires it to see a value before its type is known:
///
/// - `skip_serializing`, `skip_serializing_if` and `skip_deserializing` of a field or a variant;
/// - `skip` of a variant that precedes others: each of those would be read as its neighbour;
/// - `untagged`, `tag`, `flatten`, and types that deserialise that way, such as `serde_json::Value`.
///
/// `skip` of a field, `default`, `rename`, `with` and `transparent` work.
///
/// With debug assertions each put decodes its own bytes and refuses an item that does not survive:
/// [`Error::ItemChanged`](crate::Error::ItemChanged). Without them such an item fails when it is got, or is
/// decoded as another value.
pub trait Item: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> Item for T {}

/// Decodes an item, encodes the result, and compares.
#[cfg(debug_assertions)]
pub(crate) fn check_survives<T: Item>(bytes: &[u8]) -> crate::ipc::error::Result<()> {
    let changed = |source| crate::ipc::error::Error::ItemChanged { type_name: std::any::type_name::<T>(), source };
    let (copy, left) = postcard::take_from_bytes::<T>(bytes).map_err(|error| changed(Some(error)))?;
    let mut again = postcard::to_stdvec(&copy).map_err(|error| changed(Some(error)))?;
    if !left.is_empty() {
        return Err(changed(None));
    }
    if again != bytes {
        // A `HashMap` may write its entries in a different order each time.
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        again.sort_unstable();
        if again != bytes {
            return Err(changed(None));
        }
    }
    Ok(())
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;
    use crate::ipc::error::Error;
    use crate::ipc::queue::encoding;

    fn check<T: Item>(item: &T) -> crate::ipc::error::Result<()> {
        check_survives::<T>(&postcard::to_stdvec(item).expect("it has a form"))
    }

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    enum Skips {
        First,
        #[serde(skip)]
        #[allow(dead_code, reason = "the tests are about what is behind it")]
        Second,
        Third,
        Fourth,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct SkipsIf {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first: Option<u8>,
        second: (u8, u8),
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct NotRead {
        #[serde(skip_deserializing)]
        first: u8,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Fine {
        #[serde(skip)]
        #[allow(dead_code, reason = "it is there to be skipped")]
        skipped: u8,
        #[serde(default, rename = "other")]
        renamed: Option<f64>,
        text: String,
    }

    fn assert_changed<T: Item + Debug>(item: &T) {
        let refused = check(item).expect_err("it is not what is read");
        let Error::ItemChanged { type_name, .. } = refused else { panic!("{refused}") };
        assert_eq!(type_name, std::any::type_name::<T>());
    }

    #[test]
    fn item_that_does_not_survive_is_refused_with_its_type() {
        assert_changed(&Skips::Third);
        assert_changed(&Skips::Fourth);
        assert_changed(&SkipsIf { first: None, second: (1, 2) });
        assert_changed(&Untagged::Number(1));
        assert_changed(&NotRead { first: 1 });
    }

    #[test]
    fn item_that_survives_is_put() {
        check(&Skips::First).expect("nothing is skipped before it");
        check(&SkipsIf { first: Some(1), second: (1, 2) }).expect("nothing is skipped");
        check(&Fine { skipped: 1, renamed: Some(f64::NAN), text: "x".into() }).expect("it is what is read");
        check(&(0..100).map(|number| (number, number.to_string())).collect::<HashMap<_, _>>()).expect("a map");
        check(&(0..100_u8).collect::<HashSet<_>>()).expect("a set");
        check(&[Some(None), Some(Some(())), None]).expect("options of options");
    }

    #[test]
    fn bytes_left_over_are_an_error() {
        assert!(matches!(encoding::decode::<u8>(&[1, 2]), Err(Error::Codec { .. })));
        assert_eq!(encoding::decode::<u8>(&[1]).expect("one byte"), 1);
    }
}
