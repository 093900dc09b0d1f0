//! A handle of a queue on a server: its operations, each of which is one script, and how it is sent to a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use redis::Value;

use super::answer::{Batch, Taken, batch, each, tasks, text, value};
use super::connection::{Answer, Connection};
use super::member::{Member, SentMember};
use super::payload::{Items, Payload, Place, of_batches};
use super::script::{self, Commands, Request, Script};
use super::session::{Kind, flags};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::process::table::ProcessSlot;
use crate::ipc::process::transfer;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::ring::Waiting;
use crate::sys::fork::forked_from;
use crate::sys::task::has_other_threads;

/// Items in a request: more would block the server, and `unpack` in Lua ends near 8,000.
pub(super) const MOST_ITEMS: usize = 1000;
/// Bytes after which a request is sent.
const MANY_BYTES: usize = 32 << 20;

/// A counted handle of this process.
pub(super) struct Handle {
    pub(super) member: Arc<Member>,
    rights: Rights,
    /// The [`Rights`] that this handle gave up.
    given_up: AtomicU32,
}

/// What is sent of a handle: how to become a member, its rights, and the number of the count for the worker.
pub(super) type SentHandle = (SentMember, Rights, u32);

impl Handle {
    pub(super) fn new(member: &Arc<Member>, rights: Rights) -> Result<Self> {
        member.count(rights)?;
        Ok(Handle { member: Arc::clone(member), rights, given_up: AtomicU32::new(0) })
    }

    /// Creates another handle of this process, with the part of `rights` that this handle still has.
    pub(super) fn another(&self, rights: Rights) -> Self {
        let rights = Rights(self.rights().0 & rights.0);
        Handle::new(&self.member, rights).expect("the process has these rights, so the server is not asked")
    }

    /// Counts a handle like this one for a worker, before it is sent.
    pub(super) fn counted_for(&self, slot: ProcessSlot) -> Result<SentHandle> {
        check_not_forked()?;
        let (member, rights) = (Arc::clone(&self.member), self.rights());
        let sent = member.counted_for(slot, rights)?;
        let unsent = sent.clone();
        Ok((sent, rights, transfer::counted(move || member.release(&unsent))))
    }

    /// Creates a handle from what another process sent.
    pub(super) fn received((sent, rights, number): SentHandle) -> Result<Self> {
        let member = transfer::made_once(|member: &Arc<Member>| member.is_of(&sent), || Member::received(&sent))?;
        let handle = Handle::new(&member, rights)?;
        transfer::received(number, move || member.release(&sent));
        Ok(handle)
    }

    pub(super) fn rights(&self) -> Rights {
        Rights(self.rights.0 & !self.given_up.load(SeqCst))
    }

    /// Gives up `rights`.
    pub(super) fn give_up(&self, rights: Rights) {
        let before = self.given_up.fetch_or(rights.0, SeqCst);
        let left = Rights(self.rights.0 & rights.0 & !before);
        if left != Rights::NONE && forked_from().is_none() {
            self.member.uncount(left, false);
        }
    }

    fn check_open(&self, right: Rights) -> Result<()> {
        check_not_forked()?;
        if self.rights().has(right) { Ok(()) } else { Err(Error::Closed) }
    }

    /// Makes a request in which this process's own `right` does not count if only this handle has it: a call that waits
    /// would otherwise wait for its own thread. Whether there is another thread is looked up only when it matters.
    fn discounting(
        &self,
        right: Rights,
        waiting: &Waiting,
        mut ask: impl FnMut(&str) -> Result<Answer>,
    ) -> Result<Answer> {
        if !waiting.will() || !self.rights().has(right) || !self.member.is_only_handle(right) {
            return ask("");
        }
        match ask(&self.member.id())? {
            (-3, _) if has_other_threads() => ask(""),
            answer => Ok(answer),
        }
    }

