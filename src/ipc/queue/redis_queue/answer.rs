//! What the scripts answer, and items as they read them.

use std::sync::Arc;

use redis::Value;

use super::connection::Answer;
use super::error::RedisError;
use super::server::Server;
use crate::ipc::error::Result;

/// An item that was got or leased.
pub(super) struct Taken {
    pub(super) number: u64,
    pub(super) payload: Vec<u8>,
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

/// The last byte of an item of a queue without tasks: its payload is in front of it, or in a hash.
const SHORT: u8 = 0;
const LONG: u8 = 1;

/// Returns an item with its payload.
pub(super) fn short_item(payload: &[u8]) -> Vec<u8> {
    [payload, &[SHORT]].concat()
}

/// Returns an item whose payload is in a hash: its field there.
pub(super) fn long_item(payload: &[u8], name: &str) -> Vec<u8> {
    [&(payload.len() as u32).to_le_bytes(), name.as_bytes(), &[LONG]].concat()
}

/// Reads the payloads of items of a queue without tasks. `read` reads the long ones by their fields.
pub(super) fn payloads(
    server: &Server,
    items: impl IntoIterator<Item = Value>,
    read: impl FnOnce(&[&[u8]]) -> Result<Value>,
) -> Result<Vec<Vec<u8>>> {
    let item = |item| match item {
        Value::BulkString(item) => Ok(item),
        other => Err(server.unexpected(&other)),
    };
    let mut items: Vec<Vec<u8>> = items.into_iter().map(item).collect::<Result<_>>()?;
    let is_long = |item: &[u8]| item.last() == Some(&LONG);
    let fields: Vec<&[u8]> = items.iter().map(Vec::as_slice).filter(|item| is_long(item)).collect();
    let long = if fields.is_empty() { Value::Array(Vec::new()) } else { read(&fields)? };
    let Value::Array(long) = long else { return Err(server.unexpected(&long)) };
    let mut long = long.into_iter();
    items.retain_mut(|item| {
        if !is_long(item) {
            return item.pop().is_some();
        }
        match long.next() {
            Some(Value::BulkString(payload)) => *item = payload,
            // The process was declared dead, and what it got went with it.
            _ => return false,
        }
        true
    });
    Ok(items)
}

/// Reads tasks and the name of their holder. `read` reads payloads that are not in the answer by their numbers.
pub(super) fn batch(
    server: &Server,
    mut rest: impl Iterator<Item = Value>,
    read: impl FnOnce(&[u64]) -> Result<Value>,
) -> Result<Batch> {
    let items = tasks(server, &mut rest, read)?;
    let holder = text(server, rest.next())?.into();
    Ok(Batch { holder, items })
}

/// Reads numbers, payloads, and how often each was returned; those at the end have not been.
pub(super) fn tasks(
    server: &Server,
    rest: &mut impl Iterator<Item = Value>,
    read: impl FnOnce(&[u64]) -> Result<Value>,
) -> Result<Vec<Taken>> {
    let numbers: Vec<u64> = numbers(server, rest.next())?;
    let payloads = match rest.next() {
        Some(Value::BulkString(_)) => Some(read(&numbers)?),
        payloads => payloads,
    };
    let Some(Value::Array(payloads)) = payloads else { return Err(server.unexpected(&payloads)) };
    let returned: Vec<u32> = self::numbers(server, rest.next())?;
    let returned = returned.into_iter().chain(std::iter::repeat(0));
    let items = numbers.into_iter().zip(payloads).zip(returned);
    let taken = items.filter_map(|((number, payload), returned)| match payload {
        Value::BulkString(payload) => Some(Taken { number, payload, returned }),
        // The process has lost the lease, and another one has done the task.
        _ => None,
    });
    Ok(taken.collect())
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
