//! The form in which a role goes to its worker: everything that serde can say arrives equal.
//!
//! # State
//! A value is one tag byte and what belongs to it. Unlike in JSON, CBOR and MessagePack, `Some`, `None` and `()` have tags
//! of their own, numbers keep their width and all their bits, a key may be any value, and strings need not be text. Unlike
//! in postcard, every value says what it is, so that flattened fields and untagged and internally tagged enums can be read.
//! Structs are maps with their fields' names; a newtype struct is what it contains. Lists and maps end with a tag.
//!
//! What serde itself cannot say is refused where it is written: a path that is not UTF-8 (an `OsString` may be), and values
//! nested deeper than [`MOST_LEVELS`]. Not said by serde are 128-bit integers in flattened fields and in untagged and
//! internally tagged enums: reading them fails.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::reader::Reader;
use self::writer::Writer;

/// How deep values may be nested: each level takes a few hundred bytes of the stack, in the parent and in the worker.
const MOST_LEVELS: u32 = 2048;

/// Why a role cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The type's own `Serialize` or `Deserialize` refuses it.
    #[error("{0}")]
    Refused(String),
    /// Values are nested too deep.
    #[error("it is nested deeper than {limit} levels")]
    TooDeep {
        /// The deepest that is taken.
        limit: u32,
    },
    /// The bytes are not the form of the type, or end too early.
    #[error("the bytes at {at} are not the form of a value")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("{bytes} bytes are left over")]
    LeftOver {
        /// How many.
        bytes: usize,
    },
}

impl serde::ser::Error for CodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        CodecError::Refused(message.to_string())
    }
}

impl serde::de::Error for CodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        CodecError::Refused(message.to_string())
    }
}

/// The bytes of `value`.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut writer = Writer::default();
    value.serialize(&mut writer)?;
    Ok(writer.into_bytes())
}

/// The value of `bytes`, all of them.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = Reader::of(bytes);
    let value = T::deserialize(&mut reader)?;
    match reader.left() {
        0 => Ok(value),
        bytes => Err(CodecError::LeftOver { bytes }),
    }
}

/// Declares the tags, and how a byte is read as one.
macro_rules! tags {
    ($($tag:ident),* $(,)?) => {
        /// What follows in the bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Tag { $($tag),* }

        impl Tag {
            fn from_byte(byte: u8) -> Option<Tag> {
                [$(Tag::$tag),*].get(usize::from(byte)).copied()
            }
        }
    };
}
tags! {
    None, Some, Unit, False, True, U8, U16, U32, U64, U128, I8, I16, I32, I64, I128, F32, F64, Char, Str, Bytes,
    List, Map, End,
    // An enum's variant: its name, and what it holds.
    UnitVariant, Variant,
}
