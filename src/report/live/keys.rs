//! Keys, as a terminal in raw mode sends them.
//!
//! Read here and not by crossterm, whose reader never returns once the terminal is gone (crossterm 0.29 takes the end of
//! the input for an interrupted read).
//!
//! # Standard
//! ECMA-48 control sequences, as xterm sends them for its keys.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;

use crate::sys::fd;

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    /// A letter with Ctrl.
    Control(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
}

/// The keyboard: standard input.
#[derive(Debug)]
pub(super) struct Keyboard(File);

impl Keyboard {
    pub(super) fn open() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        debug_assert!(input.is_terminal(), "checked before");
        Ok(Keyboard(File::from(input)))
    }

    /// Blocks until keys are pressed, at most until `until_ns` on the monotonic clock. Returns `None` when the terminal is
    /// gone.
    pub(super) fn read(&mut self, until_ns: u64) -> io::Result<Option<Vec<Key>>> {
        if !fd::wait_readable(&self.0, Some(until_ns))? {
            return Ok(Some(Vec::new()));
        }
        let mut bytes = [0; 256];
        match self.0.read(&mut bytes) {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(keys(&bytes[..count]))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(Vec::new())),
            // It was hung up.
            Err(_) => Ok(None),
        }
    }
}

/// Returns the keys in what was read at once. Those without a meaning here are left out.
fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        keys.extend(match (first, rest) {
            (0x1b, [b'[' | b'O', sequence @ ..]) => {
                // Parameters, and the byte that ends it.
                let end = sequence.iter().position(|byte| (0x40..=0x7e).contains(byte));
                let Some(end) = end else { break };
                bytes = &sequence[end + 1..];
                named(&sequence[..end], sequence[end])
            }
            (0x1b, _) => Some(Key::Escape),
            (b'\r' | b'\n', _) => Some(Key::Enter),
            (1..0x1b, _) => Some(Key::Control(char::from(first | 0x60))),
            (b' '..=b'~', _) => Some(Key::Letter(char::from(*first))),
            _ => None,
        });
    }
    keys
}

fn named(parameters: &[u8], last: u8) -> Option<Key> {
    Some(match (parameters, last) {
        (_, b'A') => Key::Up,
        (_, b'B') => Key::Down,
        (_, b'H') | (b"1" | b"7", b'~') => Key::Home,
        (_, b'F') | (b"4" | b"8", b'~') => Key::End,
        (b"5", b'~') => Key::PageUp,
        (b"6", b'~') => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Key::*;
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(keys(b"k \x1b[A\x1bOB\x1b[5~\x1b[6~"), [Letter('k'), Letter(' '), Up, Down, PageUp, PageDown]);
        assert_eq!(keys(b"\x1b[H\x1b[4~\x1bOF\x1b[1~\r"), [Home, End, End, Home, Enter]);
        assert_eq!(keys(b"\x03\x0c\x1bq"), [Control('c'), Control('l'), Escape, Letter('q')]);
        // With Shift or Ctrl, and what has no meaning here.
        assert_eq!(keys(b"\x1b[1;5A\x1b[3~\x1b[200~.\xe7\xa5\xa8"), [Up, Letter('.')]);
        assert_eq!(keys(b"\x1b"), [Escape]);
        assert_eq!(keys(b"q\x1b[1;"), [Letter('q')], "the end is missing");
    }
}
