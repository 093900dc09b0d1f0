//! The files that a run is drawn into: opened before anything starts, written when it is over.
//!
//! *Death*: a run that is killed with `kill -9` draws nothing. A file that was there before is then as it was, and one that
//! was not is there and empty.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::language::Language;
use super::{timeline, trace};

/// Why a picture is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    /// The file cannot be opened or written.
    #[error("cannot write the {} to {}", .kind.name(), .path.display())]
    Unwritable {
        kind: Kind,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Something else would be lost.
    #[error("{} is no {}: it would be written over", .path.display(), .kind.name())]
    OtherContent { kind: Kind, path: PathBuf },
    /// One would be written over the other.
    #[error("the timeline and the trace cannot both be in {}", .path.display())]
    SameFile { path: PathBuf },
}

/// What a run can be drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Timeline,
    Trace,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Timeline => "timeline",
            Kind::Trace => "trace",
        }
    }
}

/// The pictures that were asked for, and what they will show.
#[derive(Debug)]
pub(crate) struct Pictures {
    canvases: Vec<Canvas>,
    events: Vec<Event>,
    language: Language,
}

impl Pictures {
    /// Opens the files of the pictures that were asked for. What stands in them stays until there is something to draw.
    ///
    /// # Errors
    /// [`PictureError`] if one of them cannot be written.
    pub(crate) fn open(
        timeline: Option<&Path>,
        trace: Option<&Path>,
        language: Language,
    ) -> Result<Self, PictureError> {
        let wanted = [(Kind::Timeline, timeline), (Kind::Trace, trace)];
        let wanted = wanted.into_iter().filter_map(|(kind, path)| Some((kind, path?)));
        let canvases = wanted.map(|(kind, path)| Canvas::open(kind, path)).collect::<Result<Vec<_>, _>>()?;
        if let [one, other] = canvases.as_slice()
            && one.is_same_as(other)
        {
            return Err(PictureError::SameFile { path: other.path.clone() });
        }
        Ok(Pictures { canvases, events: Vec::new(), language })
    }

    /// Whether any was asked for.
    pub(crate) fn are_wanted(&self) -> bool {
        !self.canvases.is_empty()
    }

    /// Remembers an event, if there is a picture to show it.
    pub(crate) fn collect(&mut self, event: &Event) {
        if !self.canvases.is_empty() {
            self.events.push(event.clone());
        }
    }

    /// Draws what happened. Each picture is drawn, whatever becomes of the other.
    pub(crate) fn draw(self) -> Vec<PictureError> {
        let Pictures { canvases, events, language } = self;
        canvases.into_iter().filter_map(|canvas| canvas.draw(&events, language).err()).collect()
    }
}

/// A file to draw into.
#[derive(Debug)]
struct Canvas {
    kind: Kind,
    path: PathBuf,
    file: File,
    /// Whether the file is new and has nothing in it.
    is_blank: bool,
}

impl Canvas {
    fn open(kind: Kind, path: &Path) -> Result<Self, PictureError> {
        let path = path.to_owned();
        let opened = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok((file, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let existing = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
                existing.map(|file| (file, false))
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok((_, false)) if has_other_content(kind, &path) => Err(PictureError::OtherContent { kind, path }),
            Ok((file, is_blank)) => Ok(Canvas { kind, path, file, is_blank }),
            Err(source) => Err(PictureError::Unwritable { kind, path, source }),
        }
    }

    /// Whether two names are of one file. Devices may be shared: nothing is lost in them that would not be anyway.
    fn is_same_as(&self, other: &Canvas) -> bool {
        let identity =
            |canvas: &Canvas| canvas.file.metadata().ok().map(|file| (file.is_file(), file.dev(), file.ino()));
        identity(self).is_some_and(|one| one.0 && Some(one) == identity(other))
    }

    fn draw(mut self, events: &[Event], language: Language) -> Result<(), PictureError> {
        let drawn = self.try_draw(events, language);
        self.is_blank &= drawn.is_err();
        drawn.map_err(|source| PictureError::Unwritable { kind: self.kind, path: self.path.clone(), source })
    }

    fn try_draw(&mut self, events: &[Event], language: Language) -> io::Result<()> {
        // A pipe or a device has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        let mut out = BufWriter::new(&self.file);
        match self.kind {
            Kind::Timeline => out.write_all(timeline::draw(events, language).as_bytes())?,
            Kind::Trace => trace::write(events, &mut out)?,
        }
        out.flush()
    }
}

/// Whether a file begins otherwise than a picture of this kind. An empty one does not, nor does what is no file.
fn has_other_content(kind: Kind, path: &Path) -> bool {
    let beginning = match kind {
        Kind::Timeline => timeline::BEGINNING,
        Kind::Trace => trace::BEGINNING,
    };
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    let mut found = Vec::new();
    // What cannot be read is taken for what it is said to be.
    let read = File::open(path).and_then(|file| file.take(beginning.len() as u64).read_to_end(&mut found));
    is_file && read.is_ok() && !beginning.as_bytes().starts_with(&found)
}

impl Drop for Canvas {
    fn drop(&mut self) {
        if self.is_blank {
            // Nothing was drawn: it is as if it had never been asked for.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
