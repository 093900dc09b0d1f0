//! The output: as wide as the terminal, in ASCII if the locale requires it, and blocking even on a stdout that another
//! process made non-blocking.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::language::{Language, locale};
use crate::sys::stream::{terminal_columns, write_waiting};

/// The width of lines if nothing specifies one.
pub(super) const COLUMNS: usize = 80;
/// The minimum and maximum width of lines.
const BOUNDS: (usize, usize) = (40, 200);

/// Unbuffered stdout or stderr.
///
/// A write blocks until everything is written, even if the descriptor is non-blocking: that is a property of the open
/// file description, which other processes share.
#[derive(Debug)]
pub(crate) struct Screen {
    is_stderr: bool,
    is_ascii: bool,
}

impl Screen {
    /// Returns stdout, for bytes as they are.
    pub(crate) fn stdout() -> Self {
        Screen { is_stderr: false, is_ascii: false }
    }

    /// Returns stderr, for errors.
    pub(crate) fn stderr() -> Self {
        Screen { is_stderr: true, is_ascii: is_ascii_locale() }
    }

    /// Returns stdout, for text in a language. Chinese is never reduced to ASCII.
    pub(crate) fn for_people(language: Language) -> Self {
        Screen { is_ascii: language == Language::En && is_ascii_locale(), ..Self::stdout() }
    }

    /// Returns whether all non-ASCII characters are replaced.
    pub(super) fn is_ascii(&self) -> bool {
        self.is_ascii
    }

    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let write = |fd: BorrowedFd<'_>| write_waiting(fd, bytes);
        if self.is_stderr { write(io::stderr().as_fd()) } else { write(io::stdout().as_fd()) }
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_ascii {
            self.put(ascii(&String::from_utf8_lossy(bytes)).as_bytes())?;
        } else {
            self.put(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the width of stdout: that of the terminal, else that in `COLUMNS`, else [`COLUMNS`]; within bounds.
pub(crate) fn columns() -> usize {
    let of_terminal = terminal_columns(io::stdout().as_fd()).map(usize::from);
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    let columns = of_terminal.or_else(said).unwrap_or(COLUMNS);
    columns.clamp(BOUNDS.0, BOUNDS.1)
}

/// Returns whether the locale of the environment is ASCII only.
fn is_ascii_locale() -> bool {
    knows_only_ascii(&locale("LC_CTYPE"))
}

fn knows_only_ascii(locale: &str) -> bool {
    let locale = locale.split('@').next().unwrap_or_default();
    match locale.split_once('.') {
        Some((_, charset)) => charset.replace('-', "").to_lowercase() != "utf8",
        None => locale == "C" || locale == "POSIX",
    }
}

/// Reduces a text to ASCII.
pub(super) fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if letter.is_ascii() => plain.push(letter),
            '✔' => plain.push_str("[ok]"),
            '✘' => plain.push_str("[!!]"),
            '→' => plain.push_str("->"),
            '…' => plain.push_str("..."),
            'µ' => plain.push('u'),
            '×' => plain.push('x'),
            '·' | '–' | '—' => plain.push('-'),
            '’' => plain.push('\''),
            '█' => plain.push('#'),
            _ => plain.push('?'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locale_says_which_characters_there_are() {
        for ascii in ["C", "POSIX", "en_US.ISO-8859-1", "C.ASCII"] {
            assert!(knows_only_ascii(ascii), "{ascii}");
        }
        for more in ["C.UTF-8", "en_US.utf8", "zh_CN.UTF-8", "de_DE.UTF-8@euro", "en_US"] {
            assert!(!knows_only_ascii(more), "{more}");
        }
    }

    #[test]
    fn every_sign_has_an_ascii_form() {
        assert_eq!(ascii("✔ 12 µs · ✘ → …"), "[ok] 12 us - [!!] -> ...");
        assert!(ascii("票 █ \u{1b}[32m").is_ascii());
    }
}
