//! An event of a run, and what a report needs to know of it.
//!
//! Each scenario has types of its own for its events: [`Fact`] is what they have in common. A report sees of them the
//! name and the fields in JSON Lines, the [`Class`], and the sentences. Names are facts in the past tense. Fields may
//! be added; none is renamed or removed, because scripts read them.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::class::Class;
use super::things::{Thing, Things};
use super::wording::{Notes, Wording};

/// The worker name of the runner itself.
pub(crate) const RUNNER: &str = "runner";

/// An event in a run.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Microseconds since the run began, on the monotonic clock.
    pub(crate) at_us: u64,
    /// The worker that it happened to, by name, or [`RUNNER`].
    pub(crate) worker: String,
    /// That worker's process ID.
    pub(crate) pid: u32,
    /// What happened.
    pub(crate) fact: AnyFact,
}

impl Event {
    /// Returns what happened, if it is of this type.
    pub(crate) fn get<F: Fact>(&self) -> Option<&F> {
        self.fact.get()
    }

    pub(crate) fn is<F: Fact>(&self) -> bool {
        self.get::<F>().is_some()
    }
}

/// What happened: usually a variant of the enum of a scenario.
///
/// Its JSON form is an object that begins with the name, `event`.
pub(crate) trait Fact: Any + Debug + Send + Sync {
    /// Classifies it.
    fn class(&self) -> Class<'_> {
        Class::default()
    }

    /// Returns the shared things that exist from now on.
    fn things(&self) -> Vec<Thing> {
        Vec::new()
    }

    /// Changes shared things by what its class does not say.
    fn change(&self, _worker: &str, _things: &mut Things) {}

    /// Returns its text, from its worker's point of view.
    fn sentence(&self, wording: &Wording<'_>) -> String;

    /// Returns the lines below the sentence.
    fn details(&self, _context: &Wording<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Takes notes that later sentences need.
    fn note(&self, _notes: &mut Notes) {}
}

/// A fact of any type, with its JSON form.
#[derive(Debug, Clone)]
pub(crate) struct AnyFact {
    fact: Arc<dyn Fact>,
    json: Arc<str>,
}

/// Reads a fact of one type from its JSON form; fails if it is of another.
pub(crate) type Parse = fn(&str) -> serde_json::Result<AnyFact>;

impl AnyFact {
    /// Reads a fact of type `F` from its JSON form.
    pub(crate) fn parse<F: Fact + DeserializeOwned>(json: &str) -> serde_json::Result<Self> {
        Ok(AnyFact { fact: Arc::new(serde_json::from_str::<F>(json)?), json: json.into() })
    }

    pub(crate) fn get<F: Fact>(&self) -> Option<&F> {
        (&*self.fact as &dyn Any).downcast_ref()
    }

    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// Returns its name in JSON Lines.
    pub(crate) fn name(&self) -> &str {
        self.json.split('"').nth(3).expect("the first field is the name")
    }

    /// Returns whether a worker that reports it is at this moment: its name, or an activity that begins with it.
    pub(crate) fn is_at(&self, moment: &str) -> bool {
        self.name() == moment || self.class().begins.is_some_and(|(kind, _)| kind.name() == moment)
    }

    /// Returns the other fields.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields: Map<String, Value> = serde_json::from_str(&self.json).expect("a fact is an object");
        fields.shift_remove("event");
        fields
    }
}

impl<F: Fact + Serialize> From<F> for AnyFact {
    fn from(fact: F) -> Self {
        let json = serde_json::to_string(&fact).expect("a fact has a JSON form");
        AnyFact { fact: Arc::new(fact), json: json.into() }
    }
}

impl Deref for AnyFact {
    type Target = dyn Fact;

    fn deref(&self) -> &Self::Target {
        &*self.fact
    }
}
