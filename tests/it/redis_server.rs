//! A Redis or Valkey server of this test program, on a Unix socket in a folder of its own.
//!
//! The variable `IPC_DEMO_REDIS_SERVER` names another server program than those in the path.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ipc_demo::redis::Server;
use nix::sys::signal::{Signal, kill};

use crate::harness::skip;
use crate::kept::Kept;

/// Returns the server program of this machine.
fn program() -> Option<String> {
    let named = std::env::var("IPC_DEMO_REDIS_SERVER").ok();
    let known = ["redis-server", "valkey-server"].map(str::to_owned);
    named.into_iter().chain(known).find(|name| Command::new(name).arg("--version").output().is_ok())
}

/// Returns the server that tests share, which they must not disturb; `None`, with a printed reason, if there is none.
pub(crate) fn shared() -> Option<Server> {
    static SHARED: OnceLock<Option<RedisServer>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| program().map(|_| RedisServer::start(&[]).expect("a server")));
    if shared.is_none() {
        skip("redis", "there is no redis-server and no valkey-server");
    }
    shared.as_ref().map(RedisServer::server)
}

/// A server process.
pub(crate) struct RedisServer {
    dir: PathBuf,
    command: Vec<String>,
    options: Vec<String>,
    process: Kept,
}

impl RedisServer {
    /// Starts a server with options beyond the usual ones; `None`, with a printed reason, if there is none to start.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        Self::start_within(&[], options)
    }

    /// As [`start`](Self::start), through another program, given by the beginning of a command line.
    pub(crate) fn start_within(starter: &[String], options: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            skip("redis", "there is no redis-server and no valkey-server");
            return None;
        };
        let dir = tempfile::tempdir().expect("a folder").keep();
        let command: Vec<String> = starter.iter().cloned().chain([program]).collect();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let process = launch(&command, &dir, &options);
        let server = RedisServer { dir, command, options, process };
        server.await_ready();
        Some(server)
    }

    /// Returns the URL of its socket.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn server(&self) -> Server {
        Server::new(&self.url()).expect("a URL")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    fn await_ready(&self) {
        crate::harness::until(|| self.ask("PING").starts_with("+PONG") || self.ask("PING").starts_with("-NOAUTH"));
    }

    /// Sends one command of words without white space, and returns the beginning of the answer; nothing if there is none.
    pub(crate) fn ask(&self, command: &str) -> String {
        let answer = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(self.socket())?;
            let words: Vec<&str> = command.split_whitespace().collect();
            let mut request = format!("*{}\r\n", words.len());
            words.iter().for_each(|word| request.push_str(&format!("${}\r\n{word}\r\n", word.len())));
            stream.write_all(request.as_bytes())?;
            let mut answer = vec![0; 1 << 16];
            let read = stream.read(&mut answer)?;
            answer.truncate(read);
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        answer().unwrap_or_default()
    }

    /// Sends it a signal. If that stops it, it has stopped.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.process.pid, signal).expect("a process of this test");
        if signal == Signal::SIGSTOP {
            crate::harness::until(|| crate::harness::is_in_state('T', self.process.pid.as_raw() as u32));
        }
    }

    /// Kills it. Its files stay for [`restart`](Self::restart).
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
        crate::harness::await_end(self.process.pid.as_raw() as u32);
    }

    /// Starts it again, with the files of before.
    pub(crate) fn restart(&mut self) {
        let process = launch(&self.command, &self.dir, &self.options);
        std::mem::replace(&mut self.process, process).leave_folder();
        self.await_ready();
    }
}

fn launch(command: &[String], dir: &Path, options: &[String]) -> Kept {
    let dir_and_socket = [dir.into(), dir.join("s")].map(|path: PathBuf| path.to_str().expect("text").to_owned());
    let [dir_text, socket] = dir_and_socket;
    // With the default, everysec, a server whose disk is slow acknowledges for up to two seconds what it has not written.
    let usual = ["--port", "0", "--appendonly", "yes", "--appendfsync", "no", "--save", ""].map(str::to_owned);
    let here = ["--unixsocket".to_owned(), socket, "--dir".to_owned(), dir_text];
    Kept::start(dir, [command, &usual, &here, options].concat())
}
