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
    /// What it is.
    pub fn get(&self) -> Result<Variant> {
        self.object.get(Method::Get, vec![])
    }

    /// Replaces it.
    pub fn set(&self, variant: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::Set, vec![variant.into()])
    }

    /// Adds to it, as one step, and returns the sum. Python's `value.value += n` loses what others add meanwhile.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if it is no number, or the sum is beyond 64 bits.
    pub fn add(&self, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![amount.into()])
    }

    /// Replaces it by `new` if it is `expected`, as one step.
    pub fn compare_and_swap(&self, expected: impl Into<Variant>, new: impl Into<Variant>) -> Result<Swap> {
        self.at(std::iter::empty::<Key>()).compare_and_swap(Some(expected.into()), Some(new.into()))
    }

    /// The note of its type.
    pub fn typecode(&self) -> Result<String> {
        Ok(self.object.get(Method::Typecode, vec![])?.as_str().unwrap_or_default().to_owned())
    }

    /// A place inside, by the keys and indices that lead to it.
    pub fn at(&self, path: impl IntoIterator<Item = impl Into<Key>>) -> Place<'_> {
        Place::new(&self.object, path)
    }
}

proxy! {
    /// An array in a manager: as many elements as at the start, all of one type.
    ///
    /// # Standard
    /// Python's `SyncManager.Array(typecode, sequence)`: type and range are checked. Differs: its length never changes.
    Array
}

impl Array {
    /// The element at an index; `None` beyond the ends.
    pub fn get(&self, index: i64) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetItem, vec![index.into()]))
    }

    /// Replaces the element at an index.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the index is beyond the ends, or the datum does not fit the type.
    pub fn set(&self, index: i64, variant: impl Into<Variant>) -> Result<()> {
        self.object.tell(Method::SetItem, vec![index.into(), variant.into()])
    }

    /// How many elements there are.
    pub fn len(&self) -> Result<usize> {
        self.object.get_number(Method::Len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// All elements at one moment, in one round trip.
    pub fn copy(&self) -> Result<Vec<Variant>> {
        self.object.get_list(Method::Copy, vec![])
    }

    /// The elements of a slice: Python's `array[begin:end:step]`, each part optional.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the step is 0.
    pub fn slice(&self, begin: Option<i64>, end: Option<i64>, step: Option<i64>) -> Result<Vec<Variant>> {
        self.object.get_list(Method::GetSlice, slice([begin, end, step]))
    }

    /// Replaces the elements of a slice by as many others, as one step.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there are not as many.
    pub fn set_slice<D: Into<Variant>>(
        &self,
        [begin, end, step]: [Option<i64>; 3],
        data: impl IntoIterator<Item = D>,
    ) -> Result<()> {
        let mut args = slice([begin, end, step]);
        args.push(data.into_iter().map(Into::into).collect());
        self.object.tell(Method::SetSlice, args)
    }

    /// Adds to the element at an index, as one step, and returns the sum.
    pub fn add(&self, index: i64, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.get(Method::Add, vec![index.into(), amount.into()])
    }

    /// Replaces the element at an index by `new` if it is `expected`, as one step.
    pub fn compare_and_swap(&self, index: i64, expected: impl Into<Variant>, new: impl Into<Variant>) -> Result<Swap> {
        Place::new(&self.object, [index]).compare_and_swap(Some(expected.into()), Some(new.into()))
    }

    /// The type of its elements, by Python's letters.
    pub fn typecode(&self) -> Result<String> {
        Ok(self.object.get(Method::Typecode, vec![])?.as_str().unwrap_or_default().to_owned())
    }
}
