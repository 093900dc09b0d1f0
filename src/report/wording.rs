//! What sentences need besides their event: the language, and what happened before.

use std::collections::HashMap;

use serde_json::Value;

use super::class::{SpanKind, Subject};
use super::event::Event;
use super::frame::RunStarted;
use super::language::Language;

/// Texts for later sentences, by name: a fact writes them, and one of the same scenario uses them.
pub(crate) type Notes = HashMap<&'static str, String>;

/// The names of workers and things, in English and in Chinese; without the number that may follow.
pub(crate) type Names = &'static [(&'static str, &'static str)];

/// What is called the same in every scenario.
const COMMON: Names =
    &[("runner", "主进程"), ("worker", "工作进程"), ("producer", "生产者"), ("consumer", "消费者"), ("lock", "锁")];

/// The state of a run up to some event.
#[derive(Debug, Default)]
pub(super) struct Known {
    names: Names,
    workers: HashMap<u32, String>,
    holders: HashMap<String, String>,
    /// The previous holder of each lock.
    former_holders: HashMap<String, String>,
    notes: Notes,
}

impl Known {
    /// Applies an event.
    pub(super) fn follow(&mut self, event: &Event) {
        if let Some(started) = event.get::<RunStarted>() {
            self.names = started.names;
        }
        let class = event.fact.class();
        if class.starts {
            self.workers.insert(event.pid, event.worker.clone());
        }
        if let Some((SpanKind::Holding, Subject::Named(_, name))) = class.ends {
            self.holders.remove(name);
        }
        if let Some((SpanKind::Holding, Subject::Named(_, name))) = class.begins
            && let Some(former) = self.holders.insert(name.to_owned(), event.worker.clone())
        {
            self.former_holders.insert(name.to_owned(), former);
        }
        event.fact.note(&mut self.notes);
    }

    /// Returns the names of the scenario.
    pub(super) fn names(&self) -> Names {
        self.names
    }

    /// Returns the wording of an event.
    pub(super) fn wording<'a>(&'a self, language: Language, event: &'a Event) -> Wording<'a> {
        Wording { language, event, known: self }
    }
}

/// What a sentence needs besides its event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording<'a> {
    pub(crate) language: Language,
    pub(crate) event: &'a Event,
    known: &'a Known,
}

impl<'a> Wording<'a> {
    /// Returns the display name of a worker or of something that workers wait for or hold.
    pub(crate) fn name(&self, name: &str) -> String {
        self.language.name(self.known.names, name)
    }

    /// Returns the object to which only this scenario gives a name, by its displayed name.
    pub(crate) fn own_name(&self, name: &str) -> Option<&'static str> {
        let (en, zh) = self.known.names.iter().find(|(en, _)| *en == name)?;
        Some(self.language.pick(en, zh))
    }

    /// Returns the name of the process with this ID.
    pub(crate) fn worker(&self, pid: u32) -> Option<&'a str> {
        self.known.workers.get(&pid).map(String::as_str)
    }

    /// Returns the holder of a lock before the current one: it died, if the lock was abandoned.
    pub(crate) fn former_holder(&self, lock: &str) -> Option<&'a str> {
        self.known.former_holders.get(lock).map(String::as_str)
    }

    /// Returns what was noted under this name.
    pub(crate) fn note(&self, name: &str) -> Option<&'a str> {
        self.known.notes.get(name).map(String::as_str)
    }

    pub(crate) fn duration(&self, us: u64) -> String {
        self.language.duration(us)
    }

    /// Returns an item: a fraction with two digits in English, and as the reference programs print it in Chinese.
    pub(crate) fn value(&self, value: &Value) -> String {
        match value.as_f64().filter(|_| value.is_f64() && self.language == Language::En) {
            Some(fraction) => format!("{fraction:.2}"),
            None => value.to_string(),
        }
    }

    /// Returns how long something was waited for.
    pub(crate) fn waited(&self, us: u64) -> String {
        match us {
            0 => self.pick("at once", "无需等待").to_owned(),
            us => format!("{} {}", self.pick("waited", "等待"), self.duration(us)),
        }
    }

    /// Returns one of two wordings.
    pub(crate) fn pick<'t>(&self, en: &'t str, zh: &'t str) -> &'t str {
        self.language.pick(en, zh)
    }
}

impl Language {
    /// Returns the display name of a worker or a thing.
    pub(crate) fn name(self, names: Names, name: &str) -> String {
        let (kind, number) = name.rsplit_once('-').unwrap_or((name, ""));
        let kind = match self {
            Language::En => return name.to_owned(),
            Language::Zh => names.iter().chain(COMMON).find(|(en, _)| *en == kind).map_or(kind, |(_, zh)| *zh),
        };
        format!("{kind}{number}")
    }
}

/// Formats a sentence, given in English and in Chinese, in the language of a [`Wording`], or `in` a [`Language`]. Named
/// values that follow can be used in both.
macro_rules! say {
    (in $language:expr, $en:literal, $zh:literal $(, $name:ident = $value:expr)*) => {{
        $(let $name = $value;)*
        match $language {
            $crate::report::Language::En => format!($en),
            $crate::report::Language::Zh => format!($zh),
        }
    }};
    ($wording:expr, $($sentence:tt)*) => {
        $crate::report::say!(in $wording.language, $($sentence)*)
    };
}
pub(crate) use say;
