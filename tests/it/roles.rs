//! Roles that only tests use.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use ipc_demo::{Inherited, Lock, Process, Role, RoleEntry, RoleResult, Slot};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_word, meeting_point, worker};

pub(crate) static ROLES: &[RoleEntry] = &[
    RoleEntry::of::<Returns>(),
    RoleEntry::of::<Fails>(),
    RoleEntry::of::<Panics>(),
    RoleEntry::of::<Waits>(),
    RoleEntry::of::<ListsDescriptors>(),
    RoleEntry::of::<TakesWrongly>(),
    RoleEntry::of::<StartsAndWaits>(),
    RoleEntry::of::<StartsAndDies>(),
    RoleEntry::of::<HoldsLock>(),
    RoleEntry::of::<Counts>(),
    RoleEntry::of::<crate::process::StartsMany>(),
    RoleEntry::of::<crate::process::Exits>(),
    RoleEntry::of::<crate::process::StartsWithoutProc>(),
    RoleEntry::of::<crate::process::ReportsEnds>(),
    RoleEntry::of::<crate::process::ListsSignals>(),
    RoleEntry::of::<crate::process::StartsWithSignals>(),
    RoleEntry::of::<crate::process::Stops>(),
    RoleEntry::of::<crate::process::StartsOneThatStops>(),
    RoleEntry::of::<crate::pipe::SendsNumbers>(),
    RoleEntry::of::<crate::pipe::ReceivesNumbers>(),
    RoleEntry::of::<crate::pipe::Echoes>(),
    RoleEntry::of::<crate::pipe::SendsMegabyte>(),
    RoleEntry::of::<crate::pipe::SendsUntilBroken>(),
    RoleEntry::of::<crate::pipe::KeepsEnd>(),
    RoleEntry::of::<crate::pipe_queue::PutsItems>(),
    RoleEntry::of::<crate::pipe_queue::GetsItems>(),
    RoleEntry::of::<crate::barrier::GoesRounds>(),
    RoleEntry::of::<crate::barrier::Meets>(),
    RoleEntry::of::<crate::condition::AwaitsNotice>(),
    RoleEntry::of::<crate::condition::DiesNotifying>(),
    RoleEntry::of::<crate::condition::Trades>(),
    RoleEntry::of::<crate::deadlock::TakesTwo>(),
    RoleEntry::of::<crate::deadlock::TakesInOrder>(),
    RoleEntry::of::<crate::event::AwaitsEvent>(),
    RoleEntry::of::<crate::event::PlaysPingPong>(),
    RoleEntry::of::<crate::rlock::HoldsTwice>(),
    RoleEntry::of::<crate::rlock::CountsNested>(),
    RoleEntry::of::<crate::semaphore::TakesPermit>(),
    RoleEntry::of::<crate::semaphore::ComesAndGoes>(),
    RoleEntry::of::<crate::value::Adds>(),
    RoleEntry::of::<crate::value::StopsInside>(),
    RoleEntry::of::<crate::value::WritesSlices>(),
    RoleEntry::of::<crate::queue::Puts>(),
    RoleEntry::of::<crate::queue::HoldsProducer>(),
    RoleEntry::of::<crate::queue::Gets>(),
    RoleEntry::of::<crate::joinable_queue::Leases>(),
    RoleEntry::of::<crate::crash_points::Victim>(),
    RoleEntry::of::<crate::queue_remote::ServesPutter<crate::queue_cases::OfQueue>>(),
    RoleEntry::of::<crate::queue_remote::ServesGetter<crate::queue_cases::OfQueue>>(),
    RoleEntry::of::<crate::queue_remote::ServesPutter<crate::queue_cases::OfJoinableQueue>>(),
    RoleEntry::of::<crate::queue_remote::ServesGetter<crate::queue_cases::OfJoinableQueue>>(),
    RoleEntry::of::<crate::queue_remote::ServesPutter<crate::queue_cases::OfPipeQueue>>(),
    RoleEntry::of::<crate::queue_remote::ServesGetter<crate::queue_cases::OfPipeQueue>>(),
    RoleEntry::of::<crate::queue_stress::StressPuts>(),
    RoleEntry::of::<crate::queue_stress::StressGets>(),
    RoleEntry::of::<crate::queue_stress::StressLeases>(),
    RoleEntry::of::<ipc_demo::manager::ManagerServer>(),
    RoleEntry::of::<crate::manager::Does>(),
    RoleEntry::of::<crate::manager_barrier::Party>(),
    RoleEntry::of::<crate::manager_sharing::UsesShares>(),
    RoleEntry::of::<crate::manager_sharing::StartsManager>(),
];

/// Does nothing, well.
#[derive(Serialize, Deserialize)]
pub(crate) struct Returns;

impl Role for Returns {
    const NAME: &'static str = "test.returns";
    fn run(self, _: &mut Inherited) -> RoleResult {
        Ok(())
    }
}

/// Returns an error with a cause.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fails;

impl Role for Fails {
    const NAME: &'static str = "test.fails";
    fn run(self, _: &mut Inherited) -> RoleResult {
        Err(std::fs::read("/nonexistent/file").expect_err("no such file").into())
    }
}

/// Panics with a message.
#[derive(Serialize, Deserialize)]
pub(crate) struct Panics;

