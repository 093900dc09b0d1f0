//! Items as the scripts read them, and their payloads, which may be outside.

use std::io::Write;
use std::ops::{Deref, Range};
use std::rc::Rc;
use std::sync::Arc;

use redis::{Cmd, RedisWrite, ToRedisArgs, Value};

use super::server::Server;
use crate::ipc::error::Result;

/// Bytes of a put, and of an item of it on average, from which its payloads bypass the scripts.
const LONG_PUT: usize = 8 << 10;
const LONG_ITEM: usize = 64;
/// Bytes of payloads and their lengths in a batch: a get of one item reads one batch.
const BATCH_BYTES: usize = 256;
/// As much in a string. Longer ones are allocated, and given back, page by page at each use.
const STRING_BYTES: usize = 96 << 10;
/// Room for the rest of a command that sets a string.
const KEY_BYTES: usize = 256;
/// For how long strings stay that no script has accepted: their client was killed while the server loaded its scripts.
const UNACCEPTED_SECONDS: u64 = 60;

/// The last byte of an item of a queue of tasks.
const IN_ITEM: u8 = 0;
const IN_STRING: u8 = 1;

/// The items of a put, in groups: the batches or strings that they are put into.
pub(super) struct Items<'p> {
    payloads: &'p [&'p [u8]],
    groups: Vec<Group<'p>>,
    has_tasks: bool,
}

/// The name of a string, empty if the payloads are in the items, and the payloads.
type Group<'p> = (String, &'p [&'p [u8]]);

impl<'p> Items<'p> {
    /// `name` returns a name that no other put has.
    pub(super) fn new(payloads: &'p [&'p [u8]], name: impl FnOnce() -> String, has_tasks: bool) -> Self {
        let bytes = bytes_of(payloads);
        let are_long = bytes >= LONG_PUT && bytes / payloads.len() >= LONG_ITEM;
        let (name, most) = if are_long { (name(), STRING_BYTES) } else { (String::new(), BATCH_BYTES) };
        let (mut groups, mut rest) = (Vec::new(), payloads);
        while !rest.is_empty() {
            let mut sum = 0;
            let fits = |payload: &&&[u8]| {
                sum += 4 + payload.len();
                sum <= most
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let string = if are_long { format!("{name}.{}", groups.len()) } else { String::new() };
            groups.push((string, rest.split_off(..count).expect("so many are left")));
        }
        Items { payloads, groups, has_tasks }
    }

    /// Returns the groups whose payloads are in strings.
    fn strings(&self) -> impl Iterator<Item = &Group<'p>> {
        self.groups.iter().filter(|(name, _)| !name.is_empty())
    }

    /// Returns the commands that set the strings. `key` returns the key for a name.
    pub(super) fn sets(&self, key: impl Fn(&str) -> String) -> impl Iterator<Item = Cmd> {
        self.strings().map(move |(name, payloads)| {
            let mut set = Cmd::with_capacity(5, bytes_of(payloads) + KEY_BYTES);
            set.arg("SET").arg(key(name)).arg(Text(payloads)).arg("EX").arg(UNACCEPTED_SECONDS);
            set
        })
    }

    /// Appends their number, their bytes, names and counts of strings, and the items to a command.
    pub(super) fn append_to(&self, command: &mut Cmd) {
        let strings: String = self.strings().map(|(name, payloads)| format!("{name} {} ", payloads.len())).collect();
        command.arg(self.payloads.len()).arg(bytes_of(self.payloads)).arg(strings);
        for (name, payloads) in &self.groups {
            if self.has_tasks {
                append_tasks(command, name, payloads);
            } else {
                append_batch(command, name, payloads);
            }
        }
    }
}

fn append_tasks(command: &mut Cmd, string: &str, payloads: &[&[u8]]) {
    let mut start = 0;
    for payload in payloads {
        let mut item = command.writer_for_next_arg();
        if string.is_empty() {
            write(&mut item, &[payload, &[IN_ITEM]]);
        } else {
            write(&mut item, &[&number(payload.len()), &number(start), string.as_bytes(), &[IN_STRING]]);
        }
        start += payload.len();
    }
}

fn append_batch(command: &mut Cmd, string: &str, payloads: &[&[u8]]) {
    let mut batch = command.writer_for_next_arg();
    let count = (payloads.len() as u16).to_le_bytes();
    let (len, start) = (number(bytes_of(payloads)), number(0));
    write(&mut batch, &[&count, &len, &start, &[string.len() as u8], string.as_bytes()]);
    payloads.iter().for_each(|payload| write(&mut batch, &[&number(payload.len())]));
    if string.is_empty() {
        write(&mut batch, payloads);
    }
}

