//! Proxies of dicts and namespaces.

use super::{Key, Later, Map, Method, Place, Result, Swap, Variant, methods, proxy};

proxy! {
    /// A dict in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.dict()`. Every argument and result is a copy, except references to objects; to change
    /// nested data, see [`at`](Self::at).
    Dict
}

methods! { [Dict] {
    /// Sets the value of `key`.
    insert(key: Key, variant: Variant) -> () = SetItem;
    /// Returns the value of `key`.
    get(key: Key) -> Option<Variant> = GetItem;
    /// Returns whether there is an entry for `key`.
    contains(key: Key) -> bool = Contains;
    /// Removes the entry for `key` and returns its value.
    remove(key: Key) -> Option<Variant> = Pop;
    /// Removes and returns the entry inserted last.
    ///
    /// # Standard
    /// Python's `dict.popitem`.
    popitem() -> Option<(Key, Variant)> = PopItem;
    /// Returns the value of `key`, which is set to `default` first if there is none.
    ///
    /// # Standard
    /// Python's `dict.setdefault`.
    setdefault(key: Key, default: Variant) -> Variant = SetDefault;
    /// Returns the number of entries.
    len() -> usize = Len;
    /// Removes all entries.
    clear() -> () = Clear;
    /// Returns a consistent copy of all entries, in one round trip.
    copy() -> Map = Copy;
    /// Returns a consistent copy of the keys in order of insertion, in one round trip.
    keys() -> Vec<Key> = Keys;
    /// Returns a consistent copy of the values, in one round trip.
    values() -> Vec<Variant> = Values;
    /// Returns a consistent copy of the entries, in one round trip.
    items() -> Vec<(Key, Variant)> = Items;
    /// Atomically adds to the number at `key` and returns the sum.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if there is no such key, its value is not a
    /// number, or the sum overflows 64 bits.
    add(key: Key, amount: Variant) -> Variant = Add;
} }

impl Dict {
    /// As [`insert`](Self::insert), without waiting for the answer.
    ///
    /// # Errors
    /// [`ManagerError::Gone`](crate::manager::ManagerError::Gone) if it cannot be sent.
    pub fn insert_later(&self, key: impl Into<Key>, variant: impl Into<Variant>) -> Result<Later<()>> {
        self.object.later(Method::SetItem, vec![key.into().into(), variant.into()])
    }

    /// As [`get`](Self::get), without waiting for the answer.
    ///
    /// # Errors
    /// [`ManagerError::Gone`](crate::manager::ManagerError::Gone) if it cannot be sent.
    pub fn get_later(&self, key: impl Into<Key>) -> Result<Later<Option<Variant>>> {
        self.object.later(Method::GetItem, vec![key.into().into()])
    }

    /// Atomically sets many entries.
    pub fn update<K: Into<Key>, D: Into<Variant>>(&self, entries: impl IntoIterator<Item = (K, D)>) -> Result<()> {
        self.object.ask(Method::Update, vec![map(entries)])
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
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

proxy! {
    /// A namespace in a manager: attributes by name.
    ///
    /// # Standard
    /// Python's `SyncManager.Namespace()`. Differs: attributes are methods' arguments, and may begin with `_`.
    Namespace
}

methods! { [Namespace] {
    /// Sets an attribute.
    set(name: str, variant: Variant) -> () = SetItem;
    /// Returns an attribute, or `None` if there is none of that name.
    get(name: str) -> Option<Variant> = GetItem;
    /// Removes an attribute. Returns `false` if there was none of that name.
    delete(name: str) -> bool = DelItem;
    /// Returns a consistent copy of all attributes, in one round trip.
    copy() -> Map = Copy;
    /// Atomically adds to the number in an attribute and returns the sum.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if there is no such attribute, its value is not a number, or the sum
    /// overflows 64 bits.
    add(name: str, amount: Variant) -> Variant = Add;
} }

impl Namespace {
    /// Atomically sets many attributes.
    pub fn update<'a, D: Into<Variant>>(&self, attributes: impl IntoIterator<Item = (&'a str, D)>) -> Result<()> {
        self.object.ask(Method::Update, vec![map(attributes)])
    }

    /// Returns a place inside, by the name and the keys and indices that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}