impl Role for Panics {
    const NAME: &'static str = "test.panics";
    fn run(self, _: &mut Inherited) -> RoleResult {
        let nothing: Option<u8> = std::env::args().nth(1000).map(|_| 0);
        nothing.expect("a thing that is not there");
        Ok(())
    }
}

/// Says that it is here, then waits until its other end is closed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Waits {
    pub(crate) here: Slot<OwnedFd>,
    pub(crate) until: Slot<OwnedFd>,
}

impl Role for Waits {
    const NAME: &'static str = "test.waits";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        arrive(&inherited.take(self.here)?, b'w');
        await_word(&inherited.take(self.until)?);
        Ok(())
    }
}

/// Sends home the list of its descriptors: number and inode, as an error text.
#[derive(Serialize, Deserialize)]
pub(crate) struct ListsDescriptors {
    pub(crate) given: Slot<OwnedFd>,
}

impl Role for ListsDescriptors {
    const NAME: &'static str = "test.lists-descriptors";
    fn run(self, _: &mut Inherited) -> RoleResult {
        let mut lines = Vec::new();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let path = entry?.path();
            let target = std::fs::read_link(&path)?.display().to_string();
            // The directory that is being read is open too, but nobody's heirloom.
            if target.ends_with("/fd") {
                continue;
            }
            let number = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            lines.push(format!("{number} {} {target}", std::fs::metadata(&path)?.ino()));
        }
        Err(lines.join("\n").into())
    }
}

/// Takes a slot of the wrong kind, and one twice.
#[derive(Serialize, Deserialize)]
pub(crate) struct TakesWrongly {
    pub(crate) lock_as_descriptor: Slot<OwnedFd>,
    pub(crate) twice: Slot<OwnedFd>,
}

impl Role for TakesWrongly {
    const NAME: &'static str = "test.takes-wrongly";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let wrong = inherited.take(self.lock_as_descriptor).expect_err("it is a lock");
        inherited.take(self.twice)?;
        let twice = inherited.take(self.twice).expect_err("it is taken");
        Err(format!("{wrong}; {twice}").into())
    }
}

/// Starts a worker of its own and waits beside it.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsAndWaits {
    pub(crate) here: Slot<OwnedFd>,
    pub(crate) until: Slot<OwnedFd>,
}

impl Role for StartsAndWaits {
    const NAME: &'static str = "test.starts-and-waits";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let (here, until) = (inherited.take(self.here)?, inherited.take(self.until)?);
        let inner: Process = worker("grandchild", |give| Waits { here: give.share(&here), until: give.share(&until) });
        arrive(&here, b's');
        await_word(&until);
        drop(inner);
        Ok(())
    }
}

/// Starts a worker of its own and is killed before it can have got far.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsAndDies {
    pub(crate) here: Slot<OwnedFd>,
    pub(crate) until: Slot<OwnedFd>,
}

impl Role for StartsAndDies {
    const NAME: &'static str = "test.starts-and-dies";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let (here, until) = (inherited.take(self.here)?, inherited.take(self.until)?);
        let _inner = worker("grandchild", |give| Waits { here: give.share(&here), until: give.share(&until) });
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
        Ok(())
    }
}

/// Takes the lock, says so, and keeps it until it is told to go on (or is killed).
#[derive(Serialize, Deserialize)]
pub(crate) struct HoldsLock {
    pub(crate) lock: Slot<Lock>,
    pub(crate) here: Slot<OwnedFd>,
    pub(crate) until: Slot<OwnedFd>,
    /// Ends without giving the lock back.
    pub(crate) forget: bool,
}

impl HoldsLock {
    /// Starts one. Also returns where it says so, and what lets it go on when it is dropped.
    pub(crate) fn start(name: &str, lock: &Lock, forget: bool) -> (Process, MeetingReader, OwnedFd) {
        let ((here, arrives), (until, release)) = (meeting_point(), meeting_point());
        let process = worker(name, |give| HoldsLock {
            lock: give.share(lock),
            here: give.hand_over(arrives),
            until: give.hand_over(until.into()),
            forget,
        });
        (process, here, release)
    }
}

impl Role for HoldsLock {
    const NAME: &'static str = "test.holds-lock";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let lock = inherited.take(self.lock)?;
        let guard = lock.acquire()?;
        arrive(&inherited.take(self.here)?, if guard.abandoned().is_some() { b'a' } else { b'h' });
        await_word(&inherited.take(self.until)?);
        if self.forget {
            std::mem::forget(guard);
        }
        Ok(())
    }
}

/// Adds to a number in a file, many times, each under the lock.
#[derive(Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) lock: Slot<Lock>,
    pub(crate) file: Slot<OwnedFd>,
    pub(crate) times: u32,
}

impl Role for Counts {
    const NAME: &'static str = "test.counts";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        use std::os::unix::fs::FileExt;
        let lock = inherited.take(self.lock)?;
        let file = std::fs::File::from(inherited.take(self.file)?);
        for _ in 0..self.times {
            let _guard = lock.acquire()?;
            let mut number = [0; 8];
            file.read_exact_at(&mut number, 0)?;
            std::thread::yield_now();
            file.write_all_at(&(u64::from_le_bytes(number) + 1).to_le_bytes(), 0)?;
        }
        Ok(())
    }
}
