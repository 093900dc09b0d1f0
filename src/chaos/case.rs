//! What a case is: somebody does something to an object, is killed in the middle of it, and others go on.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::i18n::Localized;
use super::peer::Peer;
use crate::ipc::process::codec;
use crate::ipc::{CodecError, RoleResult};

/// What became of an operation whose process was killed in it, as those see it who live on. In the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// It never happened.
    Undone,
    /// It was under way, and the next one was told that its predecessor died.
    HandedOn,
    /// It was done.
    Done,
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// Somebody waited for what was there, or for the dead, longer than 250 ms.
    Hangs,
    /// Somebody slept on although what it waited for was there, and only found it when it looked around by itself.
    WakeLost,
    /// What was half done could be seen.
    Torn,
    /// Something that had been given was gone.
    Lost,
    /// Something was there twice.
    Twice,
    /// The object could not be used any more.
    Unusable,
    /// Done at one instruction and not done at a later one.
    Undecided,
}

/// One case. The value is what is prepared for one kill: the object, and those who live on.
pub(super) trait Case: Sized + 'static {
    /// What the victim is given.
    type Handles: Serialize + DeserializeOwned;

    /// Makes the object and whatever stands around it.
    fn prepare() -> anyhow::Result<Self>;

    /// Gives the victim its part.
    fn handles(&mut self) -> Self::Handles;

    /// What the victim does, with a [mark](crate::sys::trace::mark) before the operation and one behind it.
    fn run_victim(handles: Self::Handles) -> RoleResult;

    /// Sets those to wait who wait for the victim. Called when it stands at its first mark.
    fn before_kill(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Wakes the victim when it sleeps in its operation. Not called if it does not come so far.
    fn wake(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Looks what the death has left, and whether those who live on can go on.
    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault>;
}

/// What a victim is given, without its type: encodes it, when its role is.
pub(super) type Handles = Box<dyn Fn() -> Result<Vec<u8>, CodecError>>;
/// What a victim does with what it was given.
pub(super) type Act = Box<dyn FnOnce() -> RoleResult>;

/// A [`Case`] without its type.
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
    /// Before its first instruction.
    Before,
    /// While it sleeps in it.
    Asleep,
    /// After every instruction, and while it sleeps.
    Within,
}

/// A line of the table: an object, a place to be killed, and what is promised then.
pub(super) struct Row {
    pub(super) object: &'static str,
    pub(super) place: Localized,
    pub(super) span: Span,
    /// What the survivors do.
    pub(super) survivors: Localized,
    /// The effect of a kill before the first instruction, and of one behind the last.
    pub(super) effects: (Effect, Effect),
    /// Whether it is documented that a sleeper may have to look around by itself.
    pub(super) looks_around: bool,
    /// Whether the row belongs to the fuller matrix only.
    pub(super) is_extra: bool,
    /// The same kill in Python, by its name there.
    pub(super) python: Option<&'static str>,
    pub(super) prepare: fn() -> anyhow::Result<Box<dyn Prepared>>,
    /// Decodes a [`Handles`], when its role is.
    pub(super) decode: fn(&[u8]) -> Result<Act, CodecError>,
}

impl Row {
    /// A row that kills in the middle of `C`'s operation; the first and the last effect are `effects`.
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

    /// A row that kills before the first instruction of `C`'s operation.
    pub(super) const fn before<C: Case>(
        object: &'static str,
        place: Localized,
        survivors: Localized,
        effect: Effect,
    ) -> Row {
        Row { span: Span::Before, ..Row::within::<C>(object, place, survivors, (effect, effect)) }
    }

    /// A row that kills while the victim sleeps in `C`'s operation.
    pub(super) const fn asleep<C: Case>(
        object: &'static str,
        place: Localized,
        survivors: Localized,
        effect: Effect,
    ) -> Row {
        Row { span: Span::Asleep, ..Row::within::<C>(object, place, survivors, (effect, effect)) }
    }

    /// Sleepers may have to look around by themselves here; it is documented.
    pub(super) const fn looking_around(self) -> Row {
        Row { looks_around: true, ..self }
    }

    /// For the fuller matrix only.
    pub(super) const fn extra(self) -> Row {
        Row { is_extra: true, ..self }
    }

    /// The same kill in Python has this name.
    pub(super) const fn like_python(self, name: &'static str) -> Row {
        Row { python: Some(name), ..self }
    }
}

/// The moment of a death, and what is seen of it.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) victim_pid: u32,
    /// Whether the victim slept and was roused.
    pub(super) woken: bool,
    killed_ns: u64,
    /// The longest that anybody took to go on, from the kill.
    pub(super) slowest_ns: u64,
    /// Whether a sleeper had to find by itself what it waited for.
    pub(super) wake_lost: bool,
}

impl Observation {
    pub(super) fn new(victim_pid: u32, woken: bool, killed_ns: u64) -> Self {
        Observation { victim_pid, woken, killed_ns, slowest_ns: 0, wake_lost: false }
    }

    /// What a peer that slept through the death has got. `None` if it still sleeps and nothing is `owed` to it.
    pub(super) fn settle<T>(&mut self, peer: &mut Peer<T>, owed: impl Fn() -> bool) -> Result<Option<T>, Fault> {
        let Some(back) = peer.settle(self.killed_ns, owed)? else { return Ok(None) };
        self.slowest_ns = self.slowest_ns.max(back.at_ns.saturating_sub(self.killed_ns));
        self.wake_lost |= back.wake_lost;
        Ok(Some(back.answer))
    }

    /// What a peer has got that has to come back in any case.
    pub(super) fn back<T>(&mut self, peer: &mut Peer<T>) -> Result<T, Fault> {
        self.settle(peer, || true)?.ok_or(Fault::Hangs)
    }

    /// What somebody gets who comes now: a new thread, that is given 250 ms.
    pub(super) fn fresh<T: Send + 'static>(&mut self, op: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        let begun_ns = crate::sys::clock::monotonic_ns();
        let mut survivor = Peer::start(op).map_err(|_| Fault::Unusable)?;
        let back = survivor.settle(begun_ns, || true)?.ok_or(Fault::Hangs)?;
        self.slowest_ns = self.slowest_ns.max(back.at_ns.saturating_sub(begun_ns));
        Ok(back.answer)
    }
}

/// Something that has to be so, or it is this fault.
pub(super) fn demand(holds: bool, otherwise: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(otherwise) }
}
