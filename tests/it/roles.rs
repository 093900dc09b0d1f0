//! Roles that only tests use.

use std::os::unix::fs::MetadataExt;

use ipc_demo::process::Fd;
use ipc_demo::{Lock, Process, Role, RoleEntry, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_word, meeting_point, worker};

pub(crate) static ROLES: &[RoleEntry] = &[
    RoleEntry::of::<Returns>(),
    RoleEntry::of::<Fails>(),
    RoleEntry::of::<Panics>(),
    RoleEntry::of::<Waits>(),
    RoleEntry::of::<ListsDescriptors>(),
    RoleEntry::of::<StartsAndWaits>(),
    RoleEntry::of::<StartsAndDies>(),
    RoleEntry::of::<HoldsLock>(),
    RoleEntry::of::<Counts>(),
    RoleEntry::of::<crate::process::transfer::AddsEverywhere>(),
    RoleEntry::of::<crate::process::transfer::HasTwice>(),
    RoleEntry::of::<crate::process::transfer::SendsOn>(),
    RoleEntry::of::<crate::process::transfer::KeepsProducers>(),
    RoleEntry::of::<crate::process::transfer::IsEqual>(),
    RoleEntry::of::<crate::process::transfer::StartsNobody>(),
    RoleEntry::of::<crate::process::child::StartsMany>(),
    RoleEntry::of::<crate::process::inheritance::MakesAllWithoutStandard>(),
    RoleEntry::of::<crate::process::child::Exits>(),
    RoleEntry::of::<crate::process::child::StartsWithoutProc>(),
    RoleEntry::of::<crate::process::child::ReportsEnds>(),
    RoleEntry::of::<crate::process::child::ListsSignals>(),
    RoleEntry::of::<crate::process::child::StartsWithSignals>(),
    RoleEntry::of::<crate::process::child::Stops>(),
    RoleEntry::of::<crate::process::child::StartsOneThatStops>(),
    RoleEntry::of::<crate::explore::Increments>(),
    RoleEntry::of::<crate::explore::TakesBoth>(),
    RoleEntry::of::<crate::explore::TakesBothInTime>(),
    RoleEntry::of::<crate::explore::Retries>(),
    RoleEntry::of::<crate::explore::Notices>(),
    RoleEntry::of::<crate::explore::Counts>(),
    RoleEntry::of::<crate::explore::UsesEnd>(),
    RoleEntry::of::<crate::explore::Leaves>(),
    RoleEntry::of::<crate::explore::Wakes>(),
    RoleEntry::of::<crate::explore::MeetsOrBreaks>(),
    RoleEntry::of::<crate::explore::Idles>(),
    RoleEntry::of::<crate::explore::SendsDatagram>(),
    RoleEntry::of::<crate::explore::Meets>(),
    RoleEntry::of::<crate::explore::UsesManager>(),
    RoleEntry::of_task::<crate::pool::task::Does>(),
    RoleEntry::of_task::<crate::pool::process_pool::Nests>(),
    RoleEntry::of_task::<crate::pool::stress::Doubles>(),
    RoleEntry::of_task::<crate::pool::worker::NeverReady>(),
    RoleEntry::of::<crate::pool::process_pool::ParentOfPool>(),
    RoleEntry::of::<crate::pool::stress::RunsAnything>(),
    RoleEntry::of::<crate::pipe::SendsNumbers>(),
    RoleEntry::of::<crate::pipe::ReceivesNumbers>(),
    RoleEntry::of::<crate::pipe::Echoes>(),
    RoleEntry::of::<crate::pipe::SendsMegabyte>(),
    RoleEntry::of::<crate::pipe::SendsUntilBroken>(),
    RoleEntry::of::<crate::pipe::KeepsEnd>(),
    RoleEntry::of::<crate::queue::pipe_queue::PutsItems>(),
    RoleEntry::of::<crate::queue::pipe_queue::GetsItems>(),
    RoleEntry::of::<crate::sync::barrier::GoesRounds>(),
    RoleEntry::of::<crate::sync::barrier::Meets>(),
    RoleEntry::of::<crate::sync::condition::AwaitsNotice>(),
    RoleEntry::of::<crate::sync::condition::DiesNotifying>(),
    RoleEntry::of::<crate::sync::condition::Trades>(),
    RoleEntry::of::<crate::sync::deadlock::TakesTwo>(),
    RoleEntry::of::<crate::sync::deadlock::TakesInOrder>(),
    RoleEntry::of::<crate::sync::event::AwaitsEvent>(),
    RoleEntry::of::<crate::sync::event::PlaysPingPong>(),
    RoleEntry::of::<crate::sync::rlock::HoldsTwice>(),
    RoleEntry::of::<crate::sync::rlock::CountsNested>(),
    RoleEntry::of::<crate::sync::semaphore::TakesPermit>(),
    RoleEntry::of::<crate::sync::semaphore::ComesAndGoes>(),
    RoleEntry::of::<crate::shared::value::Adds>(),
    RoleEntry::of::<crate::shared::value::StopsInside>(),
    RoleEntry::of::<crate::shared::value::WritesSlices>(),
    RoleEntry::of::<crate::queue::shm_queue::Puts>(),
    RoleEntry::of::<crate::queue::shm_queue::HoldsProducer>(),
    RoleEntry::of::<crate::queue::shm_queue::Gets>(),
    RoleEntry::of::<crate::queue::joinable_queue::Leases>(),
    RoleEntry::of::<crate::queue::remote::ServesPutter<ipc_demo::queue::SharedMemory>>(),
    RoleEntry::of::<crate::queue::remote::ServesGetter<ipc_demo::queue::SharedMemory>>(),
    RoleEntry::of::<crate::queue::remote::ServesPutter<crate::queue::cases::Joinable>>(),
    RoleEntry::of::<crate::queue::remote::ServesGetter<crate::queue::cases::Joinable>>(),
    RoleEntry::of::<crate::queue::remote::ServesPutter<ipc_demo::queue::Pipe>>(),
    RoleEntry::of::<crate::queue::remote::ServesGetter<ipc_demo::queue::Pipe>>(),
    RoleEntry::of::<crate::queue::remote::ServesPutter<crate::queue::redis_queue::Plain>>(),
    RoleEntry::of::<crate::queue::remote::ServesGetter<crate::queue::redis_queue::Plain>>(),
    RoleEntry::of::<crate::queue::remote::ServesPutter<crate::queue::redis_queue::Tasks>>(),
    RoleEntry::of::<crate::queue::remote::ServesGetter<crate::queue::redis_queue::Tasks>>(),
    RoleEntry::of::<crate::queue::redis_queue::LeasesOnServer>(),
    RoleEntry::of::<crate::queue::redis_storm::PutsInStorm>(),
    RoleEntry::of::<crate::queue::redis_storm::GetsInStorm>(),
    RoleEntry::of::<crate::queue::stress::StressPuts>(),
    RoleEntry::of::<crate::queue::stress::StressGets>(),
    RoleEntry::of::<crate::queue::stress::StressLeases>(),
    RoleEntry::of::<crate::queue::stress::StressPutsBytes>(),
    RoleEntry::of::<crate::queue::stress::StressGetsBytes>(),
    RoleEntry::of::<crate::queue::bytes::Films>(),
    RoleEntry::of::<crate::queue::bytes::Keeps>(),
    RoleEntry::of::<ipc_demo::manager::ManagerServer>(),
    RoleEntry::of::<crate::manager::client::Does>(),
    RoleEntry::of::<crate::manager::barrier::Party>(),
    RoleEntry::of::<crate::manager::sharing::UsesShares>(),
    RoleEntry::of::<crate::manager::sharing::StartsManager>(),
];