fn number(number: usize) -> [u8; 4] {
    (number as u32).to_le_bytes()
}

fn write(argument: &mut impl Write, parts: &[&[u8]]) {
    parts.iter().for_each(|part| argument.write_all(part).expect("a command is in memory"));
}

fn bytes_of(payloads: &[&[u8]]) -> usize {
    payloads.iter().map(|payload| payload.len()).sum()
}

/// Payloads, one after another.
struct Text<'p>(&'p [&'p [u8]]);

impl ToRedisArgs for Text<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        write(&mut out.writer_for_next_arg(), self.0);
    }
}

/// The bytes of an item.
pub(super) struct Payload {
    text: Rc<Vec<u8>>,
    range: Range<usize>,
    /// The string that has them, if they were in one.
    pub(super) string: Option<Arc<str>>,
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[self.range.clone()]
    }
}

/// A part of a string.
pub(super) struct Place {
    name: Arc<str>,
    range: Range<usize>,
}

impl Place {
    /// Returns the command that reads it. `key` returns the key for a name.
    pub(super) fn get(&self, key: impl FnOnce(&str) -> String) -> Cmd {
        let mut get = redis::cmd("GETRANGE");
        get.arg(key(&self.name)).arg(self.range.start).arg(self.range.end as i64 - 1);
        get
    }
}

/// An item as it was read: where its payload is.
enum Item {
    Here(Rc<Vec<u8>>, Range<usize>),
    /// In the place of this index, in this range of the string.
    There(usize, Range<usize>),
    Removed,
}

/// Reads batches, and the payloads of their items. See [`of_tasks`].
pub(super) fn of_batches(
    server: &Server,
    batches: Vec<u8>,
    read: impl FnOnce(&[Place]) -> Result<Vec<Value>>,
) -> Result<Vec<Option<Payload>>> {
    let (mut items, mut places) = (Vec::new(), Vec::new());
    let batches = Rc::new(batches);
    let mut reader = Reader(&batches);
    while !reader.0.is_empty() {
        reader.batch(&batches, &mut items, &mut places).ok_or_else(|| server.unexpected(&batches))?;
    }
    resolve(server, items, &places, read)
}

/// Reads the payloads of tasks. `read` returns the texts of places. `None` for what was removed meanwhile, as its process was
/// declared dead.
pub(super) fn of_tasks(
    server: &Server,
    items: Vec<Value>,
    read: impl FnOnce(&[Place]) -> Result<Vec<Value>>,
) -> Result<Vec<Option<Payload>>> {
    let mut places = Vec::new();
    let items = items.into_iter().map(|item| match item {
        Value::BulkString(item) => match *item {
            [.., IN_STRING] => Reader(&item).task(&mut places).ok_or_else(|| server.unexpected(&item)),
            _ => {
                let payload = 0..item.len().saturating_sub(1);
                Ok(Item::Here(Rc::new(item), payload))
            }
        },
        Value::Nil => Ok(Item::Removed),
        other => Err(server.unexpected(&other)),
    });
    let items = items.collect::<Result<_>>()?;
    resolve(server, items, &places, read)
}

fn resolve(
    server: &Server,
    items: Vec<Item>,
    places: &[Place],
    read: impl FnOnce(&[Place]) -> Result<Vec<Value>>,
) -> Result<Vec<Option<Payload>>> {
    let texts = if places.is_empty() { Vec::new() } else { read(places)? };
    let text = |text| match text {
        Value::BulkString(text) => Ok(Rc::new(text)),
        other => Err(server.unexpected(&other)),
    };
    let texts = texts.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    let payloads = items.into_iter().map(|item| match item {
        Item::Here(text, range) => Some(Payload { text, range, string: None }),
        Item::There(index, range) => {
            let (place, text) = (&places[index], Rc::clone(&texts[index]));
            let range = range.start - place.range.start..range.end - place.range.start;
            (range.end <= text.len()).then(|| Payload { text, range, string: Some(Arc::clone(&place.name)) })
        }
        Item::Removed => None,
    });
    Ok(payloads.collect())
}

/// What is left to be read.
struct Reader<'t>(&'t [u8]);

impl<'t> Reader<'t> {
    fn bytes(&mut self, count: usize) -> Option<&'t [u8]> {
        self.0.split_off(..count)
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.bytes(4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    }

