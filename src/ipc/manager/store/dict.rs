//! Dicts and namespaces.
//!
//! # Standard
//! Python `dict` with the methods of `DictProxy` (3.14), and `Namespace`, whose names are strings. Differs: a copy of
//! the keys or entries is one answer; a name may begin with `_`.

use super::args::Args;
use super::call::Reply;
use super::failure::Failure;
use super::method::Method;
use crate::ipc::manager::data::{Key, Kind, Map, Variant};

/// A dict object.
#[derive(Debug, Default)]
pub(crate) struct Dict {
    pub(crate) entries: Map,
}

impl Dict {
    pub(crate) fn create(mut args: Args) -> Result<Self, Failure> {
        Ok(Dict { entries: args.entries_or_empty()? })
    }

    pub(crate) fn call(&mut self, method: Method, mut args: Args) -> Result<Reply, Failure> {
        let entries = &mut self.entries;
        let reply = match method {
            Method::Len => Reply::from(entries.len()),
            Method::Contains => entries.contains(&args.key()?).into(),
            Method::GetItem => {
                let key = args.key()?;
                entries.get(&key).cloned().ok_or_else(|| Failure::no_such_key(&key))?.into()
            }
            Method::Get => {
                let (key, default) = (args.key()?, args.optional());
                entries.get(&key).cloned().or(default).unwrap_or(Variant::Null).into()
            }
            Method::SetItem => {
                let key = args.key()?;
                entries.insert(key, args.variant()?);
                Reply::DONE
            }
            Method::DelItem => {
                let key = args.key()?;
                entries.remove(&key).ok_or_else(|| Failure::no_such_key(&key))?;
                Reply::DONE
            }
            Method::Pop => {
                let (key, default) = (args.key()?, args.optional());
                entries.remove(&key).or(default).ok_or_else(|| Failure::no_such_key(&key))?.into()
            }
            Method::PopItem => {
                let (key, variant) = entries.pop_last().ok_or(Failure::Empty(Kind::Dict))?;
                pair(&key, variant).into()
            }
            Method::SetDefault => {
                let (key, default) = (args.key()?, args.optional().unwrap_or(Variant::Null));
                match entries.get(&key) {
                    Some(known) => known.clone().into(),
                    None => {
                        entries.insert(key, default.clone());
                        default.into()
                    }
                }
            }
            Method::Update => {
                entries.extend(args.entries()?);
                Reply::DONE
            }
            Method::Or => {
                let mut both = entries.clone();
                both.extend(args.entries()?);
                both.into()
            }
            Method::FromKeys => {
                let (keys, variant) = (args.keys()?, args.optional().unwrap_or(Variant::Null));
                keys.into_iter().map(|key| (key, variant.clone())).collect::<Map>().into()
            }
            Method::Keys => keys(entries.iter()).into(),
            Method::Reversed => keys(entries.iter().rev()).into(),
            Method::Values => entries.iter().map(|(_, variant)| variant.clone()).collect::<Variant>().into(),
            Method::Items => {
                entries.iter().map(|(key, variant)| pair(key, variant.clone())).collect::<Variant>().into()
            }
            Method::Copy | Method::Snapshot => entries.clone().into(),
            Method::Clear => {
                entries.clear();
                Reply::DONE
            }
            _ => return Err(Failure::NoSuchMethod { kind: Kind::Dict, method }),
        };
        Ok(reply)
    }
}

fn pair(key: &Key, variant: Variant) -> Variant {
    Variant::from(vec![key.as_datum().clone(), variant])
}

fn keys<'a>(entries: impl Iterator<Item = (&'a Key, &'a Variant)>) -> Variant {
    entries.map(|(key, _)| key.as_datum().clone()).collect()
}

/// A namespace object: attributes by name.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    pub(crate) attributes: Map,
}

impl Namespace {
    pub(crate) fn create(mut args: Args) -> Result<Self, Failure> {
        let attributes = args.entries_or_empty()?;
        attributes.iter().try_for_each(|(key, _)| attribute_name(key).map(|_| ()))?;
        Ok(Namespace { attributes })
    }

    pub(crate) fn call(&mut self, method: Method, mut args: Args) -> Result<Reply, Failure> {
        let attributes = &mut self.attributes;
        let mut name = || args.text();
        let missing = |name: &str| Failure::NoSuchAttribute(name.to_owned());
        let reply = match method {
            Method::GetItem => {
                let name = name()?;
                attributes.get(&Key::from(&name)).cloned().ok_or_else(|| missing(&name))?.into()
            }
            Method::SetItem => {
                let name = name()?;
                attributes.insert(name.into(), args.variant()?);
                Reply::DONE
            }
            Method::DelItem => {
                let name = name()?;
                attributes.remove(&Key::from(&name)).ok_or_else(|| missing(&name))?;
                Reply::DONE
            }
            Method::Contains => attributes.contains(&Key::from(name()?)).into(),
            Method::Update => {
                let new = args.entries()?;
                new.iter().try_for_each(|(key, _)| attribute_name(key).map(|_| ()))?;
                attributes.extend(new);
                Reply::DONE
            }
            Method::Copy | Method::Snapshot => attributes.clone().into(),
            _ => return Err(Failure::NoSuchMethod { kind: Kind::Namespace, method }),
        };
        Ok(reply)
    }
}

/// Returns the name of an attribute, which must be a string.
pub(crate) fn attribute_name(key: &Key) -> Result<&str, Failure> {
    key.as_str().ok_or_else(|| Failure::bad_argument("a name", key.as_datum().shape()))
}
