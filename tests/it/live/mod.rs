//! The live view in a real terminal, that of tmux: what the screen shows, what the keys do, and the terminal afterwards.

mod pictures;

use std::process::Command;
use std::rc::Rc;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::harness::{Demo, await_end, children_of, send, skip, watchdog};

/// A server of tmux, which ends with all that runs in it.
struct Server {
    directory: TempDir,
}

impl Server {
    /// Performs a command, given by its first words and those after them.
    fn tmux(&self, command: &str, more: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.args(["-u", "-f", "/dev/null", "-S"]).arg(self.directory.path().join("tmux"));
        let output = tmux.args(command.split(' ')).args(more).output().expect("tmux runs");
        assert!(output.status.success(), "{command} {more:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test leaves nothing running.
        let _ = Command::new("tmux").arg("-S").arg(self.directory.path().join("tmux")).arg("kill-server").output();
    }
}

/// A terminal of tmux, in which a shell runs the program and then tells how the terminal was left.
struct Screen {
    server: Rc<Server>,
    pane: String,
}

impl Screen {
    /// Starts the program in a terminal of 80x24. Returns `None` if there is no tmux.
    fn run(args: &str, language: &str) -> Option<Self> {
        Screen::run_with("", args, language)
    }

    /// As [`run`](Self::run), with a fault of the program.
    fn run_with(fault: &str, args: &str, language: &str) -> Option<Self> {
        if let Err(error) = Command::new("tmux").arg("-V").output() {
            skip("tmux", error);
            return None;
        }
        let server = Rc::new(Server { directory: tempfile::tempdir().expect("a directory") });
        let environment = format!("LC_ALL={language} -e IPC_DEMO_FAILPOINT={fault}");
        Some(Screen::begin(server, "new-session -d -x 80 -y 24", args, &environment))
    }

    /// Starts the program in one more terminal of the same server.
    fn beside(&self, args: &str, language: &str) -> Self {
        Screen::begin(Rc::clone(&self.server), "new-window -d", args, &format!("LC_ALL={language}"))
    }

    fn begin(server: Rc<Server>, command: &str, args: &str, environment: &str) -> Self {
        let demo = env!("CARGO_BIN_EXE_ipc-demo");
        // `stty` says whether the terminal is as it was.
        let script = format!("{demo} {args}; echo exit $?; stty -a | grep -q ' icanon' && echo restored; exec cat");
        let command = format!("{command} -P -F #{{pane_id}} -e NO_COLOR= -e RUST_BACKTRACE=0 -e {environment}");
        let pane = server.tmux(&command, &["sh", "-c", &script]).trim().to_owned();
        Screen { server, pane }
    }

    /// Performs a command of tmux for this terminal.
    fn tmux(&self, command: &str, more: &[&str]) -> String {
        self.server.tmux(&format!("{command} -t {}", self.pane), more)
    }

    fn text(&self) -> String {
        self.tmux("capture-pane -p", &[])
    }

    /// Presses keys, by the names that tmux has for them.
    fn press(&self, keys: &[&str]) {
        self.tmux("send-keys", keys);
    }

    fn resize(&self, width: u16, height: u16) {
        self.tmux(&format!("resize-window -x {width} -y {height}"), &[]);
    }

    /// Waits until the screen is as wanted, and returns it.
    #[track_caller]
    fn until(&self, mut is_wanted: impl FnMut(&str) -> bool) -> String {
        loop {
            let text = self.text();
            if is_wanted(&text) {
                return text;
            }
        }
    }

    /// Waits until the screen shows all of this.
    fn shows(&self, wanted: &[&str]) -> String {
        self.until(|text| wanted.iter().all(|wanted| text.contains(wanted)))
    }

    /// Waits until the program has ended, and returns the normal screen. The terminal is as before.
    fn ends(&self, code: i32) -> String {
        let text = self.shows(&[&format!("exit {code}\n"), "restored"]);
        assert_eq!(self.tmux("display-message -p", &["#{alternate_on} #{cursor_flag}"]).trim(), "0 1", "{text}");
        text
    }

    /// Returns the process of the program.
    fn pid(&self) -> u32 {
        let shell = self.tmux("display-message -p", &["#{pane_pid}"]).trim().parse().expect("a number");
        *children_of(shell).first().expect("the program runs")
    }

    /// Selects the worker whose line has this text, and returns its name.
    fn select(&self, wanted: &str) -> String {
        self.press(&["Home"]);
        loop {
            let text = self.shows(&["▸"]);
            let selected = text.lines().find(|line| line.starts_with('▸')).expect("there is one");
            let is_it = selected.contains(wanted);
            let name = selected.split_whitespace().nth(1).expect("a name").to_owned();
            if is_it {
                return name;
            }
            self.press(&["Down"]);
            self.until(|text| text.lines().any(|line| line.starts_with('▸') && !line.contains(&format!("{name} "))));
        }
    }
}

/// Returns whether the shared objects are shown to the right of the workers.
fn is_wide(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("── ") && line.contains("  ── "))
}

