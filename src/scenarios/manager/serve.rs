//! `--serve`: this process as a manager for others, until it is asked to stop.

use std::io::ErrorKind;

use anyhow::{Context, anyhow};

use super::args::ManagerArgs;
use super::connect::Key;
use super::facts::{ADVICE, ManagerFact};
use super::scenario::Manager;
use crate::Error;
use crate::manager::{Address, Limits, Serving, Status};
use crate::scenarios::prelude::*;

/// A manager for others.
pub(super) struct Serve {
    key: Key,
    address: Address,
    serving: Option<Serving>,
    status: Status,
}

impl Scenario for Serve {
    const NAME: &'static str = Manager::NAME;
    const ABOUT: &'static str = Manager::ABOUT;
    type Args = ManagerArgs;
    const ROLES: &'static [RoleEntry] = &[];
    const FACTS: &'static [Parse] = &[];
    const CLAIM: [&'static str; 2] = ["the manager leaves no socket behind", "服务进程不留下套接字文件"];
    const NAMES: Names = Manager::NAMES;
    type Observer = Nothing;

    fn prepare(args: ManagerArgs) -> anyhow::Result<Self> {
        let address = args.serve.context("an address to serve at")?;
        let key = Key::read(&args.authkey_file.context("a key")?)?;
        let listening = Serving::listen(std::slice::from_ref(&address), key.key.clone(), Limits::default());
        let serving = listening.map_err(|error| {
            let is_taken = matches!(&error, Error::Os { source, .. } if source.kind() == ErrorKind::AddrInUse);
            let said = anyhow::Error::new(error).context(format!("cannot serve at {address}"));
            if is_taken { anyhow!("{said:#} (choose another address, or stop what listens there)") } else { said }
        })?;
        // With the port that the kernel chose.
        let address = serving.addresses().first().cloned().unwrap_or(address);
        Ok(Serve { key, address, serving: Some(serving), status: Status::default() })
    }

    fn workers(&self) -> Vec<String> {
        Vec::new()
    }

    fn moments(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn things(&self) -> Vec<Thing> {
        Vec::new()
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        if let Some(warning) = self.key.warning() {
            runner.emit(warning)?;
        }
        let address = self.address.to_string();
        runner.emit(ManagerFact::ManagerStarted { manager_pid: std::process::id(), addresses: vec![address] })?;
        if let Some(serving) = self.serving.take()
            && !runner.is_cut()
        {
            self.status = serving.run(runner.stop_request(), |status| {
                let [en, zh] = status_line(status);
                runner.show_status(&en, &zh);
            })?;
        }
        // Records the stop request.
        runner.is_cut();
        Ok(())
    }

    fn check(self, _: &Nothing, _: &Completion) -> anyhow::Result<CheckResult> {
        let socket_left = matches!(&self.address, Address::Unix(path) if path.symlink_metadata().is_ok());
        let Status { clients_ever, clients, objects, names, requests, refused, .. } = self.status;
        Ok(CheckResult {
            broken: socket_left,
            // It ends only by being stopped.
            finished: true,
            guaranteed: true,
            allowance: None,
            seen: [
                format!("{} made {}.", counted(clients_ever, "client"), counted(requests, "request")),
                format!("{clients_ever} 个客户端共发来 {requests} 个请求。"),
            ],
            facts: vec![
                counter("clients", "客户端", clients_ever),
                counter("connected", "仍连接", clients),
                counter("objects", "对象", objects),
                counter("names", "已命名", names),
                counter("requests", "请求", requests),
                counter("turned_away", "拒绝", refused.total()),
                counter("socket_left", "留下套接字", socket_left),
            ],
            advice: Some(ADVICE),
        })
    }
}

/// Describes the current state of the manager, in English and in Chinese.
fn status_line(status: &Status) -> [String; 2] {
    let Status { clients, objects, refused, .. } = status;
    let keys = refused.wrong_key;
    [
        format!(
            "{}, {}, {} refused",
            counted(*clients, "client"),
            counted(*objects, "object"),
            counted(keys, "wrong key")
        ),
        format!("{clients} 个客户端，{objects} 个对象，拒绝了 {keys} 个错误密钥"),
    ]
}

/// Clients report nothing to this process.
#[derive(Debug, Default)]
pub(super) struct Nothing;

impl Observer for Nothing {
    fn count(&mut self, _: &Event) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_line_counts_clients_objects_and_wrong_keys() {
        let mut status = Status { clients: 1, objects: 2, ..Status::default() };
        status.refused.wrong_key = 3;
        let [en, zh] = status_line(&status);
        assert_eq!(en, "1 client, 2 objects, 3 wrong keys refused");
        assert_eq!(zh, "1 个客户端，2 个对象，拒绝了 3 个错误密钥");
    }
}
