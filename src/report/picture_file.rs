//! The file of a picture: checked before anything starts, and written completely or not at all.
//!
//! *Death*: a process killed by SIGKILL leaves the file unchanged. If it was writing the picture, part of it stays
//! under a temporary name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::{html, timeline, trace};

/// Why a picture was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    /// The file cannot be created or replaced.
    #[error("cannot write the {} to {}", .kind.about().0, .path.display())]
    Unwritable {
        kind: Kind,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Other content would be lost.
    #[error("{} is not a {}: it would be overwritten", .path.display(), .kind.about().0)]
    OtherContent { kind: Kind, path: PathBuf },
    /// Two pictures would be written to the same file.
    #[error("the {} and the {} cannot both be in {}", .kinds[0].about().0, .kinds[1].about().0, .path.display())]
    SameFile { kinds: [Kind; 2], path: PathBuf },
}

/// A kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Timeline,
    Trace,
    /// A page that plays the run.
    Page,
    /// A chart of the results of a benchmark.
    Chart,
}

impl Kind {
    /// Returns the name of the kind, and the bytes with which an existing file must begin to be replaced.
    fn about(self) -> (&'static str, &'static str) {
        match self {
            Kind::Timeline => ("timeline", timeline::BEGINNING),
            Kind::Trace => ("trace", trace::BEGINNING),
            Kind::Page => ("page", html::BEGINNING),
            Kind::Chart => ("chart", ""),
        }
    }
}

/// The destination of a picture.
#[derive(Debug)]
pub(crate) struct PictureFile {
    pub(super) kind: Kind,
    /// The name as given.
    pub(super) named: PathBuf,
    /// The name without symbolic links: a link is kept, and its target is replaced.
    path: PathBuf,
    /// The opened file, if it cannot be replaced: a device, a pipe, or a file in a read-only directory.
    in_place: Option<File>,
}

impl PictureFile {
    /// Checks that the file can be written, and leaves no new file behind.
    ///
    /// # Errors
    /// [`PictureError`] if no file can be created or replaced, or if it is of another kind.
    pub(crate) fn open(kind: Kind, named: &Path) -> Result<Self, PictureError> {
        let place = canonical(named).and_then(|path| Ok((can_replace(&path)?, path)));
        match place {
            Ok((_, path)) if has_other_content(kind, &path) => {
                Err(PictureError::OtherContent { kind, path: named.to_owned() })
            }
            Ok((in_place, path)) => Ok(PictureFile { kind, named: named.to_owned(), path, in_place }),
            Err(source) => Err(PictureError::Unwritable { kind, path: named.to_owned(), source }),
        }
    }

    /// Returns whether two names refer to one file. Devices may be shared: nothing additional is lost in them.
    pub(super) fn is_same_as(&self, other: &PictureFile) -> bool {
        self.path == other.path && (self.path.is_file() || !self.path.exists())
    }

    /// Replaces the previous content.
    ///
    /// # Errors
    /// [`PictureError::Unwritable`] if the file cannot be written. A file that can be replaced is unchanged then.
    pub(crate) fn write(self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), PictureError> {
        let PictureFile { kind, named, path, in_place } = self;
        let fill = |file: File| {
            let mut out = BufWriter::new(file);
            content(&mut out)?;
            out.flush()
        };
        let written = match in_place {
            // A pipe or a device has no length.
            Some(file) if path.is_file() => file.set_len(0).and_then(|()| fill(file)),
            Some(file) => fill(file),
            None => replace(&path, fill),
        };
        written.map_err(|source| PictureError::Unwritable { kind, path: named, source })
    }
}

/// Returns the name of an existing or a new file without symbolic links.
fn canonical(named: &Path) -> io::Result<PathBuf> {
    match named.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = std::path::absolute(named)?;
            let (directory, name) = path.parent().zip(path.file_name()).ok_or(error)?;
            Ok(directory.canonicalize()?.join(name))
        }
        path => path,
    }
}

/// Checks that a file can be replaced or created. Returns the opened file if it can only be written in place.
fn can_replace(path: &Path) -> io::Result<Option<File>> {
    let existing = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened?),
    };
    if path.exists() && !path.is_file() {
        return Ok(existing);
    }
    let part = part_of(path);
    match File::create_new(&part).and_then(|_| fs::remove_file(&part)) {
        Ok(()) => Ok(None),
        Err(error) => existing.map(Some).ok_or(error),
    }
}

fn replace(path: &Path, fill: impl FnOnce(File) -> io::Result<()>) -> io::Result<()> {
    let part = part_of(path);
    let written = File::create(&part).and_then(|file| {
        if let Ok(existing) = path.metadata() {
            file.set_permissions(existing.permissions())?;
        }
        fill(file)?;
        fs::rename(&part, path)
    });
    if written.is_err() {
        // An incomplete picture is useless; the error to report is the one above.
        let _ = fs::remove_file(&part);
    }
    written
}

/// Returns the name of the temporary file next to a file. It is renamed when it is complete.
fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().display();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

/// Returns whether a file does not begin like a picture of this kind. An empty file or a non-file never does.
fn has_other_content(kind: Kind, path: &Path) -> bool {
    let beginning = kind.about().1.as_bytes();
    let mut found = Vec::new();
    // A file that cannot be read is assumed to be of the requested kind.
    let mut read = || File::open(path)?.take(beginning.len() as u64).read_to_end(&mut found);
    path.is_file() && read().is_ok() && !beginning.starts_with(&found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(file: PictureFile, content: &str) -> Result<(), PictureError> {
        file.write(|out| out.write_all(content.as_bytes()))
    }

    #[test]
    fn file_is_replaced_as_a_whole() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("chart.svg");
        fs::write(&path, "before").expect("written");
        let file = PictureFile::open(Kind::Chart, &path).expect("writable");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "before");
        write(file, "after").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "after");
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 1, "nothing else is there");
    }

    #[test]
    fn link_stays_a_link() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (path, link) = (scratch.path().join("chart.svg"), scratch.path().join("link.svg"));
        fs::write(&path, "before").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        write(PictureFile::open(Kind::Chart, &link).expect("writable"), "after").expect("written");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).expect("readable"), "after");
    }

    #[test]
    fn place_that_cannot_be_written_is_refused() {
        let scratch = tempfile::tempdir().expect("a directory");
        for path in [scratch.path().join("no/such/chart.svg"), scratch.path().to_owned(), PathBuf::from("")] {
            let refused = PictureFile::open(Kind::Chart, &path).expect_err("no file").to_string();
            assert!(refused.contains(&format!("cannot write the chart to {}", path.display())), "{refused}");
        }
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 0);
    }

    #[test]
    fn file_keeps_its_permissions() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("chart.svg");
        fs::write(&path, "before").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mine");
        write(PictureFile::open(Kind::Chart, &path).expect("writable"), "after").expect("written");
        assert_eq!(path.metadata().expect("it is there").permissions().mode() & 0o777, 0o640);
    }
}