/// Succeeds without doing anything.
#[derive(Serialize, Deserialize)]
pub(crate) struct Returns;

impl Role for Returns {
    const NAME: &'static str = "test.returns";
    fn run(self) -> RoleResult {
        Ok(())
    }
}

/// Returns an error with a cause.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fails;

impl Role for Fails {
    const NAME: &'static str = "test.fails";
    fn run(self) -> RoleResult {
        Err(std::fs::read("/nonexistent/file").expect_err("no such file").into())
    }
}

/// Panics with a message.
#[derive(Serialize, Deserialize)]
pub(crate) struct Panics;

impl Role for Panics {
    const NAME: &'static str = "test.panics";
    fn run(self) -> RoleResult {
        let nothing: Option<u8> = std::env::args().nth(1000).map(|_| 0);
        nothing.expect("a thing that is not there");
        Ok(())
    }
}

/// Reports that it is ready, then waits until its other end is closed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Waits {
    pub(crate) here: Fd,
    pub(crate) until: Fd,
}

impl Role for Waits {
    const NAME: &'static str = "test.waits";
    fn run(self) -> RoleResult {
        arrive(&self.here, b'w');
        await_word(&self.until);
        Ok(())
    }
}

/// Sends the parent the list of its descriptors: number and inode, as an error text.
#[derive(Serialize, Deserialize)]
pub(crate) struct ListsDescriptors {
    pub(crate) given: Fd,
}

