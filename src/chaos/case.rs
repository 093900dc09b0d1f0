//! The rows of the table: a victim is killed during an operation on an object, and the survivors continue.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::effect::{Effect, Texts};
use super::kill::{Kill, Untyped};
use crate::RoleResult;
use crate::ipc::codec;
use crate::process::CodecError;

/// What a victim does with its handles.
pub(super) type Act = Box<dyn FnOnce() -> RoleResult>;
/// Decodes a victim's handles when its role is decoded.
type Decode = Box<dyn Fn(&[u8]) -> Result<Act, CodecError> + Send + Sync>;
/// What the survivors do.
type Survive = Box<dyn Fn(Kill<'_, Untyped>) -> anyhow::Result<Effect> + Send + Sync>;

/// Where in its operation the victim is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// Before the first instruction.
    Before,
    /// While it sleeps in the operation.
    Asleep,
    /// After every instruction, and while it sleeps.
    Within,
}

/// A row of the table: an object, the victim's operation on it, where the victim is killed, and what the survivors
/// see.
pub(super) struct Row {
    /// The index among all rows.
    pub(super) index: usize,
    pub(super) object: &'static str,
    pub(super) decode: Decode,
    pub(super) survive: Survive,
    pub(super) place: Texts,
    pub(super) span: Span,
    /// What the survivors do.
    pub(super) survivors: Texts,
    /// The effect of a kill before the first instruction, and of one after the last.
    pub(super) effects: (Effect, Effect),
    /// Whether it is documented that a sleeper may depend on its own liveness check.
    pub(super) by_liveness_check: bool,
    /// Whether the row belongs only to the fuller matrix.
    pub(super) is_extra: bool,
    /// The name of the same kill in Python.
    pub(super) python: Option<&'static str>,
    /// The name of the same kill in another class of Python.
    pub(super) other_python: Option<&'static str>,
}

impl Row {
    /// Creates a row. Its place and its promise are set by the methods below, its object by the table of all rows.
    ///
    /// `victim` runs in the victim's process, with a [mark](crate::sys::trace::mark) before the operation and another
    /// after it. `survive` creates the object, passes handles to the victim, has it killed, and returns the effect that
    /// the survivors see. An error that contains a [`Fault`](super::effect::Fault) is a broken promise; so is any other
    /// error if the victim is dead.
    pub(super) fn of<H: Serialize + DeserializeOwned + 'static>(
        victim: fn(H) -> RoleResult,
        survive: fn(Kill<'_, H>) -> anyhow::Result<Effect>,
    ) -> Self {
        let decode = move |handles: &[u8]| -> Result<Act, CodecError> {
            let handles: H = codec::from_slice(handles)?;
            Ok(Box::new(move || victim(handles)))
        };
        Row {
            index: 0,
            object: "",
            decode: Box::new(decode),
            survive: Box::new(move |kill| survive(kill.typed())),
            place: ["", ""],
            span: Span::Within,
            survivors: ["", ""],
            effects: (Effect::Undone, Effect::Done),
            by_liveness_check: false,
            is_extra: false,
            python: None,
            other_python: None,
        }
    }

    /// Kills the victim within the operation. `effects` are that of a kill before the first instruction, and that of one
    /// after the last.
    pub(super) fn between(self, place: Texts, survivors: Texts, effects: (Effect, Effect)) -> Self {
        Row { place, survivors, effects, ..self }
    }

    /// Kills the victim within an operation that is undone at first, and done at last.
    pub(super) fn within(self, place: Texts, survivors: Texts) -> Self {
        self.between(place, survivors, (Effect::Undone, Effect::Done))
    }

    /// Kills the victim within an operation that the survivors cannot tell from the death of its process.
    pub(super) fn hidden_within(self, place: Texts, survivors: Texts) -> Self {
        self.between(place, survivors, (Effect::Done, Effect::Done))
    }

    /// Kills the victim before the first instruction of the operation.
    pub(super) fn before(self, place: Texts, survivors: Texts, effect: Effect) -> Self {
        Row { span: Span::Before, ..self.between(place, survivors, (effect, effect)) }
    }

    /// Kills the victim while it sleeps in the operation.
    pub(super) fn asleep(self, place: Texts, survivors: Texts, effect: Effect) -> Self {
        Row { span: Span::Asleep, ..self.between(place, survivors, (effect, effect)) }
    }

    /// Allows sleepers to depend on their own liveness check here, as documented.
    pub(super) fn by_liveness_check(self) -> Self {
        Row { by_liveness_check: true, ..self }
    }

    /// Restricts the row to the fuller matrix.
    pub(super) fn extra(self) -> Self {
        Row { is_extra: true, ..self }
    }

    /// Sets the name of the same kill in Python.
    pub(super) fn like_python(self, name: &'static str) -> Self {
        Row { python: Some(name), ..self }
    }

    /// Sets the names of the same kill in two classes of Python.
    pub(super) fn like_pythons(self, name: &'static str, other: &'static str) -> Self {
        Row { other_python: Some(other), ..self.like_python(name) }
    }

    /// Returns the names of the same kill in Python.
    pub(super) fn pythons(&self) -> impl Iterator<Item = &'static str> {
        self.python.into_iter().chain(self.other_python)
    }

    /// Returns the row's name for errors.
    pub(super) fn title(&self) -> String {
        format!("{}, {}", self.object, self.place[0])
    }
}
