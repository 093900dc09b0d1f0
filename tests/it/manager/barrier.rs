//! Parties of a manager's barrier that are killed on their way to it, or leave in order.

use ipc_demo::manager::{Barrier, Manager};
use ipc_demo::process::Fd;
use ipc_demo::{Process, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_word, meeting_point, watchdog, worker};
use crate::manager::start_manager;

/// Where a party stops and waits to be told to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stop {
    /// It has not yet taken over what it was given.
    BeforeTaking,
    BeforeWaiting,
    /// It has dropped its proxy.
    AfterLeaving,
    Nowhere,
}

/// A party of a barrier.
#[derive(Serialize, Deserialize)]
pub(crate) struct Party {
    barrier: Barrier,
    stop: Stop,
    here: Fd,
    until: Fd,
}

impl Role for Party {
    const NAME: &'static str = "test.managed_party";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let stop_at = |stop| {
            if self.stop == stop {
                arrive(&here, b'.');
                await_word(&until);
            }
        };
        stop_at(Stop::BeforeTaking);
        let barrier = self.barrier;
        stop_at(Stop::BeforeWaiting);
        if self.stop == Stop::AfterLeaving {
            drop(barrier);
            stop_at(Stop::AfterLeaving);
            return Ok(());
        }
        match barrier.wait() {
            Ok(_) => arrive(&here, b'o'),
            Err(error) if Barrier::is_broken_error(&error) => arrive(&here, b'x'),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

struct Member {
    process: Process,
    here: MeetingReader,
    until: Fd,
}

impl Member {
    fn start(barrier: &Barrier, stop: Stop) -> Member {
        let ((here, arrives), (until, release)) = (meeting_point(), meeting_point());
        let process =
            worker(&format!("{stop:?}"), Party { barrier: barrier.clone(), stop, here: arrives, until: until.into() });
        Member { process, here, until: release }
    }

    fn stopped(barrier: &Barrier, stop: Stop) -> Member {
        let mut member = Member::start(barrier, stop);
        assert_eq!(member.here.meet(), Some(b'.'));
        member
    }

    fn kill(mut self) {
        self.process.kill().expect("a signal");
        self.process.join().expect("it ends");
    }

    fn finish(mut self) {
        drop(self.until);
        let ended = self.process.join().expect("it ends");
        assert!(ended.is_success(), "{ended:?}");
    }
}

/// Waits until this number of parties wait. Not a fixed pause: the manager is asked repeatedly.
fn await_waiting(manager: &Manager, parties: u64) {
    while manager.status().expect("a status").waiting != parties {
        std::thread::yield_now();
    }
}

#[test]
fn party_killed_on_its_way_breaks_the_barrier_for_who_waits_and_who_comes() {
    let _watchdog = watchdog("manager_barrier::killed_on_its_way");
    let manager = start_manager(|options| options);
    for stop in [Stop::BeforeTaking, Stop::BeforeWaiting] {
        let barrier = manager.barrier(3).expect("made");
        let late = Member::stopped(&barrier, stop);
        let mut waiting = Member::start(&barrier, Stop::Nowhere);
        await_waiting(&manager, 1);
        late.kill();
        assert_eq!(waiting.here.meet(), Some(b'x'), "{stop:?}: it does not wait for the dead");
        waiting.finish();
        let mut comes = Member::start(&barrier, Stop::Nowhere);
        assert_eq!(comes.here.meet(), Some(b'x'), "{stop:?}: nor who comes now");
        comes.finish();
        barrier.reset().expect("a call");
        let mut parties = [(); 3].map(|()| Member::start(&barrier, Stop::Nowhere));
        assert_eq!([0, 1, 2].map(|at: usize| parties[at].here.meet()), [Some(b'o'); 3], "{stop:?}: whole again");
        parties.into_iter().for_each(Member::finish);
        assert!(!barrier.is_broken().expect("a call"));
    }
}

#[test]
fn party_that_leaves_in_order_breaks_nothing() {
    let _watchdog = watchdog("manager_barrier::leaves_in_order");
    let manager = start_manager(|options| options);
    let barrier = manager.barrier(2).expect("made");
    let mut waiting = Member::start(&barrier, Stop::Nowhere);
    await_waiting(&manager, 1);
    Member::stopped(&barrier, Stop::AfterLeaving).finish();
    // Killed after it has released everything.
    Member::stopped(&barrier, Stop::AfterLeaving).kill();
    assert_eq!(manager.status().expect("a status").waiting, 1);
    assert!(!barrier.is_broken().expect("a call"));
    barrier.wait().expect("two parties");
    assert_eq!(waiting.here.meet(), Some(b'o'));
    waiting.finish();
}