impl Role for ListsDescriptors {
    const NAME: &'static str = "test.lists-descriptors";
    fn run(self) -> RoleResult {
        let mut lines = Vec::new();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let path = entry?.path();
            let target = std::fs::read_link(&path)?.display().to_string();
            // The directory that is being read is open too, but was not inherited.
            if target.ends_with("/fd") {
                continue;
            }
            let number = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            lines.push(format!("{number} {} {target}", std::fs::metadata(&path)?.ino()));
        }
        Err(lines.join("\n").into())
    }
}

/// Starts a worker of its own and waits as well.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsAndWaits {
    pub(crate) here: Fd,
    pub(crate) until: Fd,
}

impl Role for StartsAndWaits {
    const NAME: &'static str = "test.starts-and-waits";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let inner: Process = worker("grandchild", Waits { here: here.clone(), until: until.clone() });
        arrive(&here, b's');
        await_word(&until);
        drop(inner);
        Ok(())
    }
}

/// Starts a worker of its own and is killed before the worker can have got far.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsAndDies {
    pub(crate) here: Fd,
    pub(crate) until: Fd,
}

impl Role for StartsAndDies {
    const NAME: &'static str = "test.starts-and-dies";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let _inner = worker("grandchild", Waits { here: here.clone(), until: until.clone() });
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
        Ok(())
    }
}

/// Acquires the lock, reports, and holds it until it is told to go on (or is killed).
#[derive(Serialize, Deserialize)]
pub(crate) struct HoldsLock {
    pub(crate) lock: Lock,
    pub(crate) here: Fd,
    pub(crate) until: Fd,
    /// Whether to end without releasing the lock.
    pub(crate) forget: bool,
}

impl HoldsLock {
    /// Starts one. Also returns where it reports, and the end that lets it go on when dropped.
    pub(crate) fn start(name: &str, lock: &Lock, forget: bool) -> (Process, MeetingReader, Fd) {
        let ((here, arrives), (until, release)) = (meeting_point(), meeting_point());
        let process = worker(name, HoldsLock { lock: lock.clone(), here: arrives, until: until.into(), forget });
        (process, here, release)
    }
}

impl Role for HoldsLock {
    const NAME: &'static str = "test.holds-lock";
    fn run(self) -> RoleResult {
        let lock = self.lock;
        let guard = lock.acquire()?;
        arrive(&self.here, if guard.abandoned().is_some() { b'a' } else { b'h' });
        await_word(&self.until);
        if self.forget {
            std::mem::forget(guard);
        }
        Ok(())
    }
}

/// Adds to a number in a file, many times, each under the lock.
#[derive(Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) lock: Lock,
    pub(crate) file: Fd,
    pub(crate) times: u32,
}

impl Role for Counts {
    const NAME: &'static str = "test.counts";
    fn run(self) -> RoleResult {
        use std::os::unix::fs::FileExt;
        let lock = self.lock;
        let file = std::fs::File::from(self.file.into_owned()?);
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
