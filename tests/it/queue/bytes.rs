//! Bytes between processes, without a copy: video frames, and what becomes of them when a process is killed.

use std::thread;
use std::time::Duration;

use ipc_demo::process::Fd;
use ipc_demo::queue::JoinableConsumer;
use ipc_demo::{Consumer, Error, JoinableQueue, Process, Producer, Queue, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, meeting_point, watchdog, worker};

/// A frame of 1280 x 820 pixels, of four bytes each.
const FRAME: usize = 1280 * 820 * 4;

/// Draws frames where the queue has them.
#[derive(Serialize, Deserialize)]
pub(crate) struct Films {
    frames: Producer<[u8]>,
    count: u8,
}

impl Role for Films {
    const NAME: &'static str = "test.films";
    fn run(self) -> RoleResult {
        for number in 0..self.count {
            let mut frame = self.frames.reserve(FRAME)?;
            frame.fill(number);
            frame.commit()?;
        }
        Ok(())
    }
}

#[test]
fn video_frames_are_drawn_and_shown_without_a_copy() {
    let _watchdog = watchdog("queue_bytes::video");
    const COUNT: u8 = 30;
    let queue = Queue::<[u8]>::bounded(4).expect("a queue");
    let (frames, shown) = (queue.producer(), queue.consumer());
    drop(queue);
    let mut camera = worker("camera", Films { frames, count: COUNT });
    for number in 0..COUNT {
        // In the memory into which the camera has drawn it.
        let frame = shown.get_ref().expect("a frame");
        assert!(frame[..] == vec![number; FRAME], "{number}");
    }
    assert!(matches!(shown.get_ref(), Err(Error::Disconnected)), "the camera is off");
    assert!(camera.join().expect("it ends").is_success());
}

/// Takes memory of the queue, says so, and waits to be killed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Keeps {
    way: Way,
    said: Fd,
    until: Fd,
}

#[derive(Serialize, Deserialize)]
enum Way {
    Reserves(Producer<[u8]>),
    Reads(Consumer<[u8]>),
    Leases(JoinableConsumer<[u8]>),
}

impl Role for Keeps {
    const NAME: &'static str = "test.keeps";
    fn run(self) -> RoleResult {
        let keep = |_: &[u8]| {
            arrive(&self.said, b'k');
            await_word(&self.until);
        };
        match &self.way {
            Way::Reserves(queue) => {
                let mut reservation = queue.reserve(FRAME)?;
                reservation.fill(1);
                keep(&reservation);
            }
            Way::Reads(queue) => keep(&queue.get_ref()?),
            Way::Leases(queue) => keep(&queue.get_ref()?),
        }
        Ok(())
    }
}

/// Starts a worker that keeps memory until it is killed.
fn keeper(way: Way) -> Keeper {
    let ((mut said, says), (until, release)) = (meeting_point(), meeting_point());
    let process = worker("keeper", Keeps { way, said: says, until: until.into() });
    assert_eq!(said.meet(), Some(b'k'));
    Keeper { process, _release: release }
}

struct Keeper {
    process: Process,
    _release: Fd,
}

impl Keeper {
    fn kill(mut self) {
        self.process.kill().expect("a signal");
        self.process.join().expect("it ends");
    }
}

/// A queue with memory for one frame.
fn queue_of_one_frame() -> Queue<[u8]> {
    Queue::<[u8]>::builder().byte_limit(FRAME as u64).build().expect("a queue")
}

#[test]
fn items_that_take_the_whole_limit_fit() {
    let _watchdog = watchdog("queue_bytes::whole_limit");
    for (count, len) in [(1, 4096), (2, 64 << 10), (3, 64 << 10), (3, FRAME), (40, 4096), (300, 8192)] {
        let queue = Queue::<[u8]>::builder().byte_limit(count * len as u64).build().expect("a queue");
        for round in 0..3 {
            for index in 0..count {
                let is_put = queue.try_put_bytes(&vec![0; len]);
                assert!(is_put.is_ok(), "round {round}, item {index} of {count} with {len} bytes: {is_put:?}");
            }
            assert!(queue.try_put_bytes(&vec![0; len]).is_err(), "{count} items of {len} bytes are the limit");
            for _ in 0..count {
                assert_eq!(queue.get_ref().expect("an item").len(), len);
            }
        }
    }
}

#[test]
fn reservation_of_a_killed_process_is_no_item_and_its_memory_is_free() {
    let _watchdog = watchdog("queue_bytes::killed_writer");
    let queue = queue_of_one_frame();
    let keeper = keeper(Way::Reserves(queue.producer()));
    assert!(queue.try_reserve(FRAME).expect("no error").is_none(), "the worker has the memory");
    thread::scope(|scope| {
        let waits = scope.spawn(|| queue.reserve(FRAME).expect("room after the death").commit());
        keeper.kill();
        waits.join().expect("no panic").expect("room");
    });
    assert_eq!((queue.qsize(), queue.get_ref().expect("an item").len()), (1, FRAME));
}

#[test]
fn item_that_a_killed_process_reads_is_lost_and_its_memory_is_free() {
    let _watchdog = watchdog("queue_bytes::killed_reader");
    let queue = queue_of_one_frame();
    queue.put_bytes(&vec![1; FRAME]).expect("room");
    let keeper = keeper(Way::Reads(queue.consumer()));
    assert!(queue.try_reserve(FRAME).expect("no error").is_none(), "the worker reads the memory");
    keeper.kill();
    queue.put_bytes_timeout(&vec![2; FRAME], Duration::from_secs(20)).expect("room after the death");
    assert!(queue.get_ref().expect("an item")[..] == vec![2; FRAME]);
    assert!(queue.is_empty());
}

#[test]
fn item_that_a_killed_process_reads_on_a_lease_goes_to_another() {
    let _watchdog = watchdog("queue_bytes::killed_leaser");
    let queue = JoinableQueue::<[u8]>::builder().byte_limit(FRAME as u64).build().expect("a queue");
    let frame: Vec<u8> = (0..FRAME).map(|index| (index % 253) as u8).collect();
    queue.put_bytes(&frame).expect("room");
    let keeper = keeper(Way::Leases(queue.consumer()));
    assert!(queue.try_get_ref().expect("no error").is_none());
    keeper.kill();
    let lease = queue.get_ref().expect("the same item");
    assert!((&lease[..], lease.redelivered()) == (&frame[..], 1));
    assert!(queue.try_reserve(FRAME).expect("no error").is_none(), "it is still in its memory");
    lease.task_done().expect("a lease");
    queue.join().expect("all is done");
    assert!(queue.try_reserve(FRAME).expect("no error").is_some());
}
