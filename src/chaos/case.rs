//! Cases: a victim operates on an object, is killed during the operation, and the survivors go on.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::i18n::Localized;
use super::peer::Peer;
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

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// A case. A value is the fixture of one kill: the object and the survivors.
pub(super) trait Case: Sized + 'static {
    /// What is passed to the victim.
    type Handles: Serialize + DeserializeOwned;

    /// Creates the object and its surroundings.
    fn prepare() -> anyhow::Result<Self>;

    /// Returns the victim's handles.
    fn handles(&mut self) -> Self::Handles;

    /// The victim's code, with a [mark](crate::sys::trace::mark) before the operation and another after it.
    fn run_victim(handles: Self::Handles) -> RoleResult;

    /// Starts the peers that wait for the victim. Called when the victim is at its first mark.
    fn before_kill(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Wakes the victim when it sleeps in its operation. Not called if it does not get that far.
    fn wake(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Checks the state after the death, and whether the survivors can go on.
    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault>;
}

/// The type-erased handles of a victim: encodes them when its role is encoded.
pub(super) type Handles = Box<dyn Fn() -> Result<Vec<u8>, CodecError>>;
/// What a victim does with its handles.
pub(super) type Act = Box<dyn FnOnce() -> RoleResult>;

/// A type-erased [`Case`].
pub(super) trait Prepared {
    fn handles(&mut self) -> Handles;
    fn before_kill(&mut self) -> anyhow::Result<()>;
    fn wake(&mut self) -> anyhow::Result<()>;
    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault>;
}

impl<C: Case> Prepared for C {
    fn handles(&mut self) -> Handles {
        let handles = Case::handles(self);
        Box::new(move || codec::to_vec(&handles))
    }

    fn before_kill(&mut self) -> anyhow::Result<()> {
        Case::before_kill(self)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        Case::wake(self)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        Case::check(self, observation)
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

/// A row of the table: an object, a place of the kill, and the promise for it.
pub(super) struct Row {
    pub(super) object: &'static str,
    pub(super) place: Localized,
    pub(super) span: Span,
    /// What the survivors do.
    pub(super) survivors: Localized,
    /// The effect of a kill before the first instruction, and of one after the last.
    pub(super) effects: (Effect, Effect),
    /// Whether it is documented that a sleeper may depend on its own liveness check.
    pub(super) looks_around: bool,
    /// Whether the row belongs only to the fuller matrix.
    pub(super) is_extra: bool,
    /// The name of the same kill in Python.
    pub(super) python: Option<&'static str>,
    pub(super) prepare: fn() -> anyhow::Result<Box<dyn Prepared>>,
    /// Decodes [`Handles`] when their role is decoded.
    pub(super) decode: fn(&[u8]) -> Result<Act, CodecError>,
}

impl Row {
    /// Returns a row that kills within `C`'s operation; `effects` are the first and the last effect.
    pub(super) const fn within<C: Case>(
        object: &'static str,
        place: Localized,
        survivors: Localized,
        effects: (Effect, Effect),
    ) -> Row {
        fn prepare<C: Case>() -> anyhow::Result<Box<dyn Prepared>> {
            Ok(Box::new(C::prepare()?))
        }
        fn decode<C: Case>(handles: &[u8]) -> Result<Act, CodecError> {
            let handles: C::Handles = codec::from_slice(handles)?;
            Ok(Box::new(move || C::run_victim(handles)))
        }
        Row {
            object,
            place,
            span: Span::Within,
            survivors,
            effects,
            looks_around: false,
            is_extra: false,
            python: None,
            prepare: prepare::<C>,
            decode: decode::<C>,
        }
    }

    /// Returns a row that kills before the first instruction of `C`'s operation.
    pub(super) const fn before<C: Case>(
        object: &'static str,
        place: Localized,
        survivors: Localized,
        effect: Effect,
    ) -> Row {
        Row { span: Span::Before, ..Row::within::<C>(object, place, survivors, (effect, effect)) }
    }

    /// Returns a row that kills while the victim sleeps in `C`'s operation.
    pub(super) const fn asleep<C: Case>(
        object: &'static str,
        place: Localized,
        survivors: Localized,
        effect: Effect,
    ) -> Row {
        Row { span: Span::Asleep, ..Row::within::<C>(object, place, survivors, (effect, effect)) }
    }

    /// Allows sleepers to depend on their own liveness check here, as documented.
    pub(super) const fn looking_around(self) -> Row {
        Row { looks_around: true, ..self }
    }

    /// Restricts the row to the fuller matrix.
    pub(super) const fn extra(self) -> Row {
        Row { is_extra: true, ..self }
    }

    /// Sets the name of the same kill in Python.
    pub(super) const fn like_python(self, name: &'static str) -> Row {
        Row { python: Some(name), ..self }
    }
}

/// The time of a death, and what was observed after it.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) victim_pid: u32,
    /// Whether the victim slept and was woken.
    pub(super) woken: bool,
    killed_ns: u64,
    /// The longest time from the kill until a survivor went on.
    pub(super) slowest_ns: u64,
    /// Whether a sleeper was not woken and found its condition by its own check.
    pub(super) wake_lost: bool,
}

impl Observation {
    pub(super) fn new(victim_pid: u32, woken: bool, killed_ns: u64) -> Self {
        Observation { victim_pid, woken, killed_ns, slowest_ns: 0, wake_lost: false }
    }

    /// Returns the result of a peer that slept through the death; `None` if it still sleeps and `owed` returns `false`.
    pub(super) fn settle<T>(&mut self, peer: &mut Peer<T>, owed: impl Fn() -> bool) -> Result<Option<T>, Fault> {
        let Some(back) = peer.settle(self.killed_ns, owed)? else { return Ok(None) };
        self.slowest_ns = self.slowest_ns.max(back.at_ns.saturating_sub(self.killed_ns));
        self.wake_lost |= back.wake_lost;
        Ok(Some(back.answer))
    }

    /// Returns the result of a peer that has to return in any case.
    pub(super) fn back<T>(&mut self, peer: &mut Peer<T>) -> Result<T, Fault> {
        self.settle(peer, || true)?.ok_or(Fault::Hangs)
    }

    /// Runs `op` on a new thread; it must finish within 250 ms.
    pub(super) fn fresh<T: Send + 'static>(&mut self, op: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        let begun_ns = crate::sys::clock::monotonic_ns();
        let mut survivor = Peer::start(op).map_err(|_| Fault::Unusable)?;
        let back = survivor.settle(begun_ns, || true)?.ok_or(Fault::Hangs)?;
        self.slowest_ns = self.slowest_ns.max(back.at_ns.saturating_sub(begun_ns));
        Ok(back.answer)
    }
}

/// Returns the fault `otherwise` unless `holds`.
pub(super) fn demand(holds: bool, otherwise: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(otherwise) }
}
