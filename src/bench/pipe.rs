//! Numbers one way through a pipe between two processes, beside the bare system calls with frames of the same length.

use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ipc::{Builder, Inherited, Receiver, Result, Role, RoleResult, Sender, Slot, pipe};

/// A large number has the longest form: ten bytes, and four of header.
const NUMBER: u64 = u64::MAX;
const FRAME: usize = 14;

/// Messages a second of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// With [`Sender::send`] and [`Receiver::recv`].
    pub(crate) ours: f64,
    /// With an end that was shared, which reads ahead no byte.
    pub(crate) ours_shared: f64,
    /// With one `write(2)` and one `read(2)` a message.
    pub(crate) raw: f64,
}

/// Sends `messages` numbers to a worker three times: raw, ours, and ours through a shared end.
pub(crate) fn one_way(messages: u64, worker: &Builder<'_>) -> Result<Rates> {
    let rate = |elapsed: Duration| messages as f64 / elapsed.as_secs_f64();
    Ok(Rates {
        raw: rate(run(messages, worker, Way::Raw)?),
        ours: rate(run(messages, worker, Way::Ours)?),
        ours_shared: rate(run(messages, worker, Way::Shared)?),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    Raw,
    Ours,
    Shared,
}

fn run(messages: u64, worker: &Builder<'_>, way: Way) -> Result<Duration> {
    let (receiver, mut sender) = pipe()?;
    let (mut done, tell) = pipe::<()>()?;
    let mut process = worker.clone().spawn("receiver", |give| BenchReceiver {
        from: if way == Way::Shared { give.share(&receiver) } else { give.hand_over(receiver) },
        tell: give.hand_over(tell),
        messages,
        way,
    })?;
    done.recv()?;
    let start = Instant::now();
    if way == Way::Raw {
        let mut raw = File::from(std::os::fd::AsFd::as_fd(&sender).try_clone_to_owned().map_err(os)?);
        for _ in 0..messages {
            raw.write_all(&[7; FRAME]).map_err(os)?;
        }
    } else {
        for _ in 0..messages {
            sender.send(&NUMBER)?;
        }
    }
    done.recv()?;
    let elapsed = start.elapsed();
    process.join()?;
    Ok(elapsed)
}

fn os(source: std::io::Error) -> crate::ipc::Error {
    crate::ipc::Error::Os { action: "measure a pipe", source }
}

/// The receiving side: says when it is ready, and when it has received all.
#[derive(Serialize, Deserialize)]
pub(crate) struct BenchReceiver {
    from: Slot<Receiver<u64>>,
    tell: Slot<Sender<()>>,
    messages: u64,
    way: Way,
}

impl Role for BenchReceiver {
    const NAME: &'static str = "bench.pipe-receiver";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let mut from = inherited.take(self.from)?;
        let mut tell = inherited.take(self.tell)?;
        tell.send(&())?;
        if self.way == Way::Raw {
            let mut raw = File::from(from.as_fd().try_clone_to_owned()?);
            let mut frame = [0; FRAME];
            for _ in 0..self.messages {
                raw.read_exact(&mut frame)?;
            }
        } else {
            for _ in 0..self.messages {
                from.recv()?;
            }
        }
        Ok(tell.send(&())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{Process, RoleEntry, enter};

    #[test]
    #[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
    fn worker_entry() {
        if let Some(code) = enter(&[RoleEntry::of::<BenchReceiver>()]) {
            std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
        }
    }

    fn report(messages: u64) -> Rates {
        let null = File::options().write(true).open("/dev/null").expect("there is a null device");
        let worker = Process::builder()
            .program("/proc/self/exe", &["bench::pipe::tests::worker_entry", "--exact", "--test-threads=1"])
            .stdout(std::os::fd::AsFd::as_fd(&null));
        one_way(messages, &worker).expect("a run")
    }

    #[test]
    fn smoke() {
        let rates = report(1_000);
        assert!(rates.raw > 0.0 && rates.ours > 0.0 && rates.ours_shared > 0.0);
    }

    /// `cargo test --release --lib bench::pipe -- --ignored --nocapture`
    #[test]
    #[ignore = "measures for some seconds"]
    fn rates() {
        for _ in 0..5 {
            let Rates { ours, ours_shared, raw } = report(1_000_000);
            let (ratio, shared) = (ours / raw, ours_shared / raw);
            let text =
                format!("raw {raw:.0}/s, ours {ours:.0}/s ({ratio:.2}x), shared {ours_shared:.0}/s ({shared:.2}x)");
            writeln!(std::io::stderr(), "{text}").expect("a standard error");
        }
    }
}
