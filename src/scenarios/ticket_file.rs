//! The data file of the ticket sale: a JSON object with a `ticket_num`, and anything else its owner keeps in it.
//!
//! Only the number's digits are ever changed, so other keys, their order and their layout are preserved.
//!
//! # Death
//! [`TicketFile::commit`] is one `pwrite` of a few bytes: a buyer killed before it has changed nothing, one killed
//! after it has sold. [`TicketFile::rewrite`] does what the reference program does, truncate and write: readers can see
//! it half done, and a kill in between leaves an empty file.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::outcome::MachineryError;
use crate::sys::memfd;

/// The content of the built-in file.
const BUILT_IN: &str = include_str!("../../data/tickets.json");
/// An example of a data file, for error messages.
pub(super) const EXAMPLE: &str = r#"{"ticket_num": 3}"#;
/// More than a data file of this kind ever needs: it is read whole by every buyer.
const LONGEST_FILE: u64 = 1 << 20;

/// The open data file.
#[derive(Debug)]
pub(super) struct TicketFile(File);

/// The content of the file when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) left: u32,
    pub(super) text: String,
    /// The position of the digits.
    digits: Range<usize>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    ticket_num: &'a RawValue,
}

impl Stock {
    pub(super) fn parse(text: String) -> anyhow::Result<Self> {
        // serde would read a list as a struct, field by field.
        ensure!(text.trim_start().is_empty() || text.trim_start().starts_with('{'), "it is not a JSON object");
        let document: Document<'_> = serde_json::from_str(&text)?;
        let digits = document.ticket_num.get();
        let left = digits
            .parse::<u32>()
            .ok()
            .with_context(|| format!("ticket_num is {digits}; it has to be a whole number from 0 to {}", u32::MAX))?;
        // `digits` is a part of `text`: the raw value is borrowed from it.
        let start = digits.as_ptr() as usize - text.as_ptr() as usize;
        let digits = start..start + digits.len();
        Ok(Stock { left, text, digits })
    }

    /// Returns the whole text with a different number.
    fn text_with(&self, left: u32) -> String {
        let mut text = self.text.clone();
        text.replace_range(self.digits.clone(), &left.to_string());
        text
    }
}

impl TicketFile {
    /// Creates an unnamed copy of the built-in file: it disappears with the last worker.
    pub(super) fn built_in() -> anyhow::Result<Self> {
        TicketFile::copy_of(BUILT_IN)
    }

    /// Creates an unnamed file with this content.
    pub(super) fn copy_of(text: &str) -> anyhow::Result<Self> {
        let made = memfd::create("tickets").and_then(|memfd| {
            memfd::check_file_limit(text.len() as u64)?;
            let file = File::from(memfd);
            file.write_all_at(text.as_bytes(), 0)?;
            Ok(TicketFile(file))
        });
        // The input is the program's own: whatever fails is the machine's.
        made.context("cannot make a data file in memory").map_err(|error| MachineryError(error).into())
    }