/// Returns the number before a unit.
fn seconds(line: &str, unit: &str) -> f64 {
    let (before, _) = line.split_once(unit).expect("a time");
    before.split_whitespace().last().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn killed_holder_is_shown_with_who_takes_over() {
    let _watchdog = watchdog("live::killed_holder");
    let Some(screen) = Screen::run("tickets --lock --live --seed 1", "C.UTF-8") else { return };
    screen.shows(&["holds: lock", "waits: lock (buyer-"]);
    // While the run is held, the holder stays the same.
    screen.press(&["Space"]);
    screen.shows(&["PAUSED", "holds: lock"]);
    let holder = screen.select("holds: lock");
    screen.press(&["k"]);
    screen.shows(&["killed (signal 9)", &format!("takes over the lock from {holder}, which died")]);
    screen.press(&["Space", "+", "+", "+", "+", "+", "+", "+"]);
    let end = screen.shows(&["ENDED", "guaranteed, and held", "bought 3"]);
    assert!(end.contains(" max"), "{end}");
    screen.press(&["q"]);
    // A death that was asked for is no failure.
    let text = screen.ends(0);
    assert!(text.contains("✔ guaranteed, and held") && text.contains("run it again: "), "{text}");
    assert!(!text.contains("takes over"), "the summary alone: {text}");
}

#[test]
fn run_goes_on_where_it_was_paused_and_ends_on_demand() {
    let _watchdog = watchdog("live::paused");
    let Some(screen) = Screen::run("prodcons --live --forever --seed 1 --speed 20", "zh_CN.UTF-8") else { return };
    screen.shows(&["生产者", "消费者获取数据", "队列", "速度 20"]);
    screen.press(&["Space"]);
    screen.shows(&["已暂停"]);
    let held_at = |text: &str| seconds(text.lines().next().expect("a title"), " 秒");
    let paused = held_at(&screen.text());
    screen.press(&["h"]);
    screen.shows(&["按键与符号", "SIGSTOP"]);
    screen.press(&["Escape"]);
    let text = screen.until(|text| !text.contains("按键与符号"));
    // What was under way may have been shown since, with its time.
    let events = text.lines().skip_while(|line| !line.contains("最近的事件")).skip(1);
    let last = events.filter_map(|line| line.split_whitespace().next()?.parse::<f64>().ok()).last().expect("an event");
    assert!(held_at(&text) == paused && last <= paused + 0.1, "nothing happens while it is paused: {text}");
    screen.press(&["Space"]);
    screen.until(|text| !text.contains("已暂停") && held_at(text) > paused);
    // Stopped, it does nothing; and the end does not wait for it.
    screen.select("生产者");
    screen.press(&["s"]);
    screen.shows(&["已停止；"]);
    screen.press(&["s"]);
    screen.until(|text| !text.contains("已停止；"));
    screen.press(&["s"]);
    screen.shows(&["已停止；"]);
    screen.press(&["q"]);
    let text = screen.ends(0);
    assert!(text.contains("运行被提前") && text.contains("生产 "), "{text}");
}

#[test]
fn terminal_is_restored_after_signals() {
    let _watchdog = watchdog("live::signals");
    let Some(screen) = Screen::run("event --live --speed 0.01 --racers 100", "C.UTF-8") else { return };
    screen.shows(&["workers 1 to ", " of 100", "all  ···", "not set"]);
    // Beside each other on a wide screen, and below each other again.
    screen.resize(200, 50);
    screen.until(is_wide);
    screen.resize(80, 24);
    screen.until(|text| !is_wide(text) && text.contains("── shared"));
    send(screen.pid(), Signal::SIGTERM);
    let text = screen.ends(143);
    assert!(text.contains("the run was stopped early"), "{text}");
    let Some(screen) = Screen::run("pipe --live --speed 0.01", "C.UTF-8") else { return };
    screen.shows(&["sends 1"]);
    screen.press(&["C-c"]);
    screen.ends(130);
    // The screen notices the signal before the run does.
    let Some(screen) = Screen::run_with("late-run", "pipe --live --speed 0.01", "C.UTF-8") else { return };
    screen.shows(&["sends 1"]);
    send(screen.pid(), Signal::SIGTERM);
    screen.ends(143);
}

#[test]
fn nothing_of_the_view_is_left_if_the_window_has_become_wider() {
    let _watchdog = watchdog("live::wider");
    // tmux leaves some only if the normal screen was full.
    let args = concat!("--help; ", env!("CARGO_BIN_EXE_ipc-demo"), " tickets --live --speed max");
    let Some(screen) = Screen::run(args, "C.UTF-8") else { return };
    screen.shows(&["ENDED"]);
    screen.resize(200, 50);
    screen.until(is_wide);
    screen.press(&["q"]);
    let text = screen.ends(0);
    assert!(!["── ", "ENDED", "buyer-"].iter().any(|of_view| text.contains(of_view)), "{text}");
}

#[test]
fn terminal_is_restored_after_panics() {
    let _watchdog = watchdog("live::panics");
    if !cfg!(debug_assertions) {
        skip("faults", "they are compiled only with debug assertions");
        return;
    }
    let args = "pipe --live --speed 0.01";
    let Some(screen) = Screen::run_with("panic-in-run", args, "C.UTF-8") else { return };
    let text = screen.ends(101);
    assert!(text.contains("this is the fault panic-in-run"), "on the normal screen: {text}");
    let Some(screen) = Screen::run_with("panic-in-view", args, "C.UTF-8") else { return };
    let text = screen.ends(3);
    assert!(text.contains("this is the fault panic-in-view") && text.contains("stopped early"), "{text}");
}

#[test]
fn run_ends_with_its_terminal() {
    let _watchdog = watchdog("live::terminal");
    // In the middle, and when it only waits for a key.
    for (args, shown) in [("pipe --live --speed 0.01", "sends 1"), ("pipe --live --speed max", "ENDED")] {
        let Some(screen) = Screen::run(args, "C.UTF-8") else { return };
        screen.shows(&[shown]);
        let pid = screen.pid();
        screen.server.tmux("kill-server", &[]);
        await_end(pid);
    }
}

#[test]
fn schedule_is_watched_step_by_step() {
    let _watchdog = watchdog("live::schedule");
    let Some(screen) = Screen::run("tickets --buyers 2 --live --schedule a3b3", "C.UTF-8") else { return };
    screen.shows(&["PAUSED", "next: look file"]);
    screen.press(&["."]);
    screen.shows(&["sees 3 tickets left", "next: read file"]);
    screen.press(&["k"]);
    screen.shows(&["select a worker first"]);
    screen.press(&[".", "."]);
    let text = screen.shows(&["step 3 ", "buys a ticket and writes: 2 tickets left"]);
    // Times and process IDs of a schedule are the same in every run.
    insta::assert_snapshot!(text.lines().take(13).collect::<Vec<_>>().join("\n"), @"
    ipc-demo tickets --buyers 2 --schedule a3b3 --seed 1    step 3  speed 1  PAUSED
    1 running  1 ended  to be shown: no ticket is sold twice, and no more are sold …
    ── workers ─────────────────────────────────────────────────────────────────────
      buyer-1                         ··   has ended
      buyer-2                         ·· · next: look file
    ── shared ──────────────────────────────────────────────────────────────────────
      ticket file  [ 2 ]
    ── last events ─────────────────────────────────────────────────────────────────
        0.000  buyer-1  starts as process 1
        0.000  buyer-2  starts as process 2
        0.001  buyer-1  sees 3 tickets left
        0.003  buyer-1  buys a ticket and writes: 2 tickets left
        0.003  buyer-1  exits
    ");
    screen.press(&["Space", "+", "+", "+", "+", "+", "+", "+"]);
    screen.shows(&["ENDED", "bought 2"]);
    screen.press(&["q"]);
    screen.ends(0);
    // Who chooses, chooses by selecting.
    let Some(screen) = Screen::run("tickets --buyers 2 --live --step", "C.UTF-8") else { return };
    screen.shows(&["PAUSED", "next: look file"]);
    screen.select("buyer-2");
    screen.press(&["."]);
    screen.shows(&["buyer-2  sees 3 tickets left"]);
    screen.press(&["k"]);
    screen.shows(&["killed (signal 9)"]);
    screen.press(&["q"]);
    let text = screen.ends(0);
    assert!(text.contains("replay it: ipc-demo tickets --buyers 2 --live --schedule"), "{text}");
}

#[test]
fn who_cannot_watch_is_told_why_and_nothing_is_started() {
    let _watchdog = watchdog("live::refused");
    for (args, reason) in [
        (&["--live"][..], "--live needs a terminal"),
        (&["--live", "--format", "json"], "--live does not use --format json"),
    ] {
        let refused = Demo::run("tickets").args(args.iter().copied()).expect_exit(2);
        assert!(refused.stdout.is_empty() && refused.stderr.contains(reason), "{}", refused.stderr);
    }
    let explored = Demo::run("explore").args(["tickets", "--live"]).expect_exit(2);
    assert!(explored.stderr.contains("explore does not use --live"), "{}", explored.stderr);
}
