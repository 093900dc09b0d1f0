//! The scripts that run on the server. Each is one atomic step there.

use std::sync::OnceLock;

use redis::Cmd;

/// A script, and its digest once a server has loaded it.
pub(super) struct Script {
    name: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    const fn new(name: &'static str) -> Self {
        Script { name, digest: OnceLock::new() }
    }

    /// Returns the program.
    pub(super) fn text(&self) -> String {
        let text = text_of(self.name).replace("STATE", STATE_NAMES);
        #[cfg(all(debug_assertions, feature = "cli"))]
        let text = crate::sys::failpoint::forget_absence(text);
        text
    }

    /// Returns the digest under which servers know the script; `None` before the first has loaded it.
    pub(super) fn digest(&self) -> Option<&str> {
        self.digest.get().map(String::as_str)
    }

    pub(super) fn loaded(&self, digest: String) {
        // Another thread may have been faster; the digest depends only on the text.
        let _ = self.digest.set(digest);
    }
}

/// A script, and commands that the server performs just before it: all or none.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) script: &'static Script,
    /// Makes the commands anew for each attempt.
    pub(super) first: &'a dyn Fn() -> Commands<'a>,
}

pub(super) type Commands<'a> = Box<dyn Iterator<Item = Cmd> + 'a>;

impl From<&'static Script> for Request<'_> {
    fn from(script: &'static Script) -> Self {
        Request { script, first: &|| Box::new(std::iter::empty()) }
    }
}

/// The names of the parts of a queue's state.
const STATE_NAMES: &str = "kind, capacity, limit, put, got, taken, skipped, bytes, back, getting, putting, joining, \
    short, producers, consumers";

/// Returns the text of a file of `scripts`, with each line `include 'PART'` replaced by the text of that part.
fn text_of(name: &str) -> String {
    let (_, text) = FILES.iter().find(|(file, _)| *file == name).expect("scripts and parts are files");
    text.lines().map(|line| part_of(line).map_or_else(|| format!("{line}\n"), text_of)).collect()
}

/// Returns the name of the part that a line includes, if it does.
fn part_of(line: &str) -> Option<&str> {
    line.trim().strip_prefix("include '")?.strip_suffix('\'')
}

/// Defines the scripts, and the names and texts of all files.
macro_rules! scripts {
    (scripts { $($script:ident $file:literal,)* } parts { $($part:literal,)* }) => {
        $(pub(super) static $script: Script = Script::new($file);)*

        const FILES: &[(&str, &str)] = &[
            $(($file, include_str!(concat!("scripts/", $file, ".lua"))),)*
            $(($part, include_str!(concat!("scripts/", $part, ".lua"))),)*
        ];
    };
}

scripts! {
    scripts {
        CREATE "create",
        ENTER "enter",
        LEAVE "leave",
        BEAT "beat",
        REAP "reap",
        PUT "put",
        GET "get",
        LEASE "lease",
        DONE "done",
        BACK "back",
        JOIN "join",
        COUNT "count",
        LETTERS "letters",
        DISCARD "discard",
        SHOW "show",
        DELETE "delete",
    }
    parts {
        "abandon", "batches", "contents", "finished", "fitting", "head", "members", "nothing", "open", "ours",
        "packed", "part", "payloads", "release", "removal", "returns", "room", "save", "session", "settle", "state",
        "tasks", "time", "unfinished", "waiting", "wake",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_script_or_a_part_of_one() {
        for (name, text) in FILES {
            let is_part = FILES.iter().any(|(_, other)| other.lines().filter_map(part_of).any(|part| part == *name));
            let begins_a_script = text.lines().filter_map(part_of).next() == Some("head");
            assert_ne!(is_part, begins_a_script, "{name}");
            assert!(!text_of(name).lines().any(|line| part_of(line).is_some()), "{name}");
        }
    }
}
