//! The key that a manager and its clients share.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;
use snow::params::HashChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};

/// The maximum length of a key from a file.
const MOST_BYTES: u64 = 64 << 10;

/// The common key of a manager and its clients. It gives full access to the manager's objects.
///
/// It must not be guessable: use 32 random bytes, for example. Guesses can be tried on a recorded connection.
///
/// It is never shown: not in debug output, on a command line or in an environment.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey(Vec<u8>);

/// An empty key would admit anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is empty")]
pub struct EmptyKey;

impl AuthKey {
    /// Generates a random key of 32 bytes.
    ///
    /// # Errors
    /// If the kernel provides no random bytes.
    pub fn generate() -> io::Result<Self> {
        random().map(|bytes: [u8; 32]| AuthKey(bytes.to_vec()))
    }

    /// Creates a key from these bytes.
    ///
    /// # Errors
    /// [`EmptyKey`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, EmptyKey> {
        let bytes = bytes.into();
        if bytes.is_empty() { Err(EmptyKey) } else { Ok(AuthKey(bytes)) }
    }

    /// Reads the key from a file: its content without the line end.
    ///
    /// # Errors
    /// Errors of reading; [`io::ErrorKind::InvalidData`] if it is empty, [`io::ErrorKind::FileTooLarge`] above 64 KiB.
    pub fn from_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut bytes = Vec::new();
        // A device may be endless.
        File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a key has at most 64 KiB"));
        }
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        AuthKey::new(bytes).map_err(|empty| io::Error::new(io::ErrorKind::InvalidData, empty))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Derives the pre-shared key of the handshake: 32 bytes by HKDF (RFC 5869) over BLAKE2s, from a key of any length.
    pub(super) fn psk(&self) -> [u8; 32] {
        let mut hash = DefaultResolver.resolve_hash(&HashChoice::Blake2s).expect("it is built in");
        let mut psk = [0; 32];
        hash.hkdf(b"ipc-demo manager key", &self.0, 1, &mut psk, &mut [], &mut []);
        psk
    }
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey")
    }
}

/// Returns unpredictable bytes.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_endless_keys_are_refused() {
        assert_eq!(AuthKey::new([]), Err(EmptyKey));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "\n").expect("writable");
        assert_eq!(AuthKey::from_file(file.path()).expect_err("empty").kind(), io::ErrorKind::InvalidData);
        std::fs::write(file.path(), "secret\n").expect("writable");
        assert_eq!(AuthKey::from_file(file.path()).expect("a key").bytes(), b"secret");
        assert_eq!(AuthKey::from_file("/dev/zero").expect_err("endless").kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn keys_do_not_show_themselves() {
        let key = AuthKey::new("secret").expect("a key");
        assert!(!format!("{key:?}").contains("secret"));
        assert_ne!(AuthKey::new("secret").expect("a key").psk(), AuthKey::new("secret ").expect("a key").psk());
        assert_ne!(AuthKey::generate().expect("random"), AuthKey::generate().expect("random"));
    }
}
