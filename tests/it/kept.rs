//! Server programs that die with this program, and their folders with them: a shell waits for the end of a pipe that only
//! this program has.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::unistd::Pid;

/// A browser writes into its folder until its last process has ended.
const KEEPER: &str = r#"dir=$1; shift
"$@" >"$dir/log" 2>&1 &
echo $!
cat >/dev/null
kill -9 $!
wait
for try in $(seq 50); do rm -rf "$dir" 2>/dev/null && break; sleep 0.1; done"#;

/// A program in the background. Its output is in the file `log` of its folder.
pub(crate) struct Kept {
    keeper: Child,
    pub(crate) pid: Pid,
}

impl Kept {
    /// Starts a program, given by its command line, with a folder that is deleted with it.
    pub(crate) fn start(dir: &Path, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(dir).args(command);
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut pid = String::new();
        BufReader::new(keeper.stdout.take().expect("piped")).read_line(&mut pid).expect("a process id");
        Kept { keeper, pid: Pid::from_raw(pid.trim().parse().expect("a process id")) }
    }

    /// Leaves the folder of a program that has ended.
    pub(crate) fn leave_folder(mut self) {
        self.keeper.kill().expect("a child");
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
