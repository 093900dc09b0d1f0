//! The scripts that run on the server. Each is one atomic step there.

use std::sync::OnceLock;

use redis::Cmd;

/// A script, and its digest once a server has loaded it.
pub(super) struct Script {
    /// What the program calls.
    parts: &'static [&'static str],
    program: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    const fn new(parts: &'static [&'static str], program: &'static str) -> Self {
        Script { parts, program, digest: OnceLock::new() }
    }

    /// Returns the program.
    pub(super) fn text(&self) -> String {
        let text = (self.parts.concat() + self.program).replace("STATE", STATE_NAMES);
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
    pub(super) first: &'a [Cmd],
}

impl From<&'static Script> for Request<'_> {
    fn from(script: &'static Script) -> Self {
        Request { script, first: &[] }
    }
}

/// The names of the parts of a queue's state.
const STATE_NAMES: &str = "kind, capacity, limit, put, got, taken, skipped, bytes, back, getting, putting, joining, \
    short, producers, consumers";

const HEAD: &str = include_str!("scripts/head.lua");
const OPEN: &str = include_str!("scripts/open.lua");
const PACKED: &str = include_str!("scripts/packed.lua");
const SESSION: &str = include_str!("scripts/session.lua");
const STATE: &str = include_str!("scripts/state.lua");
const SAVE: &str = include_str!("scripts/save.lua");
const WAITING: &str = include_str!("scripts/waiting.lua");
const ROOM: &str = include_str!("scripts/room.lua");
const PAYLOADS: &str = include_str!("scripts/payloads.lua");
const BATCHES: &str = include_str!("scripts/batches.lua");
const TASKS: &str = include_str!("scripts/tasks.lua");
const FITTING: &str = include_str!("scripts/fitting.lua");
const SETTLE: &str = include_str!("scripts/settle.lua");
const UNFINISHED: &str = include_str!("scripts/unfinished.lua");
const LEASES: &str = include_str!("scripts/leases.lua");
const RETURNS: &str = include_str!("scripts/returns.lua");
const TIME: &str = include_str!("scripts/time.lua");
const MEMBERS: &str = include_str!("scripts/members.lua");
const ABANDON: &str = include_str!("scripts/abandon.lua");
const CONTENTS: &str = include_str!("scripts/contents.lua");

/// The parts of the scripts after which a member is gone, and its leases with it.
const WITHOUT_MEMBER: &[&str] =
    &[HEAD, PACKED, STATE, SAVE, ROOM, PAYLOADS, TASKS, SETTLE, UNFINISHED, LEASES, RETURNS, TIME, MEMBERS, ABANDON];

pub(super) static CREATE: Script =
    Script::new(&[HEAD, OPEN, STATE, SAVE, TIME, MEMBERS], include_str!("scripts/create.lua"));
pub(super) static ENTER: Script =
    Script::new(&[HEAD, PACKED, STATE, SAVE, TIME, MEMBERS], include_str!("scripts/enter.lua"));
pub(super) static LEAVE: Script = Script::new(WITHOUT_MEMBER, include_str!("scripts/leave.lua"));
pub(super) static BEAT: Script =
    Script::new(&[HEAD, PACKED, STATE, SAVE, PAYLOADS, SETTLE, TIME, MEMBERS], include_str!("scripts/beat.lua"));
pub(super) static REAP: Script = Script::new(WITHOUT_MEMBER, include_str!("scripts/reap.lua"));
pub(super) static PUT: Script =
    Script::new(&[HEAD, SESSION, STATE, WAITING, BATCHES, TASKS, FITTING], include_str!("scripts/put.lua"));
pub(super) static GET: Script =
    Script::new(&[HEAD, SESSION, STATE, WAITING, ROOM, PAYLOADS, BATCHES], include_str!("scripts/get.lua"));
pub(super) static LEASE: Script =
    Script::new(&[HEAD, SESSION, STATE, WAITING, UNFINISHED], include_str!("scripts/lease.lua"));
pub(super) static DONE: Script =
    Script::new(&[HEAD, SESSION, STATE, ROOM, UNFINISHED, PAYLOADS, TASKS, LEASES], include_str!("scripts/done.lua"));
pub(super) static BACK: Script = Script::new(
    &[HEAD, SESSION, STATE, ROOM, UNFINISHED, PAYLOADS, TASKS, LEASES, RETURNS],
    include_str!("scripts/back.lua"),
);
pub(super) static JOIN: Script =
    Script::new(&[HEAD, PACKED, STATE, SAVE, WAITING, UNFINISHED], include_str!("scripts/join.lua"));
pub(super) static COUNT: Script =
    Script::new(&[HEAD, PACKED, STATE, UNFINISHED, CONTENTS], include_str!("scripts/count.lua"));
pub(super) static LETTERS: Script = Script::new(&[HEAD], include_str!("scripts/letters.lua"));
pub(super) static DISCARD: Script = Script::new(
    &[HEAD, SESSION, STATE, ROOM, UNFINISHED, PAYLOADS, TASKS, LEASES, RETURNS],
    include_str!("scripts/discard.lua"),
);
pub(super) static SHOW: Script =
    Script::new(&[HEAD, PACKED, STATE, UNFINISHED, CONTENTS, TIME], include_str!("scripts/show.lua"));
pub(super) static DELETE: Script =
    Script::new(&[HEAD, OPEN, STATE, SAVE, TIME, MEMBERS], include_str!("scripts/delete.lua"));
