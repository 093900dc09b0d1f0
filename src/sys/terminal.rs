//! A terminal whose keys are read one at a time.
//!
//! # Standard
//! termios(3): non-canonical mode without echo. Ctrl-C, Ctrl-\ and Ctrl-Z still send their signals, unless Ctrl-Z is a key.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, read};

use super::retry::retry;

/// What Ctrl-Z sends if it is a key.
pub(crate) const CTRL_Z: u8 = 26;

/// A terminal that hands over each key when it is pressed, and does not show it. Dropping this restores its mode.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    terminal: BorrowedFd<'a>,
    /// The mode before.
    mode: Termios,
    by_key: Termios,
}

impl<'a> Keys<'a> {
    /// Changes the mode of a terminal. Keys that were pressed before are discarded.
    ///
    /// # Errors
    /// `ENOTTY` if it is none.
    pub(crate) fn of(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        Keys::with(terminal, |_| ())
    }

    /// As [`of`](Self::of), but Ctrl-Z is a key too, for which the caller [suspends](Self::suspend) the program.
    pub(crate) fn with_ctrl_z(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        // 0 disables it.
        Keys::with(terminal, |mode| mode.control_chars[SpecialCharacterIndices::VSUSP as usize] = 0)
    }

    fn with(terminal: BorrowedFd<'a>, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let mode = tcgetattr(terminal)?;
        let mut by_key = mode.clone();
        by_key.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        change(&mut by_key);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &by_key)?;
        Ok(Keys { terminal, mode, by_key })
    }

    /// Restores the mode, stops the process group as Ctrl-Z does, and changes the mode again when it is continued: a shell
    /// sets its own mode meanwhile.
    pub(crate) fn suspend(&self) -> io::Result<()> {
        tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.mode)?;
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        Ok(tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.by_key)?)
    }

    /// Blocks until a key is pressed, and returns the bytes that it sends: one, except for keys such as the arrows.
    /// Returns none if the terminal is gone.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = [0; 16];
        match retry(|| read(self.terminal, &mut bytes)) {
            Ok(count) => Ok(bytes[..count].to_vec()),
            Err(Errno::EIO) => Ok(Vec::new()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Keys<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal
    }
}

impl Drop for Keys<'_> {
    fn drop(&mut self) {
        // Keys that were not read are not meant for what comes next. A terminal that is gone needs no mode.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.mode);
    }
}
