//! Proxies of values and arrays.

use super::{Bound, Key, Method, Place, Result, Swap, Variant, methods, proxy};

proxy! {
    /// A value in a manager: one piece of data.
    ///
    /// # Standard
    /// Python's `SyncManager.Value(typecode, value)`, which is not checked against its typecode.
    Value
}

methods! { [Value] {
    /// Returns the value.
    get() -> Variant = Get;
    /// Replaces the value.
    set(variant: Variant) -> () = Set;
    /// Atomically adds to the value and returns the sum. Python's `value.value += n` loses concurrent additions.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the value is not a number, or the sum
    /// overflows 64 bits.
    add(amount: Variant) -> Variant = Add;
    /// Returns the note of its type.
    typecode() -> String = Typecode;
} }

impl Value {
    /// Atomically replaces the value by `new` if it equals `expected`.
    pub fn compare_and_swap(&self, expected: impl Into<Variant>, new: impl Into<Variant>) -> Result<Swap> {
        self.at(std::iter::empty::<Key>()).compare_and_swap(Some(expected.into()), Some(new.into()))
    }

    /// Returns a place inside, by the keys and indices that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}

proxy! {
    /// An array in a manager: fixed length, all elements of one type.
    ///
    /// # Standard
    /// Python's `SyncManager.Array(typecode, sequence)`: type and range are checked. Differs: its length never changes.
    Array
}

methods! { [Array] {
    /// Returns the element at `index`, or `None` if the index is out of range.
    get(index: i64) -> Option<Variant> = GetItem;
    /// Replaces the element at `index`.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the index is out of range, or the data does not fit the type.
    set(index: i64, variant: Variant) -> () = SetItem;
    /// Returns the number of elements.
    len() -> usize = Len;
    /// Returns a consistent copy of all elements, in one round trip.
    copy() -> Vec<Variant> = Copy;
    /// Returns the elements of a slice: Python's `array[begin:end:step]`, each part optional.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the step is 0.
    slice(begin: Bound, end: Bound, step: Bound) -> Vec<Variant> = GetSlice;
    /// Atomically adds to the element at `index` and returns the sum.
    add(index: i64, amount: Variant) -> Variant = Add;
    /// Returns the type of its elements, as Python's letter.
    typecode() -> String = Typecode;
} }

impl Array {
    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Atomically replaces the elements of a slice by the same number of others.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the lengths differ.
    pub fn set_slice<D: Into<Variant>>(
        &self,
        [begin, end, step]: [Option<i64>; 3],
        data: impl IntoIterator<Item = D>,
    ) -> Result<()> {
        let data = data.into_iter().map(Into::into).collect();
        self.object.ask(Method::SetSlice, vec![begin.into(), end.into(), step.into(), data])
    }

    /// Atomically replaces the element at `index` by `new` if it equals `expected`.
    pub fn compare_and_swap(&self, index: i64, expected: impl Into<Variant>, new: impl Into<Variant>) -> Result<Swap> {
        Place::new(&self.object, [index]).compare_and_swap(Some(expected.into()), Some(new.into()))
    }
}
