//! A code on every frame of a connection that others could write into: TCP.
//!
//! Proving the key once does not keep anybody from taking over the connection afterwards; a code on each frame does. It
//! is made with a key of this connection and this direction, and with the frame's number, so that no frame can be changed,
//! left out, repeated or moved. It hides nothing: what is sent can be read on the way.
//!
//! # Standard
//! HMAC-SHA-256 (RFC 2104), cut to 128 bits.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a frame's code.
pub(crate) const TAG: usize = 16;

/// The codes of one direction of one connection.
#[derive(Clone)]
pub(crate) struct Seal {
    mac: Hmac<Sha256>,
    frames: u64,
}

/// The codes of both directions.
#[derive(Clone)]
pub(crate) struct Seals {
    pub(crate) to_server: Seal,
    pub(crate) to_client: Seal,
}

impl Seal {
    pub(super) fn new(key: &[u8]) -> Self {
        Seal { mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length"), frames: 0 }
    }

    /// The code of the next frame.
    pub(super) fn tag(&mut self, content: &[u8]) -> [u8; TAG] {
        let whole = self.next(content).finalize().into_bytes();
        let mut tag = [0; TAG];
        tag.copy_from_slice(&whole[..TAG]);
        tag
    }

    /// Whether `tag` is the code of the next frame. Takes the same time wherever they differ.
    pub(super) fn check(&mut self, content: &[u8], tag: &[u8]) -> bool {
        tag.len() == TAG && self.next(content).verify_truncated_left(tag).is_ok()
    }

    fn next(&mut self, content: &[u8]) -> Hmac<Sha256> {
        let number = self.frames.to_le_bytes();
        // 2^64 frames are not sent in a lifetime.
        self.frames += 1;
        self.mac.clone().chain_update(number).chain_update(content)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Writer and reader of one direction.
    pub(crate) fn seal_pair() -> (Seal, Seal) {
        (Seal::new(b"key"), Seal::new(b"key"))
    }
}