    fn task(&mut self, places: &mut Vec<Place>) -> Option<Item> {
        let (len, start) = (self.number()?, self.number()?);
        let (_, name) = self.0.split_last()?;
        Some(there(places, name, start..start + len))
    }

    fn batch(&mut self, batches: &Rc<Vec<u8>>, items: &mut Vec<Item>, places: &mut Vec<Place>) -> Option<()> {
        let &[c0, c1] = self.bytes(2)? else { return None };
        let count = usize::from(u16::from_le_bytes([c0, c1]));
        let (len, mut start) = (self.number()?, self.number()?);
        let &[name_len] = self.bytes(1)? else { return None };
        let name = self.bytes(usize::from(name_len))?;
        let mut lengths = Reader(self.bytes(4 * count)?);
        if name.is_empty() {
            start = batches.len() - self.0.len();
            self.bytes(len)?;
        }
        for _ in 0..count {
            let range = start..start + lengths.number()?;
            start = range.end;
            items.push(match name {
                [] => Item::Here(Rc::clone(batches), range),
                name => there(places, name, range),
            });
        }
        Some(())
    }
}

/// Returns an item in a string. Adds its place to `places`, or to the last of them if it follows that.
fn there(places: &mut Vec<Place>, name: &[u8], range: Range<usize>) -> Item {
    match places.last_mut() {
        Some(place) if place.range.end == range.start && place.name.as_bytes() == name => place.range.end = range.end,
        _ => places.push(Place { name: String::from_utf8_lossy(name).into(), range: range.clone() }),
    }
    Item::There(places.len() - 1, range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the arguments of a command.
    fn arguments(command: &Cmd) -> Vec<Vec<u8>> {
        let simple = command.args_iter().map(|argument| match argument {
            redis::Arg::Simple(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        });
        simple.collect()
    }

    /// Puts payloads as clients do, and reads them as others do.
    fn there_and_back(payloads: &[Vec<u8>], has_tasks: bool) -> Vec<Vec<u8>> {
        let server = Server::new("redis://localhost").expect("a URL");
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let items = Items::new(&slices, || "name".to_owned(), has_tasks);
        let strings: Vec<_> = items.sets(str::to_owned).map(|set| arguments(&set)).collect();
        let mut put = Cmd::new();
        items.append_to(&mut put);
        let put = arguments(&put);
        assert_eq!(put[0], payloads.len().to_string().as_bytes());
        let read = |places: &[Place]| {
            let text = |place: &Place| {
                let [_, key, from, to] = &arguments(&place.get(str::to_owned))[..] else { panic!("a GETRANGE") };
                let string = strings.iter().find(|set| set[1] == *key).expect("it was set");
                let number = |digits: &[u8]| str::from_utf8(digits).expect("text").parse::<usize>().expect("a number");
                Value::BulkString(string[2][number(from)..=number(to)].to_vec())
            };
            Ok(places.iter().map(text).collect())
        };
        let back = if has_tasks {
            of_tasks(&server, put[3..].iter().map(|item| Value::BulkString(item.clone())).collect(), read)
        } else {
            of_batches(&server, put[3..].concat(), read)
        };
        back.expect("well-formed").into_iter().map(|payload| payload.expect("there").to_vec()).collect()
    }

    #[test]
    fn items_of_every_length_come_back() {
        for lens in [&[0][..], &[1], &[0, 0, 5], &[8; 500], &[1000; 9], &[70_000, 1, 90_000, 0, 200_000], &[64; 128]] {
            let payloads: Vec<Vec<u8>> =
                lens.iter().zip((0..=255).cycle()).map(|(&len, letter)| vec![letter; len]).collect();
            for has_tasks in [false, true] {
                assert!(there_and_back(&payloads, has_tasks) == payloads, "{lens:?}");
            }
        }
    }

    #[test]
    fn malformed_batches_are_refused() {
        let server = Server::new("redis://localhost").expect("a URL");
        let mut put = Cmd::new();
        Items::new(&[b"one", b"two"], String::new, false).append_to(&mut put);
        let batch = arguments(&put).pop().expect("a batch");
        for len in 1..batch.len() {
            assert!(of_batches(&server, batch[..len].to_vec(), |_| Ok(Vec::new())).is_err(), "{len}");
        }
        assert!(of_tasks(&server, vec![Value::BulkString(vec![0, 0, IN_STRING])], |_| Ok(Vec::new())).is_err());
    }
}
