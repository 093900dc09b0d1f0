//! The address of a manager: a path on this machine, or a host and a port.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::{Transport, random};
use crate::ipc::deadline::Deadline;
use crate::sys::fd::above_standard;
use crate::sys::fork;
use crate::sys::socket;

/// The address at which a manager listens: `unix:PATH`, `unix:@NAME`, or `tcp:HOST:PORT`.
///
/// `@NAME` is an abstract socket: it has no file, so nothing is left behind, whatever ends the manager.
/// Without a host (`tcp::5000`) it is this machine only. Over TCP all traffic is encrypted and authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A socket in the file system, or an abstract one if the path begins with `@`; only processes of the same user can
    /// connect.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A host name or IP address.
        host: String,
        /// The port; 0 to listen at any free one.
        port: u16,
    },
}

/// What fits `sun_path` of `unix(7)`, with the byte that ends it.
const LONGEST_PATH: usize = 107;

const THIS_MACHINE: &str = "127.0.0.1";

/// A string is not a valid address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address (expected unix:PATH, of at most 107 bytes, or tcp:HOST:PORT)")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if (1..=LONGEST_PATH).contains(&path.len()) => Ok(Address::Unix(path.into())),
            Some(("tcp", place)) => {
                let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let host = if host.is_empty() { THIS_MACHINE } else { host };
                Ok(Address::Tcp { host: host.to_owned(), port: port.parse().map_err(|_| bad())? })
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl Address {
    /// Returns an abstract socket with a random name.
    pub(crate) fn abstract_socket() -> io::Result<Self> {
        let number = u64::from_le_bytes(random()?);
        Ok(Address::Unix(format!("@ipc-demo-{number:016x}").into()))
    }

    pub(crate) fn transport(&self) -> Transport {
        match self {
            Address::Unix(_) => Transport::Unix,
            Address::Tcp { .. } => Transport::Tcp,
        }
    }

    /// Connects by `deadline`, including the host look-up and an attempt at each of its addresses.
    pub(crate) fn connect(&self, deadline: Deadline) -> io::Result<OwnedFd> {
        let left = || deadline.left().filter(|left| !left.is_zero()).ok_or(io::ErrorKind::TimedOut);
        match self {
            Address::Unix(path) => socket::connect_unix(path, left()?),
            Address::Tcp { host, port } => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                for address in resolve(host, *port, left()?)? {
                    match TcpStream::connect_timeout(&address, left()?) {
                        Ok(stream) => {
                            socket::tune_tcp(stream.as_fd())?;
                            return above_standard(stream.into());
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Starts to listen. Returns the actual address too, with the port that the kernel chose.
    pub(crate) fn listen(&self) -> io::Result<(OwnedFd, Address, Option<SocketFile>)> {
        let (listener, address, file) = match self {
            Address::Unix(path) => {
                fork::note_origin()?;
                let (listener, file) = match socket::abstract_name(path) {
                    Some(name) => (UnixListener::bind_addr(&net::SocketAddr::from_abstract_name(name)?)?, None),
                    None => listen_at(path).map(|(listener, file)| (listener, Some(file)))?,
                };
                (OwnedFd::from(listener), self.clone(), file)
            }
            Address::Tcp { host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port))?;
                let port = listener.local_addr()?.port();
                (listener.into(), Address::Tcp { host: host.clone(), port }, None)
            }
        };
        let listener = above_standard(listener)?;
        socket::prepare_listener(listener.as_fd())?;
        Ok((listener, address, file))
    }
}

/// Returns the addresses of a host. The C library's look-up has no timeout, so a thread waits for it and is abandoned
/// when the time has passed.
fn resolve(host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (found, result) = mpsc::sync_channel(1);
    let host = host.to_owned();
    let look_up = move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // Fails if the caller's timeout has passed.
        let _ = found.send(addresses);
    };
    thread::Builder::new().name("look-up".to_owned()).spawn(look_up)?;
    result.recv_timeout(timeout).map_err(|_| io::ErrorKind::TimedOut)?
}

/// A socket's file, removed on drop if it is still the same file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fork::forked_from().is_some() {
            // A forked child must not remove it: its parent still listens.
            return;
        }
        let is_ours = |file: fs::Metadata| (file.dev(), file.ino()) == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // A drop cannot report the error.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`, replacing a socket left there by a dead server.
fn listen_at(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // Of two processes that find the same dead socket only one may remove it.
            let lock = File::open(parent)?;
            lock.lock()?;
            if is_dead(path)? {
                fs::remove_file(path)?;
            }
            let listener = UnixListener::bind(path);
            drop(lock);
            listener?
        }
        listener => listener?,
    };
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let file = fs::symlink_metadata(path)?;
    let inode = (file.dev(), file.ino());
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

/// Whether `path` is a socket at which no process listens any more.
fn is_dead(path: &Path) -> io::Result<bool> {
    let is_socket = fs::symlink_metadata(path)?.file_type().is_socket();
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    Ok(is_socket && UnixStream::connect(path).err().is_some_and(refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in ["unix:/run/x y", "unix:@name", "tcp:127.0.0.1:5000", "tcp:[::1]:0", "tcp:example.org:1"] {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
        assert_eq!("tcp::5000".parse(), Ok(Address::Tcp { host: THIS_MACHINE.into(), port: 5000 }));
        for text in ["", "unix:", "tcp:5000", "tcp:host:99999", "/run/x", "udp:a:1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn dead_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let address = Address::Unix(directory.path().join("socket"));
        let (dead, _, file) = address.listen().expect("free");
        std::mem::forget(file);
        drop(dead);
        let (_living, _, file) = address.listen().expect("the dead one is replaced");
        assert_eq!(address.listen().expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        let mut file = Some(file);
        assert!(fork::in_fork(|| {
            drop(file.take());
            true
        }));
        assert!(address.listen().is_err(), "a forked child leaves it where it is");
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0, "no file stays behind");
        let file = directory.path().join("socket");
        fs::write(&file, "precious").expect("writable");
        assert!(address.listen().is_err(), "a file is not a dead socket");
        assert_eq!(fs::read(&file).expect("still there"), b"precious");
    }

    #[test]
    fn abstract_socket_has_no_file() {
        let address = Address::abstract_socket().expect("random bytes");
        let (listener, actual, file) = address.listen().expect("free");
        assert!(actual == address && file.is_none());
        assert_eq!(address.listen().expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        let connected = address.connect(Deadline::after(Duration::from_secs(10)));
        assert!(connected.is_ok(), "{connected:?}");
        drop(listener);
        let refused = address.connect(Deadline::after(Duration::from_secs(10))).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
