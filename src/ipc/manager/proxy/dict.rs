//! Proxies of dicts and namespaces.

use super::{Later, Place, Swap, if_there, nothing, proxy};
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::data::{Key, Map, Variant};
use crate::ipc::manager::store::Method;

proxy! {
    /// A dict in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.dict()`. Every argument and answer is a copy, except references to objects; to change what is
    /// inside, see [`at`](Self::at).
    Dict
}

impl Dict {
    /// Sets the data of `key`.
    pub fn insert(&self, key: impl Into<Key>, variant: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::SetItem, vec![key.into().into(), variant.into()])
    }

    /// As [`insert`](Self::insert), without waiting for the answer.
    ///
    /// # Errors
    /// [`Error::ManagerGone`] if it cannot be sent.
    pub fn insert_later(&self, key: impl Into<Key>, variant: impl Into<Variant>) -> Result<Later<()>> {
        self.object.later(Method::SetItem, vec![key.into().into(), variant.into()], nothing)
    }

    /// The data of `key`.
    pub fn get(&self, key: impl Into<Key>) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetItem, vec![key.into().into()]))
    }

    /// As [`get`](Self::get), without waiting for the answer.
    ///
    /// # Errors
    /// [`Error::ManagerGone`] if it cannot be sent.
    pub fn get_later(&self, key: impl Into<Key>) -> Result<Later<Option<Variant>>> {
        self.object.later(Method::GetItem, vec![key.into().into()], if_there)
    }

    /// Whether there is an entry of `key`.
    pub fn contains(&self, key: impl Into<Key>) -> Result<bool> {
        self.object.get_bool(Method::Contains, vec![key.into().into()])
    }

    /// Removes the entry of `key` and returns its data.
    pub fn remove(&self, key: impl Into<Key>) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::Pop, vec![key.into().into()]))
    }

    /// Removes the entry that was inserted last.
    ///
    /// # Standard
    /// Python's `dict.popitem`.
    pub fn popitem(&self) -> Result<Option<(Key, Variant)>> {
        if_there(self.object.call(Method::PopItem, vec![]))?.map(entry).transpose()
    }

    /// The data of `key`, which is set to `default` first if there is none.
    ///
    /// # Standard
    /// Python's `dict.setdefault`.
    pub fn setdefault(&self, key: impl Into<Key>, default: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::SetDefault, vec![key.into().into(), default.into()])
    }

    /// Sets many entries, as one step.
    pub fn update<K: Into<Key>, D: Into<Variant>>(&self, entries: impl IntoIterator<Item = (K, D)>) -> Result<()> {
        self.object.tell(Method::Update, vec![map(entries)])
    }

    /// How many entries there are.
    pub fn len(&self) -> Result<usize> {
        self.object.get_number(Method::Len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Removes everything.
    pub fn clear(&self) -> Result<()> {
        self.object.tell(Method::Clear, vec![])
    }

    /// A copy of everything at one moment, in one round trip.
    pub fn copy(&self) -> Result<Map> {
        self.object.get(Method::Copy, vec![]).and_then(into_map)
    }

    /// The keys at one moment, in the order of insertion, in one round trip.
    pub fn keys(&self) -> Result<Vec<Key>> {
        let keys = self.object.get_list(Method::Keys, vec![])?;
        keys.into_iter().map(|key| Key::try_from(key).map_err(|_| Error::manager_gone())).collect()
    }

    /// The data of all keys at one moment, in one round trip.
    pub fn values(&self) -> Result<Vec<Variant>> {
        self.object.get_list(Method::Values, vec![])
    }

    /// The entries at one moment, in one round trip.
    pub fn items(&self) -> Result<Vec<(Key, Variant)>> {
        self.object.get_list(Method::Items, vec![])?.into_iter().map(entry).collect()
    }

    /// Adds to the number of `key`, as one step, and returns the sum.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no such key or no number, or the sum is beyond 64 bits.
    pub fn add(&self, key: impl Into<Key>, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![key.into().into(), amount.into()])
    }

    /// Sets the data of `key` to `new` if it is `expected`, as one step; `None` is no entry.
    pub fn compare_and_swap(
        &self,
        key: impl Into<Key>,
        expected: Option<Variant>,
        new: Option<Variant>,
    ) -> Result<Swap> {
        self.at([key.into()]).compare_and_swap(expected, new)
    }

    /// A place inside, by the keys and indices that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}

fn map<K: Into<Key>, D: Into<Variant>>(entries: impl IntoIterator<Item = (K, D)>) -> Variant {
    entries.into_iter().map(|(key, variant)| (key.into(), variant.into())).collect::<Map>().into()
}

fn into_map(variant: Variant) -> Result<Map> {
    match variant {
        Variant::Dict(map) => Ok(*map),
        _ => Err(Error::manager_gone()),
    }
}

fn entry(pair: Variant) -> Result<(Key, Variant)> {
    let Variant::List(pair) = pair else { return Err(Error::manager_gone()) };
    let [key, variant] = <[Variant; 2]>::try_from(pair).map_err(|_| Error::manager_gone())?;
    Ok((Key::try_from(key).map_err(|_| Error::manager_gone())?, variant))
}

proxy! {
    /// A namespace in a manager: attributes by name.
    ///
    /// # Standard
    /// Python's `SyncManager.Namespace()`. Differs: attributes are methods' arguments, and may begin with `_`.
    Namespace
}

impl Namespace {
    /// Sets an attribute.
    pub fn set(&self, name: &str, variant: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::SetItem, vec![name.into(), variant.into()])
    }

    /// An attribute; `None` if there is none of that name.
    pub fn get(&self, name: &str) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetItem, vec![name.into()]))
    }

    /// Removes an attribute. `false` if there was none of that name.
    pub fn delete(&self, name: &str) -> Result<bool> {
        Ok(if_there(self.object.call(Method::DelItem, vec![name.into()]))?.is_some())
    }

    /// Sets many attributes, as one step.
    pub fn update<'a, D: Into<Variant>>(&self, attributes: impl IntoIterator<Item = (&'a str, D)>) -> Result<()> {
        self.object.tell(Method::Update, vec![map(attributes)])
    }

    /// All attributes at one moment, in one round trip.
    pub fn copy(&self) -> Result<Map> {
        self.object.get(Method::Copy, vec![]).and_then(into_map)
    }

    /// Adds to the number of an attribute, as one step, and returns the sum.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no such attribute or no number, or the sum is beyond 64
    /// bits.
    pub fn add(&self, name: &str, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![name.into(), amount.into()])
    }

    /// A place inside, by the name and the keys and indices that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}
