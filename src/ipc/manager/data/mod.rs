//! What the manager's objects hold: plain data, JSON-like, with bytes and with references to other objects.
//!
//! | file | what it is |
//! |---|---|
//! | `variant` | [`Variant`], one piece of data of any shape |
//! | `int` | [`Int`], a 64-bit integer, signed or unsigned |
//! | `key` | [`Key`], a key of a dict |
//! | `map` | [`Map`], a dict that keeps the order of insertion |
//! | `order` | sorting and adding by Python's rules |
//! | `reference` | [`ObjectRef`], a reference to another object; [`Kind`], the types of objects |
//! | `decode` | decoding data from a peer, with a limit on its depth |
//! | `json` | to and from JSON |

/// Defines how a type is made from others.
macro_rules! conversions {
    ($into:ty: $($($from:ty)|+, $value:ident => $made:expr;)*) => {$($(
        impl From<$from> for $into {
            fn from($value: $from) -> Self {
                $made
            }
        }
    )+)*};
}

mod decode;
mod int;
mod json;
mod key;
mod map;
mod order;
mod reference;
mod variant;

#[cfg(test)]
pub(crate) use decode::tests::any_datum;
pub use int::{Beyond64Bits, Int};
pub use json::JsonError;
pub use key::{Key, Unhashable};
pub use map::Map;
pub use order::NotComparable;
pub(crate) use order::{add, compare};
pub(crate) use reference::Keeper;
pub use reference::{Kind, ObjectId, ObjectRef};
pub use variant::{Tagged, Variant};

/// How deeply lists and dicts may be nested inside one stored piece of data.
pub const DEPTH_LIMIT: usize = 100;
