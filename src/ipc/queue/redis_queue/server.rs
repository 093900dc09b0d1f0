//! A Redis server: its URL, and what it must be able to do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, Value};

use super::connection::Connection;
use super::error::RedisError;
use crate::ipc::error::{Error, Result};

/// The default of [`Server::timeout`].
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The oldest version that has all commands of the scripts: `LPOP` with a count and `SMISMEMBER` are of 6.2, all others of
/// 6.0 and before. Valkey counts on from 7.2.
const OLDEST: (u32, u32) = (6, 2);

/// A Redis or Valkey server, and for how long to try to reach it. It opens queues; see [`Queue`](super::Queue).
#[derive(Clone)]
pub struct Server {
    url: String,
    info: redis::ConnectionInfo,
    pub(super) timeout: Duration,
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The version of Redis that it is compatible with.
    pub version: String,
    /// Whether it keeps an append-only file. Without one, a restart loses what was changed since its last snapshot.
    pub is_append_only: bool,
    /// Since when it has been running.
    pub uptime: Duration,
}

impl Server {
    /// Creates it from a URL: `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, `rediss://` for TLS, or `unix:///SOCKET`.
    /// Does not connect.
    ///
    /// # Errors
    /// [`RedisError::Url`] and [`RedisError::NoTls`].
    pub fn new(url: &str) -> Result<Self> {
        let refused = |reason: String| Error::from(RedisError::Url { reason });
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let is_secure = matches!(scheme, "rediss" | "valkeys");
        if is_secure && cfg!(not(feature = "redis-tls")) {
            return Err(RedisError::NoTls.into());
        }
        if !is_secure && !matches!(scheme, "redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix") {
            return Err(refused("it does not begin with redis://".to_owned()));
        }
        let is_of_socket = scheme.ends_with("unix");
        if !is_of_socket && url.contains('?') || !is_of_socket && !is_secure && url.contains('#') {
            return Err(refused("a ? or # has no meaning in it; in a password, write %3F or %23".to_owned()));
        }
        let info = url.into_connection_info().map_err(|error| refused(told(&error)))?;
        let settings = info.redis_settings().clone().set_skip_set_lib_name().set_protocol(ProtocolVersion::RESP2);
        if settings.username().is_some() && settings.password().is_none() {
            return Err(refused("it has a user without a password; write :PASSWORD@ for a password alone".to_owned()));
        }
        let info = info.set_redis_settings(settings);
        let info = info.set_tcp_settings(redis::io::tcp::TcpSettings::default().set_nodelay(true));
        Ok(Server { url: url.to_owned(), info, timeout: DEFAULT_TIMEOUT })
    }

    /// Sets for how long an operation tries to reach a server that does not answer: [`DEFAULT_TIMEOUT`] if not set. The
    /// operation's own timeout does not end it earlier, because whether the request was performed is not known before.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks whether queues can be kept on the server.
    ///
    /// # Errors
    /// [`Error::Redis`] with the reason.
    pub fn check(&self) -> Result<ServerInfo> {
        let mut connection = Connection::new(Arc::new(self.clone()));
        let answer = connection.command(&redis::cmd("INFO"), self.timeout)?;
        let Value::BulkString(text) = answer else { return Err(self.unexpected(&answer)) };
        let text = String::from_utf8_lossy(&text);
        let field = |name: &str| {
            let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.map(str::trim).next().unwrap_or_default().to_owned()
        };
        let server = self.address();
        let version = field("redis_version");
        if version.is_empty() {
            return Err(RedisError::NotRedis { server, reason: "INFO has no version".to_owned() }.into());
        }
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
            return Err(RedisError::TooOld { server, version }.into());
        }
        let policy = field("maxmemory_policy");
        if policy.starts_with("allkeys") {
            return Err(RedisError::Evicts { server, policy }.into());
        }
        if field("role") == "slave" {
            return Err(RedisError::ReadOnly { server }.into());
        }
        let uptime = Duration::from_secs(field("uptime_in_seconds").parse().unwrap_or(0));
        Ok(ServerInfo { version, is_append_only: field("aof_enabled") == "1", uptime })
    }

    /// Connects to it.
    pub(crate) fn connect(&self, timeout: Duration) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.info.clone())?.get_connection_with_timeout(timeout)
    }

    /// Returns where it listens: `HOST:PORT` or the path of a socket.
    pub(super) fn address(&self) -> String {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            address => address.to_string(),
        }
    }

    /// Returns its parts for another process: the URL, which may have a password, and the timeout in milliseconds.
    pub(super) fn parts(&self) -> (String, u64) {
        (self.url.clone(), self.timeout.as_millis() as u64)
    }

    pub(super) fn of_parts((url, timeout_ms): &(String, u64)) -> Result<Self> {
        Ok(Server::new(url)?.timeout(Duration::from_millis(*timeout_ms)))
    }

    /// Returns the error for a reply that none of the scripts gives.
    pub(super) fn unexpected(&self, reply: &impl fmt::Debug) -> Error {
        let reply = format!("{reply:?}").chars().take(200).collect();
        RedisError::UnexpectedReply { server: self.address(), reply }.into()
    }

    /// Returns why a request failed for good; `None` if it is to be tried again.
    pub(super) fn refusal(&self, error: &redis::RedisError) -> Option<RedisError> {
        if error.is_io_error() {
            return None;
        }
        let (server, reason) = (self.address(), told(error));
        // Redis 6.2 wraps the error of a command in that of the script, so the text counts.
        let text = format!("{error} {}", error.detail().unwrap_or_default());
        let says = |word: &str| error.code() == Some(word) || text.contains(&format!("-{word} "));
        if ["LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY"].into_iter().any(says) {
            return None;
        }
        let access = |reason: &str| RedisError::Access { server: self.address(), reason: reason.to_owned() };
        Some(if error.kind() == ErrorKind::AuthenticationFailed || says("WRONGPASS") {
            access("the password or the user is wrong")
        } else if says("NOAUTH") {
            access("it needs a password")
        } else if says("NOPERM") {
            access(&format!("the user lacks a permission ({})", error.detail().unwrap_or("NOPERM")))
        } else if text.contains("refused to switch database") || text.contains("DB index is out of range") {
            RedisError::NoDatabase { server }
        } else if says("READONLY") {
            RedisError::ReadOnly { server }
        } else if says("OOM") {
            RedisError::OutOfMemory { server }
        } else if says("MISCONF") {
            RedisError::DiskFailed { server }
        } else if error.kind() == ErrorKind::Parse {
            RedisError::NotRedis { server, reason: "its reply is not of the Redis protocol".to_owned() }
        } else {
            RedisError::Refused { server, reason }
        })
    }
}

