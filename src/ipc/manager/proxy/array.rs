//! Proxies of values and arrays.

use super::list::slice;
use super::{Place, Swap, if_there, proxy};
use crate::ipc::error::Result;
use crate::ipc::manager::data::{Key, Variant};
use crate::ipc::manager::store::Method;

proxy! {
    /// A value in a manager: one piece of data.
    ///
    /// # Standard
    /// Python's `SyncManager.Value(typecode, value)`, which is not checked against its typecode.
    Value
}

impl Value {
    /// Returns the value.
    pub fn get(&self) -> Result<Variant> {
        self.object.get(Method::Get, vec![])
    }

    /// Replaces the value.
    pub fn set(&self, variant: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::Set, vec![variant.into()])
    }

    /// Atomically adds to the value and returns the sum. Python's `value.value += n` loses concurrent additions.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the value is not a number, or the sum is beyond 64 bits.
    pub fn add(&self, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![amount.into()])
    }

    /// Atomically replaces the value by `new` if it equals `expected`.
    pub fn compare_and_swap(&self, expected: impl Into<Variant>, new: impl Into<Variant>) -> Result<Swap> {
        self.at(std::iter::empty::<Key>()).compare_and_swap(Some(expected.into()), Some(new.into()))
    }

    /// Returns the note of its type.
    pub fn typecode(&self) -> Result<String> {
        Ok(self.object.get(Method::Typecode, vec![])?.as_str().unwrap_or_default().to_owned())
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

impl Array {
    /// Returns the element at `index`, or `None` if the index is out of range.
    pub fn get(&self, index: i64) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetItem, vec![index.into()]))
    }

    /// Replaces the element at `index`.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the index is out of range, or the data does not fit the type.
    pub fn set(&self, index: i64, variant: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::SetItem, vec![index.into(), variant.into()])
    }

    /// Returns the number of elements.
    pub fn len(&self) -> Result<usize> {
        self.object.get_number(Method::Len)
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Returns a consistent copy of all elements, in one round trip.
    pub fn copy(&self) -> Result<Vec<Variant>> {
        self.object.get_list(Method::Copy, vec![])
    }

    /// Returns the elements of a slice: Python's `array[begin:end:step]`, each part optional.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the step is 0.
    pub fn slice(&self, begin: Option<i64>, end: Option<i64>, step: Option<i64>) -> Result<Vec<Variant>> {
        self.object.get_list(Method::GetSlice, slice([begin, end, step]))
    }

    /// Atomically replaces the elements of a slice by the same number of others.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the numbers differ.
    pub fn set_slice<D: Into<Variant>>(
        &self,
        [begin, end, step]: [Option<i64>; 3],
        data: impl IntoIterator<Item = D>,
    ) -> Result<()> {
        let mut args = slice([begin, end, step]);
        args.push(data.into_iter().map(Into::into).collect());
        self.object.tell(Method::SetSlice, args)
    }

    /// Atomically adds to the element at `index` and returns the sum.
    pub fn add(&self, index: i64, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![index.into(), amount.into()])
    }

    /// Atomically replaces the element at `index` by `new` if it equals `expected`.
    pub fn compare_and_swap(&self, index: i64, expected: impl Into<Variant>, new: impl Into<Variant>) -> Result<Swap> {
        Place::new(&self.object, [index]).compare_and_swap(Some(expected.into()), Some(new.into()))
    }

    /// Returns the type of its elements, as Python's letter.
    pub fn typecode(&self) -> Result<String> {
        Ok(self.object.get(Method::Typecode, vec![])?.as_str().unwrap_or_default().to_owned())
    }
}
