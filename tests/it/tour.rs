//! The tour, through the real binary: on a terminal, where it waits for keys, and in a pipe, where it does not.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::cli::refused;
use crate::harness::{Demo, send, watchdog};

const STOPS: usize = 5;
const PROMPT: &str = "space: continue   q: quit";

/// A tour on a terminal of 80 columns, as fast as possible.
struct OnTerminal {
    tour: Child,
    screen: File,
    terminal: OwnedFd,
    shown: String,
}

impl OnTerminal {
    fn start() -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("a terminal");
        fcntl(&pair.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a flag");
        fcntl(&pair.slave, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a flag");
        let stdio = || Stdio::from(pair.slave.try_clone().expect("a descriptor to spare"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
        command.args(["tour", "--speed", "max", "--lang", "en", "--color", "never"]);
        // Ctrl-Z stops its process group.
        command.process_group(0);
        let tour = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("it starts");
        OnTerminal { tour, screen: pair.master.into(), terminal: pair.slave, shown: String::new() }
    }

    /// Reads until a text is shown once more.
    fn until(&mut self, wanted: &str) {
        let count = self.shown.matches(wanted).count();
        while self.shown.matches(wanted).count() == count {
            let mut bytes = [0; 4096];
            let length = self.screen.read(&mut bytes).expect("a screen");
            self.shown += &String::from_utf8_lossy(&bytes[..length]);
        }
    }

    fn press(&mut self, key: &str) {
        self.screen.write_all(key.as_bytes()).expect("a keyboard");
    }

    /// Returns whether the terminal is in the mode that it has before and after.
    fn is_line_mode(&self) -> bool {
        let flags = tcgetattr(&self.terminal).expect("a terminal").local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Waits for the end. Returns the exit code and everything that was shown.
    fn finish(mut self) -> (Option<i32>, String) {
        let code = self.tour.wait().expect("it ends").code();
        assert!(self.is_line_mode(), "its mode is restored");
        drop(self.terminal);
        loop {
            let mut bytes = [0; 4096];
            match self.screen.read(&mut bytes) {
                Ok(length) => self.shown += &String::from_utf8_lossy(&bytes[..length]),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32), "nobody has the terminal any more");
                    return (code, self.shown);
                }
            }
        }
    }
}

#[test]
fn keys_lead_through_the_tour() {
    let _watchdog = watchdog("tour::keys");
    let mut tour = OnTerminal::start();
    for key in [" ", "\n", "x ", "\x1b[B ", " "] {
        tour.until(PROMPT);
        tour.press(key);
    }
    let (code, shown) = tour.finish();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!((shown.matches(PROMPT).count(), shown.matches("run it again").count()), (STOPS, STOPS), "{shown}");
    assert!(shown.contains("5 of 5  ·  ipc-demo joinable") && shown.contains("The tour ends here."), "{shown}");
}

#[test]
fn tour_waits_before_every_stop_and_ends_there() {
    let _watchdog = watchdog("tour::ends");
    for (key, wanted) in [("q", 0), ("\x04", 0), ("", 143)] {
        let mut tour = OnTerminal::start();
        tour.until(PROMPT);
        assert!(!tour.shown.contains("starts as process"), "nothing runs before the first key: {}", tour.shown);
        tour.press(" ");
        tour.until(PROMPT);
        match key {
            "" => send(tour.tour.id(), Signal::SIGTERM),
            key => tour.press(key),
        }
        let (code, shown) = tour.finish();
        assert_eq!((code, shown.matches("run it again").count()), (Some(wanted), 1), "{shown}");
        assert!(shown.contains("2 of 5") && !shown.contains("3 of 5"), "{shown}");
    }
}

#[test]
fn tour_that_was_suspended_asks_again() {
    let _watchdog = watchdog("tour::suspended");
    let mut tour = OnTerminal::start();
    let pid = Pid::from_raw(tour.tour.id() as i32);
    tour.until(PROMPT);
    for _ in 0..2 {
        assert!(!tour.is_line_mode());
        tour.press("\x1a");
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("it stops");
        assert!(tour.is_line_mode() && stopped == WaitStatus::Stopped(pid, Signal::SIGTSTP), "{stopped:?}");
        send(tour.tour.id(), Signal::SIGCONT);
        tour.until(PROMPT);
    }
    tour.press("q");
    let (code, shown) = tour.finish();
    assert_eq!((code, shown.contains("The tour ends here.")), (Some(0), true), "{shown}");
}

#[test]
fn tour_in_a_pipe_does_not_wait() {
    let _watchdog = watchdog("tour::pipe");
    for (language, prompt, end) in [("en", PROMPT, "The tour ends here."), ("zh", "空格", "导览到此结束。")] {
        let said = Demo::run("tour").args(["--speed", "max", "--seed", "7", "--lang", language]).expect_exit(0).stdout;
        assert!(!said.contains(prompt) && said.contains(end), "{said}");
        // Each stop is the command that its title shows, with the options of the tour.
        for command in ["tickets --buyers 5", "tickets --buyers 5 --lock", "pipe --messages 5", "joinable --items 3"] {
            let joined = said.replace("\\\n    ", "");
            let again = format!("ipc-demo {command} --speed max --seed 7 --lang {language}\n");
            assert!(joined.contains(&again) && said.contains(&format!("ipc-demo {command}\n")), "{command}: {joined}");
        }
    }
}

#[test]
fn interrupt_in_a_run_sums_it_up_and_ends_the_tour() {
    let _watchdog = watchdog("tour::interrupt");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
    command.args(["tour", "--speed", "0.1", "--lang", "en"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut tour = command.spawn().expect("it starts");
    let (mut out, mut said) = (tour.stdout.take().expect("piped"), String::new());
    while !said.contains("sees 3 tickets left") {
        let mut bytes = [0; 4096];
        let length = out.read(&mut bytes).expect("readable");
        said += &String::from_utf8_lossy(&bytes[..length]);
    }
    send(tour.id(), Signal::SIGINT);
    out.read_to_string(&mut said).expect("text");
    assert_eq!(tour.wait().expect("it ends").code(), Some(130), "{said}");
    assert!(said.contains("inconclusive (the run was stopped early)") && !said.contains("2 of 5"), "{said}");
}

#[test]
fn options_of_single_runs_are_refused() {
    for option in ["--format=json", "--timeline=/dev/null", "--quiet", "--kill=buyer-1@holding", "--strict", "--step"] {
        let name = option.split('=').next().expect("a name");
        let said = format!("tour does not use {name}: give it to one of its commands, as in ipc-demo tickets {name}");
        refused(Demo::run("tour").args([option]), &[&said]);
    }
}