/// Returns what an error of the client says, without its own classification.
pub(super) fn told(error: &redis::RedisError) -> String {
    let text = error.to_string().replace(" - InvalidClientConfig", "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Shows no password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.url))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &masked(&self.url))
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Returns a text, such as an argument of a command line, with `***` in place of a password in a URL.
pub(crate) fn masked(text: &str) -> String {
    let mut masked = text.to_owned();
    let Some((scheme, rest)) = text.split_once("://") else { return masked };
    if let Some((user_info, host)) = rest.rsplit_once('@') {
        if let Some((user, _)) = user_info.split_once(':') {
            masked = format!("{scheme}://{user}:***@{host}");
        }
    } else if !scheme.ends_with("unix")
        && let Some((host, rest)) = rest.split_once(':')
        && !host.starts_with('[')
        && let port = rest.split(['/', '?']).next().unwrap_or_default()
        && (host.is_empty() || port.parse::<u16>().is_err())
    {
        // The host was forgotten.
        masked = format!("{scheme}://{host}:***");
    }
    // The form of a socket's URL.
    let mut parts = masked.split("pass=");
    let before = parts.next().unwrap_or_default().to_owned();
    parts.fold(before, |masked, part| masked + "pass=***" + part.find('&').map_or("", |at| &part[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        for (text, expected) in [
            ("redis://db", "redis://db"),
            ("redis://ann@db:1/2", "redis://ann@db:1/2"),
            ("redis://ann:secret@db:1/2", "redis://ann:***@db:1/2"),
            ("--transport=rediss://:se:cr@et@db", "--transport=rediss://:***@db"),
            ("unix:///run/r?pass=secret&db=1", "unix:///run/r?pass=***&db=1"),
            ("unix:///run/r?pass=secret&pass=other", "unix:///run/r?pass=***&pass=***"),
            ("redis://:secret", "redis://:***"),
            ("redis://:1secret", "redis://:***"),
            ("redis://ann:secret/2", "redis://ann:***"),
            ("redis://ann:1secret/2", "redis://ann:***"),
            ("redis://db:7000/2", "redis://db:7000/2"),
            ("unix:///run/a:b.sock", "unix:///run/a:b.sock"),
            ("redis://[::1]:7000/2", "redis://[::1]:7000/2"),
            ("--queue=pass=1", "--queue=pass=1"),
            ("--items", "--items"),
        ] {
            assert_eq!(masked(text), expected);
        }
        let server = Server::new("redis://ann:secret@db:1/2").expect("a URL");
        for shown in [format!("{server} {server:?}"), server.address()] {
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn urls_that_name_no_server_are_refused() {
        for url in [
            "",
            "redis",
            "http://db",
            "redis://",
            "redis://db:port",
            "redis://db/first",
            "redis://0.0.0.0",
            "redis://db?db=3",
            "redis://db/#3",
            "redis://ann@db",
        ] {
            let refused = Server::new(url).expect_err("no server");
            let Error::Redis(refused) = refused else { panic!("{refused:?}") };
            assert!(matches!(*refused, RedisError::Url { .. }), "{refused:?}");
        }
        for url in ["redis://db", "redis://ann:secret@db:7000/3", "redis://[::1]", "unix:///run/redis.sock"] {
            Server::new(url).expect("a server");
        }
    }

    #[cfg(not(feature = "redis-tls"))]
    #[test]
    fn tls_needs_its_feature() {
        let refused = Server::new("rediss://db").expect_err("it is not built in").to_string();
        assert!(refused.contains("redis-tls"), "{refused}");
    }
}
