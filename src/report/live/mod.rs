//! `--live`: the run on the screen of a terminal, while it lasts.
//!
//! | file | content |
//! |---|---|
//! | `view` | what is on the screen: the scene, the last events, what is selected; and what the keys do |
//! | `draw`, `thing` | the screen, and the shared things on it |
//! | `keys` | the keyboard |
//! | `look` | signs and colours |
//! | `terminal` | the terminal before and after |
//!
//! # State
//! The thread of the run applies events to the [`View`]; a thread of this module draws it and reads the keyboard. What
//! a key asks of the run goes through [`Control`].

mod draw;
mod keys;
mod look;
mod terminal;
#[cfg(test)]
mod tests;
mod thing;
mod view;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::control::{Control, Request};
use super::event::Event;
#[cfg(debug_assertions)]
use super::event::RUNNER;
use super::frame::{Reason, Summary};
use super::language::Language;
use super::{Color, Format, Reporter, to_stdout};
use crate::sys::clock::monotonic_ns;
use crate::sys::{Signal, signal, task};
use keys::Keyboard;
use look::Look;
use terminal::Terminal;
use view::{Pressed, View};

/// The time between two pictures: 20 in a second at most.
const FRAME: Duration = Duration::from_millis(50);
/// The time between two pictures while only the time passes.
const IDLE_FRAME: Duration = Duration::from_millis(250);

/// How many workers are looked at for each picture.
const FEW: usize = 16;

/// Shows a run on the screen of the terminal, and its summary on the normal screen.
pub(crate) struct Live {
    control: Control,
    view: Arc<Mutex<View>>,
    look: Look,
    /// The open screen.
    screen: Option<Screen>,
    /// Whether the first event was shown: then the screen was opened.
    is_begun: bool,
    /// Prints the summary.
    text: Box<dyn Reporter + Send>,
}

/// The thread that draws, which ends when the terminal is left.
struct Screen {
    terminal: Terminal,
    thread: JoinHandle<io::Result<()>>,
}

impl Live {
    /// Returns the reporter. The screen is opened with the first event.
    pub(crate) fn new(control: Control, language: Language, color: Color) -> Self {
        let look = Look::new(language, color.is_wanted(true));
        Live {
            control,
            view: Arc::new(Mutex::new(View::new(language))),
            look,
            screen: None,
            is_begun: false,
            text: to_stdout(Format::Text, language, color, true, true),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let terminal = Terminal::open()?;
        let (control, view, look) = (self.control.clone(), Arc::clone(&self.view), self.look);
        let show = move || show(&control, &view, look);
        let thread = thread::Builder::new().name("live".to_owned()).spawn(show)?;
        self.screen = Some(Screen { terminal, thread });
        Ok(())
    }

    /// Closes the screen. Returns the error of its thread, if it failed.
    fn close(&mut self) -> io::Result<()> {
        let Some(Screen { terminal, thread }) = self.screen.take() else { return Ok(()) };
        locked(&self.view).is_over = true;
        // Its message was printed when it happened.
        let shown = thread.join().unwrap_or_else(|_| Err(io::Error::other("the live view panicked")));
        drop(terminal);
        shown
    }

    /// Blocks until the person has seen the end, or the process is asked to stop.
    fn await_end(&self) -> io::Result<()> {
        while self.screen.as_ref().is_some_and(|screen| !screen.thread.is_finished()) && !self.control.is_stopped() {
            let is_end = self.control.wait(None)? == Some(Request::End);
            if is_end {
                break;
            }
        }
        Ok(())
    }
}

fn locked(view: &Mutex<View>) -> MutexGuard<'_, View> {
    // A panic leaves a screen that is not complete, at worst.
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reporter for Live {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if !self.is_begun {
            self.is_begun = true;
            self.open()?;
        }
        {
            let mut view = locked(&self.view);
            // The status first: it says whether time passes between events.
            view.follow(&self.control);
            view.apply(event);
        }
        #[cfg(debug_assertions)]
        if event.worker != RUNNER && !event.fact.class().starts {
            crate::sys::failpoint::panic_if("panic-in-run");
        }
        if let Some(summary) = event.get::<Summary>() {
            // Who has asked the run to stop has seen enough.
            if summary.reason != Some(Reason::Cut) && !self.control.is_end_asked() {
                self.await_end()?;
            }
            let shown = self.close();
            // After a failure of the screen, too: the terminal may still be there.
            return self.text.event(event).and(shown);
        }
        self.text.event(event)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // The run has failed, and its error is more important.
        let _ = self.close();
    }
}

/// Draws, and reads the keyboard, until the view is over, a panic has left the terminal, the terminal is gone, or the
/// process is asked to stop.
fn show(control: &Control, view: &Mutex<View>, look: Look) -> io::Result<()> {
    let _internal = task::InternalThread::count();
    let _gone = Gone(control);
    let shown = draw_while_open(control, view, look);
    terminal::leave();
    shown
}

/// Ends the run with the screen, also after a panic: nobody can end it by a key then.
struct Gone<'a>(&'a Control);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.ask(Request::End);
    }
}

fn draw_while_open(control: &Control, view: &Mutex<View>, look: Look) -> io::Result<()> {
    let (mut canvas, mut keyboard) = (terminal::canvas()?, Keyboard::open()?);
    let (mut drawn, mut looked): (Option<Instant>, Option<Instant>) = (None, None);
    while terminal::is_open() && !control.is_stopped() {
        #[cfg(debug_assertions)]
        if drawn.is_some() {
            crate::sys::failpoint::panic_if("panic-in-view");
        }
        let is_due = {
            let mut view = locked(view);
            if view.is_over {
                break;
            }
            view.follow(control);
            // The kernel is asked for each worker.
            let look_every = if view.scene.lanes.workers().len() <= FEW { FRAME } else { IDLE_FRAME };
            if looked.is_none_or(|looked| looked.elapsed() >= look_every) {
                looked = Some(Instant::now());
                view.look(Instant::now(), |worker| control.is_pausing(worker), task::is_asleep);
            }
            let frame = if view.is_changed { FRAME } else { IDLE_FRAME };
            drawn.is_none_or(|drawn| drawn.elapsed() >= frame)
        };
        if is_due {
            let mut view = locked(view);
            view.is_changed = false;
            let now = Instant::now();
            canvas.draw(|frame| draw::draw(&view, now, look, frame.area(), frame.buffer_mut()))?;
            drawn = Some(now);
        }
        let left = drawn.map_or(FRAME, |drawn| FRAME.saturating_sub(drawn.elapsed()));
        let wait = left.max(Duration::from_millis(1));
        let Some(pressed) = keyboard.read(monotonic_ns() + wait.as_nanos() as u64)? else { break };
        for key in pressed {
            let pressed = locked(view).press(key);
            match pressed {
                Pressed::Nothing => {}
                Pressed::Asks(request) => control.ask(request),
                Pressed::Redraw => canvas.clear()?,
                // As the terminal would have done it.
                Pressed::Interrupt => signal::send(std::process::id(), Signal::SIGINT)?,
            }
        }
    }
    Ok(())
}