    /// Puts the first of `payloads` for which there is room in time, and returns how many; 0 on timeout.
    pub(super) fn put(&self, payloads: &[&[u8]], waiting: &Waiting) -> Result<usize> {
        self.check_open(Rights::PUT)?;
        let member = &self.member;
        let mut sum = 0;
        let fits = |payload: &&&[u8]| {
            sum += payload.len();
            sum <= MANY_BYTES
        };
        let count = payloads.iter().take(MOST_ITEMS).take_while(fits).count().max(1);
        let mut session = member.session(false);
        // All attempts set the same payloads.
        let payloads = &payloads[..count.min(payloads.len())];
        let items = Items::new(payloads, || session.next_name(), member.has_tasks());
        let sets = || -> Commands<'_> { Box::new(items.sets(|name| self.string(name))) };
        let request = Request { script: &script::PUT, first: &sets };
        let put = member.until(&mut session, waiting, "room", |session, waits, is_registered| {
            self.check_open(Rights::PUT)?;
            let (outcome, _) = self.discounting(Rights::GET, waiting, |own| {
                member.run_in(session, Kind::Other, request, |command| {
                    command.arg(own).arg(&flags(waits, is_registered, false));
                    items.append_to(command);
                })
            })?;
            match outcome {
                -3 => Err(Error::Disconnected),
                count => Ok(Some(count as usize).filter(|count| *count > 0)),
            }
        });
        member.keep(session, &put);
        Ok(put?.unwrap_or(0))
    }

    /// Gets up to `most` items of a queue without tasks, blocking while there is none. Returns nothing on timeout.
    pub(super) fn get(&self, most: usize, waiting: &Waiting) -> Result<Vec<Payload>> {
        let server = self.member.server();
        let got = self.take(&script::GET, most, waiting, |connection, mut answer| {
            let batches = value(server, answer.next().unwrap_or(Value::Nil))?;
            let payloads = of_batches(server, batches, |places| self.texts(connection, places))?;
            // The process may have been declared dead, and what it got went with it.
            let payloads: Vec<Payload> = payloads.into_iter().flatten().collect();
            Ok(Some(payloads).filter(|payloads| !payloads.is_empty()))
        })?;
        Ok(got.unwrap_or_default())
    }

    /// Leases up to `most` tasks, blocking while there is none; `None` on timeout.
    pub(super) fn lease(&self, most: usize, waiting: &Waiting) -> Result<Option<Batch>> {
        let server = self.member.server();
        self.take(&script::LEASE, most, waiting, |connection, rest| {
            let batch = batch(server, rest, |places| self.texts(connection, places))?;
            Ok(Some(batch).filter(|batch| !batch.items.is_empty()))
        })
    }

    /// Returns the key of a string with payloads.
    fn string(&self, name: &str) -> String {
        self.member.key("long:") + name
    }

    /// Reads parts of strings.
    fn texts(&self, connection: &mut Connection, places: &[Place]) -> Result<Vec<Value>> {
        let commands: Vec<_> = places.iter().map(|place| place.get(|name| self.string(name))).collect();
        connection.commands(&commands, self.member.server().timeout)
    }

    fn take<R>(
        &self,
        script: &'static Script,
        most: usize,
        waiting: &Waiting,
        read: impl Fn(&mut Connection, std::vec::IntoIter<Value>) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        self.check_open(Rights::GET)?;
        let member = &self.member;
        let kind = if member.has_tasks() { Kind::Other } else { Kind::PlainGet };
        let mut session = member.session(true);
        let taken = member.until(&mut session, waiting, "more", |session, waits, is_registered| {
            loop {
                let id = member.id();
                let (outcome, rest) = self.discounting(Rights::PUT, waiting, |own| {
                    member.run_in(session, kind, script, |command| {
                        command.arg(&*id).arg(&flags(waits, is_registered, !own.is_empty())).arg(most.min(MOST_ITEMS));
                    })
                })?;
                match outcome {
                    0 => return Ok(None),
                    -2 => member.rejoin(&mut session.connection, &id, member.server().timeout)?,
                    -3 => return Err(Error::Disconnected),
                    _ => {
                        let taken = read(&mut session.connection, rest)?;
                        if kind == Kind::PlainGet {
                            session.got();
                        }
                        if taken.is_some() {
                            return Ok(taken);
                        }
                    }
                }
            }
        });
        member.keep_after_get(session, &taken);
        taken
    }

