//! Arrays.
//!
//! # State
//! An array's elements are 64-bit words; the typecode determines what each represents.
//!
//! # Standard
//! Python's managed `array.array`: type and range are checked. Differs: an array never changes its length, as
//! `multiprocessing.Array`.

use super::slice::{place, places};
use super::{Args, Failure, Method, Outcome, Reply, Variant};

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Typecode(char);

impl Typecode {
    fn new(code: &str) -> Result<Self, Failure> {
        match code.parse() {
            Ok(code) if "cbBuhHiIlLqQfd".contains::<char>(code) => Ok(Typecode(code)),
            _ => Err(Failure::bad_argument("one of the typecodes c b B u h H i I l L q Q f d", "another")),
        }
    }

    /// The minimum and maximum of the type; `None` if it is not an integer type.
    fn limits(self) -> Option<(i128, i128)> {
        Some(match self.0 {
            'b' => (i8::MIN.into(), i8::MAX.into()),
            'B' => (0, u8::MAX.into()),
            'h' => (i16::MIN.into(), i16::MAX.into()),
            'H' => (0, u16::MAX.into()),
            'i' => (i32::MIN.into(), i32::MAX.into()),
            'I' => (0, u32::MAX.into()),
            'l' | 'q' => (i64::MIN.into(), i64::MAX.into()),
            'L' | 'Q' => (0, u64::MAX.into()),
            _ => return None,
        })
    }

    fn to_word(self, variant: &Variant) -> Result<u64, Failure> {
        let wrong = |what: &str| Failure::bad_argument(format!("{what} for typecode '{}'", self.0), variant.shape());
        let out_of_range = || Failure::OutOfRange { value: variant.to_string(), typecode: self.0 };
        match (self.0, self.limits()) {
            (_, Some((least, greatest))) => {
                let number: i128 = variant.as_int().ok_or_else(|| wrong("a whole number"))?;
                // The low 64 bits hold every number between the limits.
                if (least..=greatest).contains(&number) { Ok(number as u64) } else { Err(out_of_range()) }
            }
            ('f', _) => {
                let number = variant.as_f64().ok_or_else(|| wrong("a number"))?;
                Ok(u64::from((number as f32).to_bits()))
            }
            ('d', _) => variant.as_f64().map(f64::to_bits).ok_or_else(|| wrong("a number")),
            ('u', _) => {
                let char = variant.as_str().and_then(|text| text.parse::<char>().ok());
                char.map(u64::from).ok_or_else(|| wrong("one character"))
            }
            _ => match variant.as_bytes() {
                Some([byte]) => Ok(u64::from(*byte)),
                _ => Err(wrong("one byte")),
            },
        }
    }

    fn to_datum(self, word: u64) -> Variant {
        match (self.0, self.limits()) {
            (_, Some((0, _))) => Variant::from(word),
            (_, Some(_)) => Variant::from(word as i64),
            ('f', _) => Variant::Float(f32::from_bits(word as u32).into()),
            ('d', _) => Variant::Float(f64::from_bits(word)),
            ('u', _) => Variant::Str(char::from_u32(word as u32).into_iter().collect()),
            _ => Variant::bytes([word as u8]),
        }
    }
}

/// The maximum length of an array that is created from a length alone.
const ZEROS_LIMIT: usize = 1 << 27;

/// An array object.
#[derive(Debug)]
pub(crate) struct Array {
    typecode: Typecode,
    words: Vec<u64>,
}

impl Array {
    pub(crate) fn create(mut args: Args) -> Result<Self, Failure> {
        let typecode = Typecode::new(&args.text()?)?;
        let words = match args.variant()? {
            Variant::List(items) => items.iter().map(|item| typecode.to_word(item)).collect::<Result<_, _>>()?,
            // An array of bytes may be created from bytes.
            Variant::Bytes(bytes) if typecode.0 == 'c' => bytes.into_iter().map(u64::from).collect(),
            variant => {
                let wrong = || {
                    Failure::bad_argument(format!("a length of at most {ZEROS_LIMIT}, or a list"), variant.to_string())
                };
                let len = variant.as_int().filter(|len| *len <= ZEROS_LIMIT).ok_or_else(wrong)?;
                args.check_memory_for::<u64>(len)?;
                vec![0; len]
            }
        };
        Ok(Array { typecode, words })
    }

    pub(crate) fn call(&mut self, method: Method, mut args: Args) -> Outcome {
        let (typecode, len) = (self.typecode, self.words.len());
        Ok(match method {
            Method::Len => len.into(),
            Method::GetSlice | Method::Copy | Method::Snapshot => {
                let places = places(args.slice()?, len)?;
                args.check_memory_for::<Variant>(places.len())?;
                places.map(|at| typecode.to_datum(self.words[at])).collect::<Variant>().into()
            }
            Method::SetSlice => {
                let (places, new) = (places(args.slice()?, len)?, args.list()?);
                if places.len() != new.len() {
                    return Err(Failure::SliceLength { expected: places.len(), got: new.len() });
                }
                let new = new.iter().map(|item| typecode.to_word(item)).collect::<Result<Vec<_>, _>>()?;
                places.zip(new).for_each(|(at, word)| self.words[at] = word);
                Reply::DONE
            }
            Method::Typecode => typecode.0.to_string().into(),
            _ => return Err(args.no_such_method()),
        })
    }

    pub(crate) fn get(&self, index: i64) -> Result<Variant, Failure> {
        Ok(self.typecode.to_datum(self.words[place(index, self.words.len())?]))
    }

    pub(crate) fn set(&mut self, index: i64, variant: &Variant) -> Result<(), Failure> {
        let at = place(index, self.words.len())?;
        self.words[at] = self.typecode.to_word(variant)?;
        Ok(())
    }
}
