//! Proxies of lists.

use super::{Later, Place, if_there, nothing, proxy};
use crate::ipc::error::Result;
use crate::ipc::manager::data::{Key, Variant};
use crate::ipc::manager::store::Method;

proxy! {
    /// A list in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.list()`: negative indices count from the end. Every argument and result is a copy, except
    /// references to objects; to change nested data, see [`at`](Self::at).
    List
}

impl List {
    /// Appends an item.
    pub fn push(&self, item: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::Append, vec![item.into()])
    }

    /// As [`push`](Self::push), without waiting for the answer.
    ///
    /// # Errors
    /// [`Error::ManagerGone`](crate::Error::ManagerGone) if it cannot be sent.
    pub fn push_later(&self, item: impl Into<Variant>) -> Result<Later<()>> {
        self.object.later(Method::Append, vec![item.into()], nothing)
    }

    /// Atomically appends many items.
    pub fn extend<D: Into<Variant>>(&self, items: impl IntoIterator<Item = D>) -> Result<()> {
        self.object.tell(Method::Extend, vec![items.into_iter().map(Into::into).collect()])
    }

    /// Returns the item at `index`, or `None` if the index is out of range.
    pub fn get(&self, index: i64) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetItem, vec![index.into()]))
    }

    /// Replaces the item at `index`.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the index is out of range.
    pub fn set(&self, index: i64, item: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::SetItem, vec![index.into(), item.into()])
    }

    /// Inserts an item before the one at `index`; an index beyond either end means that end.
    pub fn insert(&self, index: i64, item: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::Insert, vec![index.into(), item.into()])
    }

    /// Removes and returns the last item.
    pub fn pop(&self) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::Pop, vec![]))
    }

    /// Removes and returns the item at `index`, or `None` if the index is out of range.
    pub fn pop_at(&self, index: i64) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::Pop, vec![index.into()]))
    }

    /// Removes the first item equal to `item`. Returns `false` if there is none.
    ///
    /// # Standard
    /// Python's `list.remove`, which takes a value, unlike `Vec::remove`.
    pub fn remove_value(&self, item: impl Into<Variant>) -> Result<bool> {
        Ok(if_there(self.object.call(Method::Remove, vec![item.into()]))?.is_some())
    }

    /// Returns the index of the first item equal to `item`.
    pub fn index(&self, item: impl Into<Variant>) -> Result<Option<usize>> {
        let index = if_there(self.object.call(Method::Index, vec![item.into()]))?;
        Ok(index.and_then(|index| index.as_int()))
    }

    /// Returns how many items equal `item`.
    pub fn count(&self, item: impl Into<Variant>) -> Result<usize> {
        Ok(self.object.get(Method::Count, vec![item.into()])?.as_int().unwrap_or_default())
    }

    /// Returns whether an item equals `item`.
    pub fn contains(&self, item: impl Into<Variant>) -> Result<bool> {
        self.object.get_bool(Method::Contains, vec![item.into()])
    }

    /// Returns the number of items.
    pub fn len(&self) -> Result<usize> {
        self.object.get_number(Method::Len)
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Returns a consistent copy of all items, in one round trip: the way to iterate.
    pub fn copy(&self) -> Result<Vec<Variant>> {
        self.object.get_list(Method::Copy, vec![])
    }

    /// Returns the items of a slice: Python's `list[begin:end:step]`, each part optional.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the step is 0.
    pub fn slice(&self, begin: Option<i64>, end: Option<i64>, step: Option<i64>) -> Result<Vec<Variant>> {
        self.object.get_list(Method::GetSlice, slice([begin, end, step]))
    }

    /// Replaces the items from `begin` to `end` by any number of others.
    pub fn splice<D: Into<Variant>>(
        &self,
        begin: Option<i64>,
        end: Option<i64>,
        items: impl IntoIterator<Item = D>,
    ) -> Result<()> {
        let mut args = slice([begin, end, None]);
        args.push(items.into_iter().map(Into::into).collect());
        self.object.tell(Method::SetSlice, args)
    }

    /// Reverses the order of the items.
    pub fn reverse(&self) -> Result<()> {
        self.object.tell(Method::Reverse, vec![])
    }

    /// Sorts the items (a stable sort).
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if two items cannot be ordered; the list is then unchanged.
    pub fn sort(&self) -> Result<()> {
        self.object.tell(Method::Sort, vec![])
    }

    /// Sorts the items in descending order, keeping the order of equal items.
    pub fn sort_reversed(&self) -> Result<()> {
        self.object.tell(Method::Sort, vec![true.into()])
    }

    /// Removes all items.
    pub fn clear(&self) -> Result<()> {
        self.object.tell(Method::Clear, vec![])
    }

    /// Atomically adds to the number at `index` and returns the sum.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no number, or the sum is beyond 64 bits.
    pub fn add(&self, index: i64, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![index.into(), amount.into()])
    }

    /// Returns a place inside, by the indices and keys that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}

pub(super) fn slice(parts: [Option<i64>; 3]) -> Vec<Variant> {
    parts.into_iter().map(|part| part.map_or(Variant::Null, Variant::from)).collect()
}
