//! Requirements on the items of a queue.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values can be put into a queue. Implemented for every type that serde can serialise and deserialise.
///
/// Items are written in a self-describing form, with the names of fields and variants. So every serde attribute works:
/// `untagged`, `tag`, `flatten`, `skip`, `skip_serializing_if` with `default`; and so do types that deserialise
/// themselves, such as `serde_json::Value`. An item arrives equal, or the put or the get returns
/// [`Error::Codec`](crate::Error::Codec).
pub trait Item: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> Item for T {}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;
    use crate::queue::PutError;
    use crate::{Error, Queue};

    #[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
    enum Skips {
        First,
        #[serde(skip)]
        Second,
        Third,
    }

    #[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
    struct SkipsIf {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first: Option<u8>,
        second: (u8, u8),
    }

    #[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
    #[serde(untagged)]
    enum Untagged {
        Text(String),
        Number(u8),
    }

    fn arrives<T: Item + Debug + PartialEq + Clone>(item: T) {
        let queue = Queue::new().expect("a queue");
        queue.put(item.clone()).expect("it has a form");
        assert_eq!(queue.get().expect("it was put"), item);
    }

    #[test]
    fn items_of_every_kind_arrive_equal() {
        arrives([Skips::First, Skips::Third]);
        arrives([SkipsIf { first: None, second: (1, 2) }, SkipsIf { first: Some(3), second: (1, 2) }]);
        arrives([Untagged::Number(1), Untagged::Text("1".to_owned())]);
        arrives(serde_json::json!({ "list": [1, -2, 0.5, null, "text"] }));
        arrives([None, Some(None), Some(Some(()))]);
    }

    #[test]
    fn item_without_a_form_is_refused_by_the_put() {
        let queue = Queue::new().expect("a queue");
        let refused = queue.put(Skips::Second).expect_err("it is skipped");
        assert!(matches!(refused, PutError::Failed(Skips::Second, Error::Codec { .. })), "{refused:?}");
        assert!(queue.is_empty());
    }
}
