//! The serialised form of roles, items and messages: everything that serde can represent arrives equal.
//!
//! # State
//! A value is one tag byte and its content. Unlike in JSON, CBOR and MessagePack, `Some`, `None` and `()` have their
//! own tags, numbers keep their width and all their bits, a key may be any value, and strings need not be text. Unlike
//! in postcard, every value is self-describing, so flattened fields and untagged and internally tagged enums can be
//! read. Structs are maps with their fields' names; a newtype struct is what it contains. Lists and maps end with a
//! tag.
//!
//! Measured against postcard, which is not self-describing, for encoding and decoding together: a `u64` and a KiB of
//! bytes take no longer, 64 KiB the same; a struct of four fields 1.5 to 2.8 times as long, for the names.
//!
//! What serde itself cannot represent is refused when it is written: a path that is not UTF-8 (an `OsString` may be),
//! and values nested deeper than [`MOST_LEVELS`]. serde does not support 128-bit integers in flattened fields and in
//! untagged and internally tagged enums: reading them fails.

mod byte_list;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::reader::Reader;
use self::writer::Writer;

/// Maximum nesting depth of values: each level uses a few hundred bytes of stack, in the parent and in the worker.
const MOST_LEVELS: u32 = 2048;

/// In place of a length that does not fit into a byte; the length follows in eight.
const LONG: u8 = u8::MAX;

/// Why a value cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The type's own `Serialize` or `Deserialize` refuses it.
    #[error("{0}")]
    Refused(String),
    /// Values are nested too deeply.
    #[error("it is nested deeper than {limit} levels")]
    TooDeep {
        /// The maximum depth.
        limit: u32,
    },
    /// The bytes are not a valid value of the type, or end too early.
    #[error("the bytes at {at} are not the form of a value")]
    Malformed {
        /// The offset of the invalid bytes.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("{bytes} bytes are left over")]
    LeftOver {
        /// Number of these bytes.
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

/// The error of a list or map of which a type has not read all.
fn more_elements() -> CodecError {
    serde::de::Error::custom("it has more elements than its type")
}

/// Destination of the bytes of a value.
pub(crate) trait Sink {
    /// Appends bytes. Inlined, because most lengths are known at compile time.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends the bytes of `value` to `sink`: at least one. After an error, what was appended is unspecified.
#[inline]
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, sink: &mut impl Sink) -> Result<(), CodecError> {
    value.serialize(&mut Writer::to(sink))
}

/// Encodes `value`.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    write(value, &mut bytes)?;
    Ok(bytes)
}

/// Decodes a value that consists of all of `bytes`.
#[inline]
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match take_from_slice(bytes)? {
        (value, []) => Ok(value),
        (_, left) => Err(CodecError::LeftOver { bytes: left.len() }),
    }
}

/// Decodes a value at the beginning of `bytes`, and returns the rest of them.
#[inline]
pub(crate) fn take_from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), CodecError> {
    let mut reader = Reader::of(bytes);
    let value = T::deserialize(&mut reader)?;
    Ok((value, reader.left()))
}

/// Declares the tags, and their decoding from a byte.
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
    // A list of bytes.
    ByteList,
}
