//! The result of a task, as the parent finds it.
//!
//! A short one is in the slot; a long one is in the area of its worker, and is read there if its caller is about to do
//! that.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::state::Member;
use super::supervisor::Inner;
use super::table::{Area, CONTENT_BYTES, Slot};
use super::task::TaskError;
use super::worker::{FAILURE, INPUT_REFUSED, OUTPUT};
use crate::ipc::codec::{self, CodecError};
use crate::process::{FailureKind, WorkerFailure};

/// Outputs that are at least this long are read where they are.
const LONG: usize = 4 << 10;

/// An output as its worker wrote it, or why there is none.
#[derive(Debug)]
pub(super) enum Outcome {
    Short { len: u8, bytes: [u8; CONTENT_BYTES] },
    Long(Vec<u8>),
    InPlace(InPlace),
    Failed(Box<TaskError>),
}

/// A long output in the area of its worker, which keeps it there until this is dropped: without the lock.
pub(super) struct InPlace {
    inner: Arc<Inner>,
    area: Arc<Area>,
    slot: u32,
    place: usize,
    len: usize,
}

impl fmt::Debug for InPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InPlace").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        // In a forked child, the slot is its parent's.
        let Ok(mut state) = self.inner.lock_unless_forked() else { return };
        let table = &self.inner.table;
        let slot = table.slot(self.slot).expect("it was in a slot");
        state.free_slot(table, self.slot, slot);
    }
}

/// A caller that is about to read the results of its batch.
#[derive(Clone, Copy)]
pub(super) struct Reader<'c> {
    pub(super) inner: &'c Arc<Inner>,
    pub(super) batch: usize,
}

impl Outcome {
    pub(super) fn failed(error: TaskError) -> Self {
        Outcome::Failed(Box::new(error))
    }

    /// Returns how much memory it takes beyond its own size.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Outcome::Long(bytes) => bytes.len(),
            Outcome::InPlace(output) => output.len,
            Outcome::Short { .. } | Outcome::Failed(_) => 0,
        }
    }

    /// Reads a result from its slot, and from the area of its worker, unless it is a long one that `reader` can read there.
    pub(super) fn of(number: u32, slot: &Slot, worker: &Member, reader: Option<Reader<'_>>) -> Self {
        let (len, place) = slot.output();
        let outcome = match place {
            None => {
                let mut bytes = [0; CONTENT_BYTES];
                slot.copy_output(&mut bytes[..len]);
                Outcome::Short { len: len as u8, bytes }
            }
            Some(place) if worker.area.has_place(place, len) => {
                let output = worker.area.output(place, len);
                if let Some(reader) = reader.filter(|_| len >= LONG && output[0] == OUTPUT) {
                    let (inner, area) = (Arc::clone(reader.inner), Arc::clone(&worker.area));
                    return Outcome::InPlace(InPlace { inner, area, slot: number, place, len });
                }
                Outcome::Long(output.to_vec())
            }
            Some(_) => Outcome::Long(Vec::new()),
        };
        match outcome.as_slice().first() {
            Some(&OUTPUT) => outcome,
            _ => Outcome::failed(failure(outcome.as_slice(), &worker.name)),
        }
    }

    /// Returns the bytes of a result as the worker wrote them.
    fn as_slice(&self) -> &[u8] {
        match self {
            Outcome::Short { len, bytes } => &bytes[..usize::from(*len)],
            Outcome::Long(bytes) => bytes,
            Outcome::InPlace(output) => output.area.output(output.place, output.len),
            Outcome::Failed(_) => &[],
        }
    }

    /// Returns the output of the task, or why there is none.
    pub(super) fn read<O: DeserializeOwned>(&self) -> Result<O, TaskError> {
        match self {
            Outcome::Failed(error) => Err((**error).clone()),
            outcome => codec::from_slice(&outcome.as_slice()[1..]).map_err(|error| TaskError::Output(error.into())),
        }
    }
}

/// Returns why a task of this worker has no output.
#[cold]
fn failure(bytes: &[u8], worker: &str) -> TaskError {
    let refused = |error: CodecError| TaskError::Output(error.into());
    let Some((kind, reason)) = bytes.split_first() else { return refused(CodecError::Malformed { at: 0 }) };
    if *kind == FAILURE {
        return codec::from_slice::<WorkerFailure>(reason).map_or_else(refused, |failure| {
            let failure = Box::new(WorkerFailure { worker: worker.to_owned(), ..failure });
            if failure.kind == FailureKind::Panic { TaskError::Panicked(failure) } else { TaskError::Failed(failure) }
        });
    }
    let reason = codec::from_slice(reason).map_or_else(|error| error, CodecError::Refused);
    if *kind == INPUT_REFUSED { TaskError::Input(reason.into()) } else { refused(reason) }
}
