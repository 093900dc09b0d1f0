//! The payload: a number, or a block of bytes. The receiver reads all of it, so that a transport that never touches the
//! bytes gains nothing.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A payload.
pub(in crate::bench) trait Load: Serialize + DeserializeOwned + Clone + Send + 'static {
    const PUTS: &'static str;
    const GETS: &'static str;
    fn make(number: u64, bytes: usize) -> Self;
    /// Returns a number that depends on all of it.
    fn sum(&self) -> u64;
}

impl Load for u64 {
    const PUTS: &'static str = "bench.puts-u64";
    const GETS: &'static str = "bench.gets-u64";
    fn make(number: u64, _: usize) -> Self {
        number
    }
    fn sum(&self) -> u64 {
        *self
    }
}

/// A fresh vector of bytes, serialised as such.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::bench) struct Block(pub(in crate::bench) Vec<u8>);

impl Load for Block {
    const PUTS: &'static str = "bench.puts-block";
    const GETS: &'static str = "bench.gets-block";
    fn make(number: u64, bytes: usize) -> Self {
        Block(vec![number as u8; bytes])
    }
    fn sum(&self) -> u64 {
        sum_of(&self.0)
    }
}

/// Returns a number that depends on all bytes, up to a multiple of eight.
pub(super) fn sum_of(bytes: &[u8]) -> u64 {
    bytes.as_chunks().0.iter().fold(0, |sum, eight| sum.wrapping_add(u64::from_ne_bytes(*eight)))
}
