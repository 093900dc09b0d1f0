//! Lists of bytes, in one piece: serde has a `Vec<u8>` written and read element by element.
//!
//! Written is what iterates over a slice of bytes. Read in one piece is what asks with the visitor of `Vec<u8>` itself;
//! every other type gets its elements one by one, as those of a list.

use std::any::TypeId;
use std::slice;

use serde::de::value::SeqDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, Visitor};

use super::reader::Reader;
use super::{CodecError, Tag};
use crate::sys::same_type::as_vec_of_bytes;

/// Each byte as an element of a list.
static ELEMENTS: [[u8; 2]; 256] = {
    let mut elements = [[Tag::U8 as u8, 0]; 256];
    let mut byte = 0;
    while byte < 256 {
        elements[byte][1] = byte as u8;
        byte += 1;
    }
    elements
};

/// Hands all of `bytes` to a visitor that may be any.
pub(super) fn visit<'b, V: Visitor<'b>>(bytes: &'b [u8], visitor: V) -> Result<V::Value, CodecError> {
    if typeid::of::<V>() == visitor_of_vec() {
        let mut value = visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<u8>()))?;
        let vec = as_vec_of_bytes(&mut value).expect("the visitor of Vec<u8> makes one");
        vec.extend_from_slice(bytes);
        return Ok(value);
    }
    let mut elements = Elements(bytes.iter());
    let value = visitor.visit_seq(&mut elements)?;
    if elements.0.len() == 0 { Ok(value) } else { Err(super::more_elements()) }
}

struct Elements<'b>(slice::Iter<'b, u8>);

impl<'b> de::SeqAccess<'b> for &mut Elements<'b> {
    type Error = CodecError;

    fn next_element_seed<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        let Some(byte) = self.0.next() else { return Ok(None) };
        seed.deserialize(&mut Reader::of(&ELEMENTS[usize::from(*byte)])).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// Returns the type of the visitor with which a `Vec<u8>` reads itself, which has no name outside of serde.
#[inline]
fn visitor_of_vec() -> TypeId {
    /// Fails with the type of the visitor.
    struct Asks;

    #[derive(Debug, thiserror::Error)]
    #[error("only a type")]
    struct Answer(Option<TypeId>);

    impl de::Error for Answer {
        fn custom<T: std::fmt::Display>(_: T) -> Self {
            Answer(None)
        }
    }

    impl<'de> Deserializer<'de> for Asks {
        type Error = Answer;

        #[inline]
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
            Err(Answer(Some(typeid::of::<V>())))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    match Vec::<u8>::deserialize(Asks) {
        Err(Answer(Some(visitor))) => visitor,
        // The type of no visitor.
        _ => TypeId::of::<Answer>(),
    }
}