    /// Opens the user's own file, to be changed in place. No other run may be selling from it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = TicketFile::open_shared(path)?;
        let shown = path.display();
        match file.0.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                bail!("another run is selling from {shown}; wait for it, or sell from a copy")
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock the data file {shown}")),
        }
    }

    /// Opens the user's own file, to be read. Other runs may be selling from it.
    pub(super) fn open_shared(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let metadata = std::fs::metadata(path).with_context(|| format!("cannot use the data file {shown}"))?;
        ensure!(
            metadata.is_file(),
            "cannot use {shown}: it is not a regular file; --data takes a JSON file such as {BUILT_IN}"
        );
        let file = File::options().read(true).write(true).open(path);
        file.map(TicketFile).with_context(|| format!("cannot open the data file {shown} for reading and writing"))
    }

    pub(super) fn from_descriptor(descriptor: OwnedFd) -> Self {
        TicketFile(File::from(descriptor))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Reads the current content of the file. During a rewrite, that may be half of it.
    pub(super) fn read(&self) -> anyhow::Result<Stock> {
        let len = self.0.metadata().context("cannot look at the data file")?.len();
        ensure!(len <= LONGEST_FILE, "the data file has {len} bytes; at most {LONGEST_FILE} are read");
        let mut bytes = vec![0; len as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.0.read_at(&mut bytes[filled..], filled as u64) {
                // Truncated by another process since.
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read the data file"),
            }
        }
        bytes.truncate(filled);
        Stock::parse(String::from_utf8(bytes)?)
    }

    /// Writes `left` over the digits that `seen` found, in one step. The number must not be longer than the one seen.
    pub(super) fn commit(&self, seen: &Stock, left: u32) -> io::Result<()> {
        let digits = format!("{left:>width$}", width = seen.digits.len());
        debug_assert_eq!(digits.len(), seen.digits.len(), "a sale makes the number smaller");
        // Padded with spaces, which JSON allows before a number: the file keeps its length.
        self.0.write_all_at(digits.as_bytes(), seen.digits.start as u64)
    }

    /// Truncates the file and writes all of it again, as the reference program does.
    pub(super) fn rewrite(&self, seen: &Stock, left: u32) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all_at(seen.text_with(left).as_bytes(), 0)
    }

    /// Writes all of it without ever being empty: for the runner, when no worker is running.
    pub(super) fn restock(&self, seen: &Stock, left: u32) -> io::Result<()> {
        let text = seen.text_with(left);
        self.0.write_all_at(text.as_bytes(), 0)?;
        self.0.set_len(text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str) -> TicketFile {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(text.as_bytes(), 0).expect("room");
        TicketFile(file)
    }

    fn text_of(file: &TicketFile) -> String {
        file.read().expect("well-formed").text
    }

    #[test]
    fn commit_changes_the_digits_alone() {
        let file = file_with("{ \"price\": 1.50,\n  \"ticket_num\": 100, \"big\": 1e400 }\n");
        file.commit(&file.read().expect("well-formed"), 99).expect("written");
        assert_eq!(text_of(&file), "{ \"price\": 1.50,\n  \"ticket_num\":  99, \"big\": 1e400 }\n");
        assert_eq!(file.read().expect("well-formed").left, 99);
    }

    #[test]
    fn rewrite_and_restock_keep_everything_else() {
        let file = file_with(r#"{"a":[1, 2],"ticket_num":10}"#);
        file.rewrite(&file.read().expect("well-formed"), 9).expect("written");
        assert_eq!(text_of(&file), r#"{"a":[1, 2],"ticket_num":9}"#);
        file.restock(&file.read().expect("well-formed"), 1234).expect("written");
        assert_eq!(text_of(&file), r#"{"a":[1, 2],"ticket_num":1234}"#);
        file.restock(&file.read().expect("well-formed"), 0).expect("written");
        assert_eq!(text_of(&file), r#"{"a":[1, 2],"ticket_num":0}"#);
    }

    #[test]
    fn unusable_numbers_are_named() {
        for (text, said) in [
            (r#"{"ticket_num": -1}"#, "ticket_num is -1"),
            (r#"{"ticket_num": "3"}"#, "ticket_num is \"3\""),
            (r#"{"ticket_num": 1.5}"#, "ticket_num is 1.5"),
            (r#"{"ticket_num": 4294967296}"#, "ticket_num is 4294967296"),
            (r#"{"ticket_num": null}"#, "ticket_num is null"),
            (r#"{"tickets": 3}"#, "missing field `ticket_num`"),
            (r#"{"ticket_num": 3, "ticket_num": 4}"#, "duplicate field `ticket_num`"),
            ("", "EOF"),
            ("3", "not a JSON object"),
            ("[3]", "not a JSON object"),
            ("three", "not a JSON object"),
            (r#"{"ticket_num": 3"#, "EOF"),
        ] {
            let error = Stock::parse(text.to_owned()).expect_err(text);
            assert!(format!("{error:#}").contains(said), "{text}: {error:#}");
        }
    }
}
