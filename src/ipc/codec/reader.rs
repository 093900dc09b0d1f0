//! Reads values; see [`super`].

use std::iter;

use serde::Deserializer;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::{CodecError, LONG, Tag, byte_list};

type Result<T> = std::result::Result<T, CodecError>;

#[derive(Debug)]
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    #[inline]
    pub(super) fn left(&self) -> &'b [u8] {
        &self.bytes[self.at..]
    }

    fn malformed(&self) -> CodecError {
        CodecError::Malformed { at: self.at }
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8]> {
        let end = self.at.checked_add(len).ok_or(self.malformed())?;
        let bytes = self.bytes.get(self.at..end).ok_or(self.malformed())?;
        self.at = end;
        Ok(bytes)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as long as was asked for"))
    }

    fn peek(&self) -> Result<Tag> {
        self.bytes.get(self.at).and_then(|byte| Tag::from_byte(*byte)).ok_or(self.malformed())
    }

    fn tag(&mut self) -> Result<Tag> {
        let tag = self.peek()?;
        self.at += 1;
        Ok(tag)
    }

    fn sized(&mut self) -> Result<&'b [u8]> {
        let len = match self.take_array()? {
            [LONG] => u64::from_le_bytes(self.take_array()?),
            [len] => u64::from(len),
        };
        self.take(usize::try_from(len).map_err(|_| self.malformed())?)
    }

    fn text(&mut self) -> Result<&'b str> {
        let bytes = self.sized()?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed())
    }

    /// Reads a list or map. The visitor must read all of it.
    fn all<T>(&mut self, read: impl FnOnce(Elements<'_, 'b>) -> Result<T>) -> Result<T> {
        let value = read(Elements(self))?;
        match self.tag()? {
            Tag::End => Ok(value),
            _ => Err(super::more_elements()),
        }
    }

    /// Reads a value of another kind than the type expects. Not inlined.
    #[cold]
    fn unexpected<V: Visitor<'b>>(&mut self, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }

    /// Reads a variant's name. Returns the name and the content as a map with one entry.
    fn variant(&mut self) -> Result<MapDeserializer<'b, iter::Once<(&'b str, &mut Self)>, CodecError>> {
        Ok(MapDeserializer::new(iter::once((self.text()?, self))))
    }
}

impl<'de> IntoDeserializer<'de, CodecError> for &mut Reader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Defines methods for numbers. The bytes are nearly always what the type expects: that path is short enough to inline.
macro_rules! numbers {
    ($($method:ident $visit:ident $tag:ident $type:ty;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.bytes[self.at..].split_first_chunk::<{ 1 + size_of::<$type>() }>() {
                Some(([tag, bytes @ ..], _)) if *tag == Tag::$tag as u8 => {
                    self.at += 1 + size_of::<$type>();
                    visitor.$visit(<$type>::from_le_bytes(*bytes))
                }
                _ => self.unexpected(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = CodecError;

    numbers! {
        deserialize_u8 visit_u8 U8 u8;
        deserialize_u16 visit_u16 U16 u16;
        deserialize_u32 visit_u32 U32 u32;
        deserialize_u64 visit_u64 U64 u64;
        deserialize_u128 visit_u128 U128 u128;
        deserialize_i8 visit_i8 I8 i8;
        deserialize_i16 visit_i16 I16 i16;
        deserialize_i32 visit_i32 I32 i32;
        deserialize_i64 visit_i64 I64 i64;
        deserialize_i128 visit_i128 I128 i128;
        deserialize_f32 visit_f32 F32 f32;
        deserialize_f64 visit_f64 F64 f64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.tag()? {
            Tag::None => visitor.visit_none(),
            Tag::Some => visitor.visit_some(self),
            Tag::Unit => visitor.visit_unit(),
            Tag::False => visitor.visit_bool(false),
            Tag::True => visitor.visit_bool(true),
            Tag::U8 => visitor.visit_u8(u8::from_le_bytes(self.take_array()?)),
            Tag::U16 => visitor.visit_u16(u16::from_le_bytes(self.take_array()?)),
            Tag::U32 => visitor.visit_u32(u32::from_le_bytes(self.take_array()?)),
            Tag::U64 => visitor.visit_u64(u64::from_le_bytes(self.take_array()?)),
            Tag::U128 => visitor.visit_u128(u128::from_le_bytes(self.take_array()?)),
            Tag::I8 => visitor.visit_i8(i8::from_le_bytes(self.take_array()?)),
            Tag::I16 => visitor.visit_i16(i16::from_le_bytes(self.take_array()?)),
            Tag::I32 => visitor.visit_i32(i32::from_le_bytes(self.take_array()?)),
            Tag::I64 => visitor.visit_i64(i64::from_le_bytes(self.take_array()?)),
            Tag::I128 => visitor.visit_i128(i128::from_le_bytes(self.take_array()?)),
            Tag::F32 => visitor.visit_f32(f32::from_le_bytes(self.take_array()?)),
            Tag::F64 => visitor.visit_f64(f64::from_le_bytes(self.take_array()?)),
            Tag::Char => {
                let char = char::from_u32(u32::from_le_bytes(self.take_array()?));
                visitor.visit_char(char.ok_or(self.malformed())?)
            }
            Tag::Str => visitor.visit_borrowed_str(self.text()?),
            Tag::Bytes => visitor.visit_borrowed_bytes(self.sized()?),
            Tag::ByteList => byte_list::visit(self.sized()?, visitor),
            Tag::List => self.all(|elements| visitor.visit_seq(elements)),
            Tag::Map => self.all(|elements| visitor.visit_map(elements)),
            Tag::End => Err(self.malformed()),
            // An enum that is read as another type looks as in JSON: its name, or a map with one entry.
            Tag::UnitVariant => visitor.visit_borrowed_str(self.text()?),
            Tag::Variant => visitor.visit_map(self.variant()?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek()? {
            Tag::None | Tag::Some => self.deserialize_any(visitor),
            // Written by a serialiser that does not use options, such as a `serialize_with`.
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.tag()? {
            // A flattened or tagged enum is read as a string.
            Tag::UnitVariant | Tag::Str => visitor.visit_enum(self.text()?.into_deserializer()),
            Tag::Variant => visitor.visit_enum(MapAccessDeserializer::new(self.variant()?)),
            _ => Err(self.malformed()),
        }
    }

    serde::forward_to_deserialize_any! {
        bool char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The elements of a list, or the keys and values of a map.
struct Elements<'r, 'b>(&'r mut Reader<'b>);

impl<'b> Elements<'_, 'b> {
    fn next<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.0.peek()? {
            Tag::End => Ok(None),
            _ => seed.deserialize(&mut *self.0).map(Some),
        }
    }
}

impl<'b> de::SeqAccess<'b> for Elements<'_, 'b> {
    type Error = CodecError;

    fn next_element_seed<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.next(seed)
    }
}

impl<'b> de::MapAccess<'b> for Elements<'_, 'b> {
    type Error = CodecError;

    fn next_key_seed<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<S::Value> {
        seed.deserialize(&mut *self.0)
    }
}
