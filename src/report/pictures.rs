//! The picture files of a run: opened before anything starts, written when the run is over.
//!
//! *Death*: a run that is killed with `kill -9` draws nothing. A file that existed before is then unchanged, and a new
//! one is empty.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::frame::RunStarted;
use super::language::Language;
use super::{timeline, trace};

/// The maximum number of events kept for pictures, about 60 MB. Pictures of a longer run show its end.
const MOST_EVENTS: usize = 200_000;

/// Why a picture was not written.
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
    /// Other content would be lost.
    #[error("{} is no {}: it would be written over", .path.display(), .kind.name())]
    OtherContent { kind: Kind, path: PathBuf },
    /// Both pictures would be written to the same file.
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

/// The requested pictures, and their content.
#[derive(Debug)]
pub(crate) struct Pictures {
    canvases: Vec<Canvas>,
    recording: Recording,
    language: Language,
}

impl Pictures {
    /// Opens the files of the requested pictures. Their content is kept until there is something to draw.
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
        Ok(Pictures { canvases, recording: Recording::new(MOST_EVENTS), language })
    }

    /// Records an event, if there is a picture to show it.
    pub(crate) fn collect(&mut self, event: &Event) {
        if !self.canvases.is_empty() {
            self.recording.add(event);
        }
    }

    /// Draws the run. A failure of one picture does not affect the other.
    pub(crate) fn draw(self) -> Vec<PictureError> {
        let Pictures { canvases, recording, language } = self;
        let (events, forgotten) = recording.finish();
        canvases.into_iter().filter_map(|canvas| canvas.draw(&events, forgotten, language).err()).collect()
    }
}

/// The recording of a run that may be endless: its beginning, the started workers, and the last events.
#[derive(Debug)]
struct Recording {
    started: Vec<Event>,
    recent: VecDeque<Event>,
    most: usize,
    forgotten: u64,
}

impl Recording {
    fn new(most: usize) -> Self {
        Recording { started: Vec::new(), recent: VecDeque::new(), most, forgotten: 0 }
    }

    fn add(&mut self, event: &Event) {
        if self.recent.len() == self.most {
            let oldest = self.recent.pop_front();
            match oldest {
                Some(oldest) if is_start(&oldest) && self.started.len() < self.most => self.started.push(oldest),
                _ => self.forgotten += 1,
            }
        }
        self.recent.push_back(event.clone());
    }

    /// Returns the events in the order of arrival, and how many are missing.
    fn finish(self) -> (Vec<Event>, u64) {
        let mut events = self.started;
        events.extend(self.recent);
        (events, self.forgotten)
    }
}

fn is_start(event: &Event) -> bool {
    let class = event.fact.class();
    class.starts || class.server.is_some() || event.is::<RunStarted>()
}

/// A file to draw into.
#[derive(Debug)]
struct Canvas {
    kind: Kind,
    path: PathBuf,
    file: File,
    /// Whether the file is new and empty.
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

    /// Returns whether two names refer to one file. Devices may be shared: nothing additional is lost in them.
    fn is_same_as(&self, other: &Canvas) -> bool {
        let identity =
            |canvas: &Canvas| canvas.file.metadata().ok().map(|file| (file.is_file(), file.dev(), file.ino()));
        identity(self).is_some_and(|one| one.0 && Some(one) == identity(other))
    }

    fn draw(mut self, events: &[Event], forgotten: u64, language: Language) -> Result<(), PictureError> {
        let drawn = self.try_draw(events, forgotten, language);
        self.is_blank &= drawn.is_err();
        drawn.map_err(|source| PictureError::Unwritable { kind: self.kind, path: self.path.clone(), source })
    }

    fn try_draw(&mut self, events: &[Event], forgotten: u64, language: Language) -> io::Result<()> {
        // A pipe or a device has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        let mut out = BufWriter::new(&self.file);
        match self.kind {
            Kind::Timeline => out.write_all(timeline::draw_rest(events, forgotten, language).as_bytes())?,
            Kind::Trace => trace::write_rest(events, forgotten, &mut out)?,
        }
        out.flush()
    }
}

/// Returns whether a file does not begin like a picture of this kind. An empty file or a non-file never does.
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
            // Nothing was drawn: leave no trace of the request.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::frame::WorkerStarted;
    use crate::scenarios::facts::*;

    #[test]
    fn recording_of_a_run_without_an_end_keeps_its_start_and_its_last_events() {
        let mut recording = Recording::new(100);
        let event = |at_us, fact| Event { at_us, worker: "producer".to_owned(), pid: 1, fact };
        recording.add(&event(0, WorkerStarted { role: "queue.producer", daemon: false }.into()));
        (1..=1_000).for_each(|at_us| recording.add(&event(at_us, ItemFact::QueueEmpty.into())));
        assert!(recording.recent.len() == 100 && recording.started.len() == 1);
        let (events, forgotten) = recording.finish();
        assert_eq!((events.len(), forgotten), (101, 900));
        let times: Vec<u64> = events.iter().map(|event| event.at_us).collect();
        assert_eq!((times[0], times[1], times[100]), (0, 901, 1_000));
        let picture = timeline::draw_rest(&events, forgotten, Language::En);
        assert!(picture.contains("900 earlier events"));
    }
}
