//! The pictures of a run. Their files are checked before anything starts, and written when the run has ended.

use std::collections::VecDeque;
use std::path::Path;

use super::event::Event;
use super::frame::RunStarted;
use super::language::Language;
use super::picture_file::{Kind, PictureError, PictureFile};
use super::{html, timeline, trace};

/// The maximum number of events kept for pictures, about 60 MB. Pictures of a longer run show its end.
const MOST_EVENTS: usize = 200_000;

/// The requested pictures, and their content.
#[derive(Debug)]
pub(crate) struct Pictures {
    files: Vec<PictureFile>,
    recording: Recording,
    language: Language,
}

impl Pictures {
    /// Checks that the files of the requested pictures can be written.
    ///
    /// # Errors
    /// [`PictureError`] if one of them cannot be written.
    pub(crate) fn open(wanted: &[(Kind, Option<&Path>)], language: Language) -> Result<Self, PictureError> {
        let mut files: Vec<PictureFile> = Vec::new();
        for (kind, path) in wanted.iter().filter_map(|(kind, path)| Some((*kind, (*path)?))) {
            let file = PictureFile::open(kind, path)?;
            if let Some(other) = files.iter().find(|other| other.is_same_as(&file)) {
                return Err(PictureError::SameFile { kinds: [other.kind, kind], path: file.named });
            }
            files.push(file);
        }
        Ok(Pictures { files, recording: Recording::new(MOST_EVENTS), language })
    }

    /// Records an event, if there is a picture to show it.
    pub(crate) fn collect(&mut self, event: &Event) {
        if !self.files.is_empty() {
            self.recording.add(event);
        }
    }

    /// Draws the run. A failure of one picture does not affect the others.
    pub(crate) fn draw(self) -> Vec<PictureError> {
        let Pictures { files, recording, language } = self;
        let (events, forgotten) = recording.finish();
        let draw = |file: PictureFile| match file.kind {
            Kind::Trace => file.write(|mut out| trace::write_rest(&events, forgotten, &mut out)),
            Kind::Page => file.write(|out| html::write_rest(&events, forgotten, language, out)),
            _ => file.write(|out| out.write_all(timeline::draw_rest(&events, forgotten, language).as_bytes())),
        };
        files.into_iter().filter_map(|file| draw(file).err()).collect()
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
