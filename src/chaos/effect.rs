//! The effect of a death during an operation, or the promise that it broke.

use serde::Serialize;

/// A text in English and Chinese.
pub(super) type Texts = [&'static str; 2];

/// The effect of an operation whose process was killed during it, as the survivors see it. In order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// The operation did not happen.
    Undone,
    /// The operation was interrupted, and the next caller learned that the previous one died.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[error("{}", self.sentence()[0])]
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
    pub(super) fn sentence(self) -> Texts {
        match self {
            Fault::Hangs => ["a survivor waits longer than 250 ms", "有幸存者等待超过 250 毫秒"],
            Fault::WakeLost => ["a sleeping process was not woken", "睡眠的进程没有被唤醒"],
            Fault::Torn => ["a partial change is visible", "能看到未完成的修改"],
            Fault::Lost => ["something is lost", "有数据丢失"],
            Fault::Twice => ["something is duplicated", "有数据重复"],
            Fault::Unusable => ["it is no longer usable", "对象已不可用"],
            Fault::Undecided => ["done and undone in the wrong order", "完成与未完成的顺序错误"],
        }
    }
}
