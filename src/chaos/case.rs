//! Cases: a victim operates on an object, is killed during the operation, and the survivors go on.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::i18n::{Localized, localized};
use super::kill::{Kill, Untyped};
use crate::RoleResult;
use crate::ipc::codec;
use crate::process::CodecError;

/// The effect of an operation whose process was killed during it, as the survivors see it. In order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// The operation did not happen.
    Undone,
    /// The operation was under way, and the next caller was told that its predecessor died.
    HandedOn,
    /// The operation was done.
    Done,
}

impl Effect {
    /// Returns `Done` or `Undone`.
    pub(super) fn done_if(is_done: bool) -> Self {
        if is_done { Effect::Done } else { Effect::Undone }
    }
}

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// A process waited longer than 250 ms for something that was available, or for a dead process.
    Hangs,
    /// A sleeper was not woken although its condition held, and found out only through its own liveness check.
    WakeLost,
    /// A partial effect was visible.
    Torn,
    /// An item was lost.
    Lost,
    /// An item was duplicated.
    Twice,
    /// The object was no longer usable.
    Unusable,
    /// The operation was done at one instruction and not done at a later one.
    Undecided,
}

impl Fault {
    pub(super) fn sentence(self) -> Localized {
        match self {
            Fault::Hangs => localized("a survivor waits longer than 250 ms", "有幸存者等待超过 250 毫秒"),
            Fault::WakeLost => localized("a sleeping process was not woken", "睡眠的进程没有被唤醒"),
            Fault::Torn => localized("a partial change is visible", "能看到未完成的修改"),
            Fault::Lost => localized("something is lost", "有数据丢失"),
            Fault::Twice => localized("something is duplicated", "有数据重复"),
            Fault::Unusable => localized("it is no longer usable", "已不能使用"),
            Fault::Undecided => localized("done and undone in the wrong order", "完成与未完成的顺序错误"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence().en)
    }
}

impl std::error::Error for Fault {}

/// What a victim does with its handles.
pub(super) type Act = Box<dyn FnOnce() -> RoleResult>;
/// Decodes a victim's handles when its role is decoded.
type Decode = Box<dyn Fn(&[u8]) -> Result<Act, CodecError> + Send + Sync>;
/// What the survivors do.
type Survive = Box<dyn Fn(Kill<'_, Untyped>) -> anyhow::Result<Effect> + Send + Sync>;

/// An object, a victim's operation on it, and what the survivors see.
pub(super) struct Case {
    pub(super) object: &'static str,
    pub(super) decode: Decode,
    pub(super) survive: Survive,
}

impl Case {
    /// Returns a case of `object`.
    ///
    /// `victim` runs in the victim's process, with a [mark](crate::sys::trace::mark) before the operation and another
    /// after it. `survive` creates the object, passes handles to the victim, has it killed, and returns the effect that
    /// the survivors see. A [`Fault`] in its error is a broken promise; another error is one if the victim is dead.
    pub(super) fn of<H: Serialize + DeserializeOwned + 'static>(
        object: &'static str,
        victim: fn(H) -> RoleResult,
        survive: impl Fn(Kill<'_, H>) -> anyhow::Result<Effect> + Send + Sync + 'static,
    ) -> Self {
        let decode = move |handles: &[u8]| -> Result<Act, CodecError> {
            let handles: H = codec::from_slice(handles)?;
            Ok(Box::new(move || victim(handles)))
        };
        Case { object, decode: Box::new(decode), survive: Box::new(move |kill| survive(kill.typed())) }
    }

    /// Returns the row that kills within the operation; `effects` are the first and the last effect.
    pub(super) fn within(self, place: Localized, survivors: Localized, effects: (Effect, Effect)) -> Row {
        let (span, by_liveness_check, is_extra, python) = (Span::Within, false, false, None);
        Row { case: self, place, span, survivors, effects, by_liveness_check, is_extra, python }
    }

    /// Returns the row that kills before the first instruction of the operation.
    pub(super) fn before(self, place: Localized, survivors: Localized, effect: Effect) -> Row {
        Row { span: Span::Before, ..self.within(place, survivors, (effect, effect)) }
    }

    /// Returns the row that kills while the victim sleeps in the operation.
    pub(super) fn asleep(self, place: Localized, survivors: Localized, effect: Effect) -> Row {
        Row { span: Span::Asleep, ..self.within(place, survivors, (effect, effect)) }
    }
}

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

/// A row of the table: a [`Case`], a place of the kill, and the promise for it.
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) place: Localized,
    pub(super) span: Span,
    /// What the survivors do.
    pub(super) survivors: Localized,
    /// The effect of a kill before the first instruction, and of one after the last.
    pub(super) effects: (Effect, Effect),
    /// Whether it is documented that a sleeper may depend on its own liveness check.
    pub(super) by_liveness_check: bool,
    /// Whether the row belongs only to the fuller matrix.
    pub(super) is_extra: bool,
    /// The name of the same kill in Python.
    pub(super) python: Option<&'static str>,
}

impl Row {
    /// Allows sleepers to depend on their own liveness check here, as documented.
    pub(super) fn by_liveness_check(self) -> Row {
        Row { by_liveness_check: true, ..self }
    }

    /// Restricts the row to the fuller matrix.
    pub(super) fn extra(self) -> Row {
        Row { is_extra: true, ..self }
    }

    /// Sets the name of the same kill in Python.
    pub(super) fn like_python(self, name: &'static str) -> Row {
        Row { python: Some(name), ..self }
    }
}
