//! The file of a picture: checked to be writable before anything is measured, and written completely or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The destination of a picture.
#[derive(Debug)]
pub(in crate::bench) struct Sheet {
    /// The name as given.
    named: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A file, and the temporary file next to it, which is renamed when it is complete.
    File { path: PathBuf, part: PathBuf },
    /// A device or a pipe, which cannot be replaced atomically.
    Stream(File),
}

impl Sheet {
    /// Checks that the file can be written, and leaves no new file behind.
    ///
    /// # Errors
    /// If no file can be created or replaced.
    pub(in crate::bench) fn at(named: &Path) -> Result<Self> {
        let place = Place::of(named).with_context(|| cannot_write(named))?;
        Ok(Sheet { named: named.to_owned(), place })
    }

    /// Replaces the previous content.
    ///
    /// # Errors
    /// If the file cannot be written; then it is unchanged.
    pub(in crate::bench) fn write(self, picture: &str) -> Result<()> {
        let written = match self.place {
            Place::Stream(mut file) => file.write_all(picture.as_bytes()),
            Place::File { path, part } => {
                let written = fs::write(&part, picture).and_then(|()| fs::rename(&part, &path));
                if written.is_err() {
                    // An incomplete picture is useless; the error to report is the one above.
                    let _ = fs::remove_file(&part);
                }
                written
            }
        };
        written.with_context(|| cannot_write(&self.named))
    }
}

impl Place {
    fn of(named: &Path) -> Result<Self> {
        // A symbolic link stays one: its target is replaced.
        let path = match named.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => named.to_owned(),
            path => path?,
        };
        if path.exists() {
            let file = OpenOptions::new().write(true).open(&path)?;
            if !file.metadata()?.is_file() {
                return Ok(Place::Stream(file));
            }
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        ensure!(!name.is_empty(), "it has no name");
        let part = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        File::create_new(&part)?;
        fs::remove_file(&part)?;
        Ok(Place::File { path, part })
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the chart to {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_as_a_whole() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("chart.svg");
        fs::write(&path, "before").expect("written");
        let sheet = Sheet::at(&path).expect("writable");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "before");
        sheet.write("after").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "after");
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 1, "nothing else is there");
    }

    #[test]
    fn link_stays_a_link() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (path, link) = (scratch.path().join("chart.svg"), scratch.path().join("link.svg"));
        fs::write(&path, "before").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        Sheet::at(&link).and_then(|sheet| sheet.write("after")).expect("written");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).expect("readable"), "after");
    }

    #[test]
    fn place_that_cannot_be_written_is_refused() {
        let scratch = tempfile::tempdir().expect("a directory");
        for path in [scratch.path().join("no/such/chart.svg"), scratch.path().to_owned(), PathBuf::from("")] {
            let refused = format!("{:#}", Sheet::at(&path).expect_err("no file"));
            assert!(refused.contains(&format!("cannot write the chart to {}", path.display())), "{refused}");
        }
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 0);
    }
}
