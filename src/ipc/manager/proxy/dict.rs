//! Proxies of dicts and namespaces.

use super::{Later, Place, Swap, if_there, nothing, proxy};
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::data::{Key, Map, Variant};
use crate::ipc::manager::store::Method;

proxy! {
    /// A dict in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.dict()`. Every argument and result is a copy, except references to objects; to change
    /// nested data, see [`at`](Self::at).
    Dict
}

impl Dict {
    /// Sets the value of `key`.
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

    /// Returns the value of `key`.
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

    /// Returns whether there is an entry for `key`.
    pub fn contains(&self, key: impl Into<Key>) -> Result<bool> {
        self.object.get_bool(Method::Contains, vec![key.into().into()])
    }

    /// Removes the entry for `key` and returns its value.
    pub fn remove(&self, key: impl Into<Key>) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::Pop, vec![key.into().into()]))
    }

    /// Removes and returns the entry inserted last.
    ///
    /// # Standard
    /// Python's `dict.popitem`.
    pub fn popitem(&self) -> Result<Option<(Key, Variant)>> {
        if_there(self.object.call(Method::PopItem, vec![]))?.map(entry).transpose()
    }

    /// Returns the value of `key`, which is set to `default` first if there is none.
    ///
    /// # Standard
    /// Python's `dict.setdefault`.
    pub fn setdefault(&self, key: impl Into<Key>, default: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::SetDefault, vec![key.into().into(), default.into()])
    }

    /// Atomically sets many entries.
    pub fn update<K: Into<Key>, D: Into<Variant>>(&self, entries: impl IntoIterator<Item = (K, D)>) -> Result<()> {
        self.object.tell(Method::Update, vec![map(entries)])
    }

    /// Returns the number of entries.
    pub fn len(&self) -> Result<usize> {
        self.object.get_number(Method::Len)
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Removes all entries.
    pub fn clear(&self) -> Result<()> {
        self.object.tell(Method::Clear, vec![])
    }

    /// Returns a consistent copy of all entries, in one round trip.
    pub fn copy(&self) -> Result<Map> {
        self.object.get(Method::Copy, vec![]).and_then(into_map)
    }

    /// Returns a consistent copy of the keys in order of insertion, in one round trip.
    pub fn keys(&self) -> Result<Vec<Key>> {
        let keys = self.object.get_list(Method::Keys, vec![])?;
        keys.into_iter().map(|key| Key::try_from(key).map_err(|_| Error::manager_gone())).collect()
    }

    /// Returns a consistent copy of the values, in one round trip.
    pub fn values(&self) -> Result<Vec<Variant>> {
        self.object.get_list(Method::Values, vec![])
    }

    /// Returns a consistent copy of the entries, in one round trip.
    pub fn items(&self) -> Result<Vec<(Key, Variant)>> {
        self.object.get_list(Method::Items, vec![])?.into_iter().map(entry).collect()
    }

    /// Atomically adds to the number at `key` and returns the sum.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no such key, its value is not a number, or the sum is
    /// beyond 64 bits.
    pub fn add(&self, key: impl Into<Key>, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![key.into().into(), amount.into()])
    }

    /// Atomically sets the value of `key` to `new` if it equals `expected`; `None` means no entry.
    pub fn compare_and_swap(
        &self,
        key: impl Into<Key>,
        expected: Option<Variant>,
        new: Option<Variant>,
    ) -> Result<Swap> {
        self.at([key.into()]).compare_and_swap(expected, new)
    }

    /// Returns a place inside, by the keys and indices that lead to it.
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

    /// Returns an attribute, or `None` if there is none of that name.
    pub fn get(&self, name: &str) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetItem, vec![name.into()]))
    }

    /// Removes an attribute. Returns `false` if there was none of that name.
    pub fn delete(&self, name: &str) -> Result<bool> {
        Ok(if_there(self.object.call(Method::DelItem, vec![name.into()]))?.is_some())
    }

    /// Atomically sets many attributes.
    pub fn update<'a, D: Into<Variant>>(&self, attributes: impl IntoIterator<Item = (&'a str, D)>) -> Result<()> {
        self.object.tell(Method::Update, vec![map(attributes)])
    }

    /// Returns a consistent copy of all attributes, in one round trip.
    pub fn copy(&self) -> Result<Map> {
        self.object.get(Method::Copy, vec![]).and_then(into_map)
    }

    /// Atomically adds to the number in an attribute and returns the sum.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no such attribute, its value is not a number, or the sum
    /// is beyond 64 bits.
    pub fn add(&self, name: &str, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![name.into(), amount.into()])
    }

    /// Returns a place inside, by the name and the keys and indices that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}
