//! Writes values; see [`super`].

use serde::ser::{self, Serialize, SerializeSeq};

use super::{CodecError, LONG, MOST_LEVELS, Sink, Tag};
use crate::sys::same_type::as_slice_of_bytes;

type Result<T> = std::result::Result<T, CodecError>;

/// Writes one value to a sink.
#[derive(Debug)]
pub(super) struct Writer<'s, S> {
    sink: &'s mut S,
    levels: u32,
}

impl<'s, S: Sink> Writer<'s, S> {
    pub(super) fn to(sink: &'s mut S) -> Self {
        Writer { sink, levels: 0 }
    }

    #[inline]
    fn tag(&mut self, tag: Tag) -> Result<()> {
        self.sink.put(&[tag as u8]);
        Ok(())
    }

    #[inline]
    fn sized(&mut self, tag: Tag, bytes: &[u8]) -> Result<()> {
        self.tag(tag)?;
        match u8::try_from(bytes.len()) {
            Ok(len) if len != LONG => self.sink.put(&[len]),
            _ => {
                self.sink.put(&[LONG]);
                self.sink.put(&(bytes.len() as u64).to_le_bytes());
            }
        }
        self.sink.put(bytes);
        Ok(())
    }

    fn go_down(&mut self) -> Result<()> {
        self.levels += 1;
        if self.levels > MOST_LEVELS { Err(CodecError::TooDeep { limit: MOST_LEVELS }) } else { Ok(()) }
    }

    /// Writes a value one level deeper.
    fn inner<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.at_lower_level(|writer| value.serialize(writer))
    }

    fn at_lower_level(&mut self, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.go_down()?;
        write(self)?;
        self.levels -= 1;
        Ok(())
    }

    fn begin(&mut self, tag: Tag) -> Result<&mut Self> {
        self.go_down()?;
        self.tag(tag)?;
        Ok(self)
    }

    fn finish(&mut self) -> Result<()> {
        self.levels -= 1;
        self.tag(Tag::End)
    }
}

/// Methods for values of a fixed size, from their bits.
macro_rules! fixed {
    ($($method:ident($type:ty): $tag:ident $bits:expr;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<()> {
            // The tag and the value in one word: a copy in other pieces than were written would wait for both.
            let word = u128::from($bits(value)) << u8::BITS | Tag::$tag as u128;
            self.sink.put(&word.to_le_bytes()[..1 + size_of::<$type>()]);
            Ok(())
        }
    )*};
}

impl<S: Sink> ser::Serializer for &mut Writer<'_, S> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fixed! {
        serialize_u8(u8): U8 u8::from;
        serialize_u16(u16): U16 u16::from;
        serialize_u32(u32): U32 u32::from;
        serialize_u64(u64): U64 u64::from;
        serialize_i8(i8): I8 i8::cast_unsigned;
        serialize_i16(i16): I16 i16::cast_unsigned;
        serialize_i32(i32): I32 i32::cast_unsigned;
        serialize_i64(i64): I64 i64::cast_unsigned;
        serialize_f32(f32): F32 f32::to_bits;
        serialize_f64(f64): F64 f64::to_bits;
        serialize_char(char): Char u32::from;
    }

    fn serialize_u128(self, value: u128) -> Result<()> {
        self.tag(Tag::U128)?;
        self.sink.put(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        self.tag(Tag::I128)?;
        self.sink.put(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.tag(if value { Tag::True } else { Tag::False })
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.sized(Tag::Str, value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.sized(Tag::Bytes, value)
    }

    fn serialize_none(self) -> Result<()> {
        self.tag(Tag::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.tag(Tag::Some)?;
        self.inner(value)
    }

    fn serialize_unit(self) -> Result<()> {
        self.tag(Tag::Unit)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        self.inner(value)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.sized(Tag::UnitVariant, variant.as_bytes())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.sized(Tag::Variant, variant.as_bytes())?;
        self.inner(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self> {
        self.begin(Tag::List)
    }

    fn collect_seq<I: IntoIterator<Item: Serialize>>(self, elements: I) -> Result<()> {
        let mut elements = elements.into_iter();
        if let Some(bytes) = as_slice_of_bytes(&elements) {
            return self.at_lower_level(|writer| writer.sized(Tag::ByteList, bytes));
        }
        let mut list = self.serialize_seq(None)?;
        elements.try_for_each(|element| list.serialize_element(&element))?;
        list.end()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self> {
        self.begin(Tag::List)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self> {
        self.begin(Tag::List)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self> {
        self.sized(Tag::Variant, variant.as_bytes())?;
        self.begin(Tag::List)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self> {
        self.begin(Tag::Map)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        self.begin(Tag::Map)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self> {
        self.sized(Tag::Variant, variant.as_bytes())?;
        self.begin(Tag::Map)
    }
}

/// Implements the serialisers of elements.
macro_rules! elements {
    ($($trait:ident $method:ident;)*) => {$(
        impl<S: Sink> ser::$trait for &mut Writer<'_, S> {
            type Ok = ();
            type Error = CodecError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}
elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

/// Implements the serialisers of named fields.
macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl<S: Sink> ser::$trait for &mut Writer<'_, S> {
            type Ok = ();
            type Error = CodecError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.sized(Tag::Str, name.as_bytes())?;
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}
fields!(SerializeStruct SerializeStructVariant);

impl<S: Sink> ser::SerializeMap for &mut Writer<'_, S> {
    type Ok = ();
    type Error = CodecError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}
