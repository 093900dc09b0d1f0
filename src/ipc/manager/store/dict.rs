//! Dicts and namespaces.
//!
//! # Standard
//! Python `dict` with the methods of `DictProxy` (3.14), and `Namespace`, whose names are strings. Differs: a copy of
//! the keys or entries is one answer; a name may begin with `_`.

use super::{Args, Failure, Key, Kind, Map, Method, Outcome, Reply, Variant};

/// Calls a method of a dict or namespace object.
pub(super) fn call(map: &mut Map, kind: Kind, method: Method, mut args: Args) -> Outcome {
    Ok(match method {
        Method::Len => map.len().into(),
        Method::Contains => map.contains(&args.step()?).into(),
        Method::PopItem => {
            let (key, variant) = map.pop_last().ok_or(Failure::Empty(Kind::Dict))?;
            pair(&key, variant).into()
        }
        Method::SetDefault => {
            let (key, default) = (args.key()?, args.optional().unwrap_or_default());
            if !map.contains(&key) {
                map.insert(key.clone(), default);
            }
            map.get(&key).cloned().unwrap_or_default().into()
        }
        Method::Or => {
            let mut both = map.clone();
            both.extend(args.entries()?);
            both.into()
        }
        Method::FromKeys => {
            let (keys, variant) = (args.keys()?, args.optional().unwrap_or_default());
            keys.into_iter().map(|key| (key, variant.clone())).collect::<Map>().into()
        }
        Method::Keys => keys(map.iter()).into(),
        Method::Reversed => keys(map.iter().rev()).into(),
        Method::Values => map.iter().map(|(_, variant)| variant.clone()).collect::<Variant>().into(),
        Method::Items => map.iter().map(|(key, variant)| pair(key, variant.clone())).collect::<Variant>().into(),
        Method::Update => {
            map.extend(entries(kind, &mut args)?);
            Reply::DONE
        }
        Method::Clear => {
            map.clear();
            Reply::DONE
        }
        _ => return Err(args.no_such_method()),
    })
}

fn pair(key: &Key, variant: Variant) -> Variant {
    vec![key.as_datum().clone(), variant].into()
}

fn keys<'a>(entries: impl Iterator<Item = (&'a Key, &'a Variant)>) -> Variant {
    entries.map(|(key, _)| key.as_datum().clone()).collect()
}

/// Reads entries, whose keys are names in a namespace.
pub(super) fn entries(kind: Kind, args: &mut Args) -> Result<Map, Failure> {
    let entries = args.entries()?;
    entries.iter().try_for_each(|(key, _)| check_key(kind, key))?;
    Ok(entries)
}

/// Checks that a key is a name, if it is for a namespace.
pub(super) fn check_key(kind: Kind, key: &Key) -> Result<(), Failure> {
    match key.as_str() {
        None if kind == Kind::Namespace => Err(Failure::bad_argument("a name", key.as_datum().shape())),
        _ => Ok(()),
    }
}

/// Returns the error that a dict or namespace has no such key or attribute.
pub(super) fn missing(kind: Kind, key: &Key) -> Failure {
    match key.as_str() {
        Some(name) if kind == Kind::Namespace => Failure::NoSuchAttribute(name.to_owned()),
        _ => Failure::no_such_key(key),
    }
}
