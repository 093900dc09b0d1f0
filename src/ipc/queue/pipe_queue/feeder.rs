//! The thread of a pipe queue that writes put items into the pipe, so that a put need not wait for the pipe.
//!
//! # State
//! A buffer of frames in this process. `running` from the first put until the buffer is empty after the close.
//!
//! # Death
//! Frames still in the buffer are lost with the process, and so are the permits acquired for them.
//!
//! # Standard
//! Python `multiprocessing.Queue._feed`.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::parts::Parts;
use crate::ipc::error::{Error, Result, os};
use crate::ipc::queue::participants::Rights;
use crate::sys::fork::forked_from;
use crate::sys::task::InternalThread;

pub(crate) struct Feeder {
    parts: Arc<Parts>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    buffer: VecDeque<Vec<u8>>,
    /// Whether a frame is out of the buffer and not yet completely in the pipe.
    writing: bool,
    running: bool,
    closed: bool,
    cancelled: bool,
}

impl Feeder {
    pub(crate) fn new(parts: Arc<Parts>) -> Arc<Self> {
        Arc::new(Feeder { parts, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Leaves a frame to the thread, starting the thread with the first one.
    pub(crate) fn push(self: &Arc<Self>, frame: Vec<u8>) -> Result<()> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::Closed);
        }
        if !state.running {
            let feeder = Arc::clone(self);
            let thread = thread::Builder::new().name("feeder".into()).spawn(move || feeder.run());
            thread.map_err(os("start the thread that feeds a queue"))?;
            state.running = true;
        }
        state.buffer.push_back(frame);
        self.changed.notify_all();
        Ok(())
    }

    fn run(&self) {
        let _internal = InternalThread::count();
        let mut state = self.state();
        loop {
            state = self.changed.wait_while(state, |state| state.buffer.is_empty() && !state.closed).expect(UNPOISONED);
            let Some(frame) = state.buffer.pop_front() else { break };
            state.writing = true;
            drop(state);
            let written = self.parts.write(&frame, || self.gives_up());
            state = self.state();
            state.writing = false;
            if written.is_err() {
                // The pipe is torn, or no reader is left: the next put reports it.
                state.buffer.clear();
            }
        }
        drop(state);
        self.parts.participant.give_up(Rights::BOTH);
        self.state().running = false;
        self.changed.notify_all();
    }

    /// Returns whether the rest need not be written: it was cancelled, or will never be read.
    fn gives_up(&self) -> bool {
        let state = self.state();
        state.cancelled || state.closed && !self.parts.participant.has_others(Rights::GET)
    }

    /// Returns whether a put item is not yet in the pipe.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state();
        state.writing || !state.buffer.is_empty()
    }

    /// Returns whether an item was put, and the buffer is still in use.
    pub(crate) fn is_running(&self) -> bool {
        self.state().running
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Accepts no more frames; those in the buffer are still written. Does nothing in a forked child, which has no feeder.
    pub(crate) fn close(&self) {
        if forked_from().is_some() {
            return;
        }
        let mut state = self.state();
        let was_closed = std::mem::replace(&mut state.closed, true);
        let running = state.running;
        drop(state);
        self.changed.notify_all();
        if !was_closed {
            // What it has put keeps it among those who can put.
            self.parts.participant.give_up(if running { Rights::GET } else { Rights::BOTH });
        }
    }

    /// Accepts no more frames and discards those in the buffer. One that is half written is abandoned too.
    pub(crate) fn cancel(&self) {
        if forked_from().is_some() {
            return;
        }
        let mut state = self.state();
        state.cancelled = true;
        state.buffer.clear();
        drop(state);
        self.close();
    }

    /// Blocks until the buffer is written, after a close; returns `false` on timeout. Does not block in a forked child.
    pub(crate) fn join(&self, timeout: Option<Duration>) -> bool {
        if forked_from().is_some() {
            return true;
        }
        let is_running = |state: &mut State| state.running;
        match timeout {
            None => drop(self.changed.wait_while(self.state(), is_running).expect(UNPOISONED)),
            Some(timeout) => {
                let waited = self.changed.wait_timeout_while(self.state(), timeout, is_running).expect(UNPOISONED);
                return !waited.1.timed_out();
            }
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "nothing panics while it holds the lock";
