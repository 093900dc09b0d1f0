//! What the scripts answer.

use std::sync::Arc;

use redis::Value;

use super::connection::Answer;
use super::error::RedisError;
use super::payload::{Payload, Place, of_tasks};
use super::server::Server;
use crate::ipc::error::Result;

/// An item that was got or leased.
pub(super) struct Taken {
    pub(super) number: u64,
    pub(super) payload: Payload,
    pub(super) returned: u32,
}

/// Tasks that were leased together.
pub(super) struct Batch {
    /// The member that holds them.
    pub(super) holder: Arc<str>,
    pub(super) items: Vec<Taken>,
}

/// Turns the answer that the queue is not there into an error.
pub(super) fn unless_gone(server: &Server, name: &str, answer: Answer) -> Result<Answer> {
    match answer {
        (-1, _) => Err(RedisError::NoQueue { server: server.address(), queue: name.to_owned() }.into()),
        answer => Ok(answer),
    }
}

/// Reads a text; an empty one if there is nothing.
pub(super) fn text(server: &Server, value: Option<Value>) -> Result<String> {
    value.map_or_else(|| Ok(String::new()), |text| self::value(server, text))
}

pub(super) fn value<T: redis::FromRedisValue>(server: &Server, value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|error| server.unexpected(&error))
}

/// Reads tasks and the name of their holder. `read` reads payloads in strings.
pub(super) fn batch(
    server: &Server,
    mut rest: impl Iterator<Item = Value>,
    read: impl FnOnce(&[Place]) -> Result<Vec<Value>>,
) -> Result<Batch> {
    let items = tasks(server, &mut rest, read)?;
    let holder = text(server, rest.next())?.into();
    Ok(Batch { holder, items })
}

/// Reads numbers, items, and how often each was returned; those at the end have not been.
pub(super) fn tasks(
    server: &Server,
    rest: &mut impl Iterator<Item = Value>,
    read: impl FnOnce(&[Place]) -> Result<Vec<Value>>,
) -> Result<Vec<Taken>> {
    let numbers: Vec<u64> = numbers(server, rest.next())?;
    let items = rest.next();
    let Some(Value::Array(items)) = items else { return Err(server.unexpected(&items)) };
    let returned: Vec<u32> = self::numbers(server, rest.next())?;
    let returned = returned.into_iter().chain(std::iter::repeat(0));
    let items = numbers.into_iter().zip(of_tasks(server, items, read)?).zip(returned);
    // Without a payload, the process has lost the lease, and another one has done the task.
    Ok(items.filter_map(|((number, payload), returned)| Some(Taken { number, payload: payload?, returned })).collect())
}

fn numbers<N: std::str::FromStr>(server: &Server, value: Option<Value>) -> Result<Vec<N>> {
    let words = text(server, value)?;
    words.split_whitespace().map(|word| word.parse().map_err(|_| server.unexpected(&words))).collect()
}

/// Reads a text with 1 or 0 for each.
pub(super) fn each(server: &Server, (_, mut rest): Answer) -> Result<Vec<bool>> {
    let digits = text(server, rest.next())?;
    Ok(digits.bytes().map(|digit| digit == b'1').collect())
}
