//! `--serve`: this process as a manager for others, until somebody asks it to stop.

use std::io::ErrorKind;
use std::net::ToSocketAddrs;

use anyhow::{Context, anyhow};

use super::entry::Key;
use super::{Manager, ManagerArgs};
use crate::ipc::manager::{Address, Limits, Serving, Status};
use crate::ipc::{Error, RoleEntry};
use crate::report::{Event, Fact};
use crate::scenarios::stage::Stage;
use crate::scenarios::{Ending, Finding, Scenario, Tally};

/// A manager for others.
pub(super) struct Host {
    key: Key,
    address: Address,
    serving: Option<Serving>,
    status: Status,
}

impl Scenario for Host {
    const NAME: &'static str = Manager::NAME;
    const ABOUT: &'static str = Manager::ABOUT;
    type Args = ManagerArgs;
    const ROLES: &'static [RoleEntry] = &[];
    type Tally = Nothing;

    fn prepare(args: ManagerArgs) -> anyhow::Result<Self> {
        let address = args.serve.context("an address to serve at")?;
        let key = Key::read(&args.authkey_file.context("a key")?)?;
        let listening = Serving::listen(std::slice::from_ref(&address), key.key.clone(), Limits::default());
        let serving = listening.map_err(|error| {
            let is_taken = matches!(&error, Error::Os { source, .. } if source.kind() == ErrorKind::AddrInUse);
            let said = anyhow::Error::new(error).context(format!("cannot be a manager at {address}"));
            if is_taken { anyhow!("{said:#} (choose another address, or end what is there)") } else { said }
        })?;
        // With the port that the kernel chose.
        let address = serving.addresses().first().cloned().unwrap_or(address);
        Ok(Host { key, address, serving: Some(serving), status: Status::default() })
    }

    fn workers(&self) -> Vec<String> {
        Vec::new()
    }

    fn events(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn play(&mut self, stage: &mut Stage<'_>) -> anyhow::Result<()> {
        if let Some(warning) = self.key.warning() {
            stage.emit(warning)?;
        }
        let address = self.address.to_string();
        if is_exposed(&self.address) {
            stage.emit(Fact::AddressExposed { address: address.clone() })?;
        }
        stage.emit(Fact::ManagerStarted { manager_pid: std::process::id(), addresses: vec![address] })?;
        if let Some(serving) = self.serving.take()
            && !stage.is_cut()
        {
            self.status = serving.run(stage.stop_bell())?;
        }
        // Notes who asked.
        stage.is_cut();
        Ok(())
    }

    fn check(self, _: &Nothing, _: &Ending) -> anyhow::Result<Finding> {
        let socket_left = matches!(&self.address, Address::Unix(path) if path.symlink_metadata().is_ok());
        let Status { clients_ever, clients, objects, names, requests, refused, .. } = self.status;
        let numbers = [
            ("clients", clients_ever),
            ("connected", clients),
            ("objects", objects),
            ("names", names),
            ("requests", requests),
            ("turned_away", refused.total()),
        ];
        let mut facts = numbers.map(|(name, number)| (name, number.into())).to_vec();
        facts.push(("socket_left", socket_left.into()));
        Ok(Finding {
            claim: "the manager leaves no socket behind",
            broken: socket_left,
            // It ends by being stopped.
            finished: true,
            guaranteed: true,
            allowance: None,
            facts,
        })
    }
}

/// Whether other machines may be able to reach an address. One that cannot be resolved could not be listened at either.
fn is_exposed(address: &Address) -> bool {
    match address {
        Address::Unix(_) => false,
        Address::Tcp { host, port } => {
            (host.as_str(), *port).to_socket_addrs().is_ok_and(|mut all| all.any(|one| !one.ip().is_loopback()))
        }
    }
}

/// Whoever connects tells this process nothing.
#[derive(Debug, Default)]
pub(super) struct Nothing;

impl Tally for Nothing {
    fn count(&mut self, _: &Event) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_not_exposed() {
        let is_exposed = |text: &str| is_exposed(&text.parse().expect("an address"));
        for inside in ["unix:/tmp/shop", "tcp::0", "tcp:127.0.0.1:5000", "tcp:[::1]:5000", "tcp:localhost:1"] {
            assert!(!is_exposed(inside), "{inside}");
        }
        for outside in ["tcp:0.0.0.0:5000", "tcp:[::]:5000", "tcp:10.1.2.3:5000"] {
            assert!(is_exposed(outside), "{outside}");
        }
    }
}