    /// Ends leases of a holder: their tasks are done. `were_returned` tells whether some of them were redelivered, `bytes`
    /// how many bytes all have, `strings` how many payloads are in which string. Returns whether each was still held.
    pub(super) fn finish(
        &self,
        holder: &str,
        numbers: &[u64],
        were_returned: bool,
        bytes: usize,
        strings: &str,
    ) -> Result<Vec<bool>> {
        let answer = self.member.request(&script::DONE, |command| {
            command.arg(holder).arg(u8::from(were_returned)).arg(bytes).arg(strings).arg(numbers);
        })?;
        each(self.member.server(), answer)
    }

    /// Returns leased items of a holder to the queue. Returns whether each was still held.
    pub(super) fn give_back(&self, holder: &str, numbers: &[u64]) -> Result<Vec<bool>> {
        let answer = self.member.request(&script::BACK, |command| _ = command.arg(holder).arg(numbers))?;
        each(self.member.server(), answer)
    }

    /// Blocks until no task is unfinished; `false` on timeout.
    pub(super) fn join(&self, waiting: &Waiting) -> Result<bool> {
        check_not_forked()?;
        let (member, server) = (&self.member, self.member.server());
        let mut session = member.session(false);
        let joined = member.until(&mut session, waiting, "done", |session, waits, is_registered| {
            let answer = self.discounting(Rights::GET, waiting, |own| {
                member.run(&mut session.connection, &script::JOIN, server.timeout, |command| {
                    command.arg(own).arg(&flags(waits, is_registered, false));
                })
            })?;
            match answer {
                (1, _) => Ok(Some(())),
                (0, _) => Ok(None),
                (-3, mut rest) => {
                    let Some(Value::Int(unfinished)) = rest.next() else { return Err(server.unexpected(&rest)) };
                    Err(Error::NoConsumers { unfinished: unfinished as u64 })
                }
                (_, mut rest) => {
                    let died = text(server, rest.next())?;
                    let pid = died.split(':').nth(1).and_then(|pid| pid.parse().ok()).unwrap_or(0);
                    let item = text(server, rest.next())?.parse().unwrap_or(0);
                    Err(Error::ConsumerDied { pid, item })
                }
            }
        });
        member.keep(session, &joined);
        Ok(joined?.is_some())
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        check_not_forked()?;
        let server = self.member.server();
        // Children that have ended are declared dead first, so that what they had leased counts at once.
        let dead = self.member.state().dead_children();
        self.member.declare_dead(&mut self.member.connection(), &dead, server.timeout)?;
        let numbers: Vec<i64> = value(server, Value::Array(self.read(&script::COUNT)?.1.collect()))?;
        let [queued, unfinished, dead, puts, gets] = numbers[..] else { return Err(server.unexpected(&numbers)) };
        Ok(Counts {
            queued: queued as usize,
            unfinished: unfinished as u64,
            dead: dead as usize,
            has_producers: puts != 0,
            has_consumers: gets != 0,
        })
    }

    /// Reads the oldest dead letters.
    pub(super) fn dead_letters(&self) -> Result<Vec<Taken>> {
        let (server, mut letters) = (self.member.server(), self.read(&script::LETTERS)?.1);
        tasks(server, &mut letters, |places| self.texts(&mut self.member.connection(), places))
    }

    /// Removes dead letters. Returns whether each was still there.
    pub(super) fn discard(&self, numbers: &[u64]) -> Result<Vec<bool>> {
        let answer = self.member.request(&script::DISCARD, |command| _ = command.arg("").arg(numbers))?;
        each(self.member.server(), answer)
    }

    /// Runs a script that changes nothing.
    fn read(&self, script: &'static Script) -> Result<Answer> {
        check_not_forked()?;
        let member = &self.member;
        let mut session = member.session(false);
        let answer = member.run(&mut session.connection, script, member.server().timeout, |command| {
            command.arg(MOST_ITEMS);
        });
        member.keep(session, &answer);
        answer
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if forked_from().is_none() {
            self.member.uncount(self.rights(), true);
        }
    }
}

/// What there is in a queue, at one moment.
pub(super) struct Counts {
    pub(super) queued: usize,
    pub(super) unfinished: u64,
    pub(super) dead: usize,
    /// Whether a producer is left or none has come yet; so for consumers.
    pub(super) has_producers: bool,
    pub(super) has_consumers: bool,
}
