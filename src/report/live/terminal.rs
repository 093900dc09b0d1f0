//! The terminal: another screen, raw mode and no cursor while the view is open, and all as before afterwards, also after a
//! panic.

use std::io::{self, BufWriter, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use crate::report::screen::Screen;

/// Room for a whole picture, so that it is written at once.
const PICTURE_BYTES: usize = 1 << 16;

/// Whether the terminal is in use. A terminal belongs to a process.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// The terminal in use; left when it is dropped.
#[derive(Debug)]
pub(super) struct Terminal(());

/// Where pictures are drawn.
pub(super) type Canvas = ratatui::Terminal<CrosstermBackend<BufWriter<Screen>>>;

impl Terminal {
    /// Opens another screen.
    pub(super) fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            // Its text belongs on the normal screen.
            panic::set_hook(Box::new(move |panicked| {
                leave();
                before(panicked);
            }));
        });
        enable_raw_mode()?;
        IS_OPEN.store(true, SeqCst);
        let terminal = Terminal(());
        execute!(Screen::stdout(), EnterAlternateScreen, Hide)?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

pub(super) fn is_open() -> bool {
    IS_OPEN.load(SeqCst)
}

/// Restores the terminal, unless it is not in use.
pub(super) fn leave() {
    if IS_OPEN.swap(false, SeqCst) {
        // tmux 3.3 leaves lines of a screen that is not empty on the normal one, if the window has become wider. There is
        // nobody to tell if it fails: the terminal is gone.
        let _ = execute!(Screen::stdout(), Clear(ClearType::All), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Returns an empty picture of the size of the terminal.
pub(super) fn canvas() -> io::Result<Canvas> {
    let mut out = BufWriter::with_capacity(PICTURE_BYTES, Screen::stdout());
    out.flush()?;
    ratatui::Terminal::new(CrosstermBackend::new(out))
}
