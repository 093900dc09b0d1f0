//! A browser without a window: Chromium, driven by ChromeDriver.
//!
//! Both die with the program: Chromium ends with the pipe to its driver.
//!
//! Standard: WebDriver (W3C), and the Chrome DevTools Protocol for what it lacks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{skip, until};
use crate::kept::Kept;

/// How Chromium is to start: alone, quiet, and without a network.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// A browser with one window.
pub(crate) struct Browser {
    dir: PathBuf,
    _driver: Kept,
    agent: ureq::Agent,
    /// The URL of the session.
    session: String,
}

impl Browser {
    /// Starts a browser; `None`, with a printed reason, if there is none to start.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("chromedriver").arg("--version").output().is_err() {
            skip("browser", "there is no chromedriver");
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder").keep();
        let driver = Kept::start(&dir, ["chromedriver", "--port=0"]);
        let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        let port_in = |log: &str| Some(log.split_once("successfully on port ")?.1.split_once('.')?.0.to_owned());
        until(|| port_in(&log()).is_some());
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(50)));
        let agent = config.http_status_as_error(false).build().into();
        let session = format!("http://127.0.0.1:{}/session", port_in(&log()).expect("found before"));
        let mut browser = Browser { dir, _driver: driver, agent, session };
        let profile = format!("--user-data-dir={}", browser.dir.join("profile").display());
        let args: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "goog:loggingPrefs": { "browser": "ALL" }, "goog:chromeOptions": { "args": args } });
        let begun = browser.ask("", json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session = format!("{}/{}", browser.session, begun["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    /// Sends a command of the session with its parameters, and returns its value.
    #[track_caller]
    fn ask(&self, command: &str, parameters: Value) -> Value {
        let url = format!("{}{command}", self.session);
        let answer = self.agent.post(&url).send_json(&parameters).and_then(|mut answer| answer.body_mut().read_json());
        let mut answer: Value = answer.unwrap_or_else(|error| panic!("{command}: {error}"));
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{command} {parameters}: {value:#}");
        value
    }

    /// Sends a command of the DevTools protocol.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// Opens a file, and waits until it is loaded.
    #[track_caller]
    pub(crate) fn open(&self, file: &Path) {
        self.ask("/url", json!({ "url": format!("file://{}", file.display()) }));
    }

    /// Runs the body of a function in the page, and returns what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.ask("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// As [`run`](Self::run), for something that is awaited.
    #[track_caller]
    pub(crate) fn wait(&self, promise: &str) -> Value {
        let script = format!("const done = arguments[0]; ({promise}).then(done);");
        self.ask("/execute/async", json!({ "script": script, "args": [] }))
    }

    /// Presses and releases a key: a character, or one of WebDriver's code points for other keys.
    #[track_caller]
    pub(crate) fn press(&self, key: char) {
        let [down, up] = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        self.ask("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": [down, up] }] }));
    }

    /// Returns what was written to the console since the last call.
    #[track_caller]
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.ask("/se/log", json!({ "type": "browser" }));
        log.as_array().expect("entries").iter().map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
    }
}
