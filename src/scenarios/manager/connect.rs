//! The key file, and the connection to a manager, with advice if it fails.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::facts::ManagerFact;
use crate::Error;
use crate::manager::{Address, AuthKey, HandshakeError, Manager, ManagerError};
use crate::outcome::MachineryError;
use crate::report::quoted;

/// Group- and world-readable bits.
const OTHERS_MAY_READ: u32 = 0o044;

/// A key and its file.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) key: AuthKey,
    file: PathBuf,
    is_exposed: bool,
}

impl Key {
    /// Reads a key, and checks whether other users can read it.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let key = AuthKey::from_file(file).map_err(|error| {
            let is_missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData);
            let said = anyhow::Error::new(error).context(format!("cannot read the key from {name}"));
            if is_missing { anyhow!("{said:#} (make one: {})", how_to_make(file)) } else { said }
        })?;
        let metadata = fs::metadata(file).with_context(|| format!("cannot read the permissions of {name}"))?;
        // Only processes that have a pipe open can read it, regardless of its mode.
        let is_exposed = metadata.is_file() && metadata.permissions().mode() & OTHERS_MAY_READ != 0;
        Ok(Key { key, file: file.to_owned(), is_exposed })
    }

    /// Returns a warning if the file is not protected.
    pub(super) fn warning(&self) -> Option<ManagerFact> {
        self.is_exposed.then(|| ManagerFact::KeyExposed { file: self.file.display().to_string() })
    }

    /// Connects to a manager that has the same key, within `timeout` if there is one.
    ///
    /// A failure is a [`MachineryError`].
    pub(super) fn connect(&self, address: &Address, timeout: Option<Duration>) -> anyhow::Result<Manager> {
        let file = self.file.display();
        let connected = match timeout {
            Some(timeout) => Manager::connect_timeout(address, &self.key, timeout),
            None => Manager::connect(address, &self.key),
        };
        connected.map_err(|error| {
            let advice = match &error {
                Error::Manager(ManagerError::Unreachable { .. }) => {
                    format!(
                        "is one running there? ipc-demo manager --serve {address} --authkey-file {}",
                        quoted(&file.to_string())
                    )
                }
                Error::Manager(ManagerError::Handshake(HandshakeError::KeyRefused | HandshakeError::KeyNotProved)) => {
                    format!("the key in {file} has to be the one that the manager at {address} was started with")
                }
                Error::Manager(
                    ManagerError::Handshake(_) | ManagerError::Gone { .. } | ManagerError::Silent { .. },
                ) => {
                    format!("is it a running ipc-demo that listens at {address}?")
                }
                _ => return error.into(),
            };
            MachineryError(anyhow!("{:#} ({advice})", anyhow::Error::new(error))).into()
        })
    }
}

/// Explains how to make a key file that only its owner can read.
fn how_to_make(file: &Path) -> String {
    format!("(umask 077; head -c 32 /dev/urandom | base64 > {})", quoted(&file.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_others_can_read_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("key");
        fs::write(&file, "secret\n").expect("writable");
        for (mode, is_told) in [(0o600, false), (0o400, false), (0o644, true), (0o640, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("mine");
            assert_eq!(Key::read(&file).expect("a key").warning().is_some(), is_told, "{mode:o}");
        }
    }

    #[test]
    fn who_has_no_key_is_told_how_to_make_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("key");
        let said = |file: &Path| format!("{:#}", Key::read(file).expect_err("no key"));
        assert!(said(&file).contains("No such file") && said(&file).contains("umask 077"), "{}", said(&file));
        let spaced = directory.path().join("my key");
        assert!(said(&spaced).contains(&format!("> '{}')", spaced.display())), "{}", said(&spaced));
        fs::write(&file, "\n").expect("writable");
        assert!(said(&file).contains("the key is empty") && said(&file).contains("umask 077"), "{}", said(&file));
        assert!(!said(directory.path()).contains("umask"), "a directory");
    }
}
