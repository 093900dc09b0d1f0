//! Proxies of lists.

use super::{Bound, Key, Later, Method, Place, Result, Variant, methods, proxy};

proxy! {
    /// A list in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.list()`: negative indices count from the end. Every argument and result is a copy, except
    /// references to objects; to change nested data, see [`at`](Self::at).
    List
}

methods! { [List] {
    /// Appends an item.
    push(item: Variant) -> () = Append;
    /// Returns the item at `index`, or `None` if the index is out of range.
    get(index: i64) -> Option<Variant> = GetItem;
    /// Replaces the item at `index`.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the index is out of range.
    set(index: i64, item: Variant) -> () = SetItem;
    /// Inserts an item before the one at `index`; an index beyond either end means that end.
    insert(index: i64, item: Variant) -> () = Insert;
    /// Removes and returns the last item.
    pop() -> Option<Variant> = Pop;
    /// Removes and returns the item at `index`, or `None` if the index is out of range.
    pop_at(index: i64) -> Option<Variant> = Pop;
    /// Removes the first item equal to `item`. Returns `false` if there is none.
    ///
    /// # Standard
    /// Python's `list.remove`, which takes a value, unlike `Vec::remove`.
    remove_value(item: Variant) -> bool = Remove;
    /// Returns the index of the first item equal to `item`.
    index(item: Variant) -> Option<usize> = Index;
    /// Returns how many items equal `item`.
    count(item: Variant) -> usize = Count;
    /// Returns whether an item equals `item`.
    contains(item: Variant) -> bool = Contains;
    /// Returns the number of items.
    len() -> usize = Len;
    /// Returns a consistent copy of all items, in one round trip: the way to iterate.
    copy() -> Vec<Variant> = Copy;
    /// Returns the items of a slice: Python's `list[begin:end:step]`, each part optional.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the step is 0.
    slice(begin: Bound, end: Bound, step: Bound) -> Vec<Variant> = GetSlice;
    /// Reverses the order of the items.
    reverse() -> () = Reverse;
    /// Sorts the items (a stable sort).
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if two items cannot be compared; the list is
    /// unchanged then.
    sort() -> () = Sort;
    /// Removes all items.
    clear() -> () = Clear;
    /// Atomically adds to the number at `index` and returns the sum.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if there is no such item, it is not a number,
    /// or the sum overflows 64 bits.
    add(index: i64, amount: Variant) -> Variant = Add;
} }

impl List {
    /// As [`push`](Self::push), without waiting for the answer.
    ///
    /// # Errors
    /// [`ManagerError::Gone`](crate::manager::ManagerError::Gone) if it cannot be sent.
    pub fn push_later(&self, item: impl Into<Variant>) -> Result<Later<()>> {
        self.object.later(Method::Append, vec![item.into()])
    }

    /// Atomically appends many items.
    pub fn extend<D: Into<Variant>>(&self, items: impl IntoIterator<Item = D>) -> Result<()> {
        self.object.ask(Method::Extend, vec![items.into_iter().map(Into::into).collect()])
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Replaces the items from `begin` to `end` by any number of others.
    pub fn splice<D: Into<Variant>>(
        &self,
        begin: Option<i64>,
        end: Option<i64>,
        items: impl IntoIterator<Item = D>,
    ) -> Result<()> {
        let items = items.into_iter().map(Into::into).collect();
        self.object.ask(Method::SetSlice, vec![begin.into(), end.into(), Variant::Null, items])
    }

    /// Sorts the items in descending order, keeping the order of equal items.
    pub fn sort_reversed(&self) -> Result<()> {
        self.object.ask(Method::Sort, vec![true.into()])
    }

    /// Returns a place inside, by the indices and keys that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}
