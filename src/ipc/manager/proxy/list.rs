//! Proxies of lists.

use super::{Later, Place, if_there, nothing, proxy};
use crate::ipc::error::Result;
use crate::ipc::manager::data::{Key, Variant};
use crate::ipc::manager::store::Method;

proxy! {
    /// A list in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.list()`: negative indices count from the end. Every argument and answer is a copy, except
    /// references to objects; to change what is inside, see [`at`](Self::at).
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

    /// Appends many items, as one step.
    pub fn extend<D: Into<Variant>>(&self, items: impl IntoIterator<Item = D>) -> Result<()> {
        self.object.tell(Method::Extend, vec![items.into_iter().map(Into::into).collect()])
    }

    /// The item at an index; `None` beyond the ends.
    pub fn get(&self, index: i64) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetItem, vec![index.into()]))
    }

    /// Replaces the item at an index.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the index is beyond the ends.
    pub fn set(&self, index: i64, item: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::SetItem, vec![index.into(), item.into()])
    }

    /// Puts an item before the one at an index; beyond the ends is at the end.
    pub fn insert(&self, index: i64, item: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::Insert, vec![index.into(), item.into()])
    }

    /// Removes the last item.
    pub fn pop(&self) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::Pop, vec![]))
    }

    /// Removes the item at an index; `None` beyond the ends.
    pub fn pop_at(&self, index: i64) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::Pop, vec![index.into()]))
    }

    /// Removes the first item that equals `item`. `false` if there is none.
    ///
    /// # Standard
    /// Python's `list.remove`, which takes a value, unlike `Vec::remove`.
    pub fn remove_value(&self, item: impl Into<Variant>) -> Result<bool> {
        Ok(if_there(self.object.call(Method::Remove, vec![item.into()]))?.is_some())
    }

    /// The index of the first item that equals `item`.
    pub fn index(&self, item: impl Into<Variant>) -> Result<Option<usize>> {
        let index = if_there(self.object.call(Method::Index, vec![item.into()]))?;
        Ok(index.and_then(|index| index.as_int()))
    }

    /// How many items equal `item`.
    pub fn count(&self, item: impl Into<Variant>) -> Result<usize> {
        Ok(self.object.get(Method::Count, vec![item.into()])?.as_int().unwrap_or_default())
    }

    /// Whether an item equals `item`.
    pub fn contains(&self, item: impl Into<Variant>) -> Result<bool> {
        self.object.get_bool(Method::Contains, vec![item.into()])
    }

    /// How many items there are.
    pub fn len(&self) -> Result<usize> {
        self.object.get_number(Method::Len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// A copy of everything at one moment, in one round trip: the way to iterate.
    pub fn copy(&self) -> Result<Vec<Variant>> {
        self.object.get_list(Method::Copy, vec![])
    }

    /// The items of a slice: Python's `list[begin:end:step]`, each part optional.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the step is 0.
    pub fn slice(&self, begin: Option<i64>, end: Option<i64>, step: Option<i64>) -> Result<Vec<Variant>> {
        self.object.get_list(Method::GetSlice, slice([begin, end, step]))
    }

    /// Replaces the items from `begin` to `end` by others, however many.
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

    /// Turns the order around.
    pub fn reverse(&self) -> Result<()> {
        self.object.tell(Method::Reverse, vec![])
    }

    /// Sorts, keeping the order of equal items.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if two items have no order, and everything stays as it was.
    pub fn sort(&self) -> Result<()> {
        self.object.tell(Method::Sort, vec![])
    }

    /// Sorts the greatest first, keeping the order of equal items.
    pub fn sort_reversed(&self) -> Result<()> {
        self.object.tell(Method::Sort, vec![true.into()])
    }

    /// Removes everything.
    pub fn clear(&self) -> Result<()> {
        self.object.tell(Method::Clear, vec![])
    }

    /// Adds to the number at an index, as one step, and returns the sum.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no number, or the sum is beyond 64 bits.
    pub fn add(&self, index: i64, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![index.into(), amount.into()])
    }

    /// A place inside, by the indices and keys that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}

pub(super) fn slice(parts: [Option<i64>; 3]) -> Vec<Variant> {
    parts.into_iter().map(|part| part.map_or(Variant::Null, Variant::from)).collect()
}
