//! A place inside an object, changed in place.

use super::{Answer, Key, Method, Object, Reply, Result, Swap, Variant};

/// A place inside an object. Each change to it is atomic.
///
/// Its path leads through plain lists and dicts, and through references to other objects. Python lacks this: there a
/// nested list is fetched, changed and stored again, and concurrent changes are lost.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    object: &'a Object,
    path: Vec<Key>,
}

impl<'a> Place<'a> {
    pub(super) fn new(object: &'a Object, path: impl IntoIterator<Item = impl Into<Key>>) -> Self {
        Place { object, path: path.into_iter().map(Into::into).collect() }
    }

    /// Returns the place one step further inside.
    pub fn at(mut self, step: impl Into<Key>) -> Self {
        self.path.push(step.into());
        self
    }

    fn args(&self, more: impl IntoIterator<Item = Variant>) -> Vec<Variant> {
        let path = self.path.iter().map(|step| step.as_datum().clone()).collect();
        std::iter::once(path).chain(more).collect()
    }

    /// Returns the value, or `None` if there is none.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the path leads through a value that is
    /// neither a list nor a dict.
    pub fn get(&self) -> Result<Option<Variant>> {
        self.object.ask(Method::GetAt, self.args([]))
    }

    /// Sets the value to `variant`.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if a step before the last does not exist.
    pub fn set(&self, variant: impl Into<Variant>) -> Result<()> {
        self.object.ask(Method::SetAt, self.args([variant.into()]))
    }

    /// Removes and returns the value, or `None` if there was none.
    pub fn remove(&self) -> Result<Option<Variant>> {
        self.object.ask(Method::RemoveAt, self.args([]))
    }

    /// Appends to the list at this place and returns its new length.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the place holds no list.
    pub fn push(&self, variant: impl Into<Variant>) -> Result<usize> {
        self.object.ask(Method::PushAt, self.args([variant.into()]))
    }

    /// Adds to the number at this place and returns the sum.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the place holds no number, or the sum
    /// overflows 64 bits.
    pub fn add(&self, amount: impl Into<Variant>) -> Result<Variant> {
        self.object.ask(Method::AddAt, self.args([amount.into()]))
    }

    /// Adds to the number at this place, or to `default` if there is none, and returns the sum.
    pub fn add_or(&self, amount: impl Into<Variant>, default: impl Into<Variant>) -> Result<Variant> {
        self.object.ask(Method::AddAt, self.args([amount.into(), default.into()]))
    }

    /// Sets the value to `new` if it equals `expected`; `None` means no value.
    pub fn compare_and_swap(&self, expected: Option<Variant>, new: Option<Variant>) -> Result<Swap> {
        let args = self.args([expected.into_iter().collect(), new.into_iter().collect()]);
        self.object.ask(Method::CompareAndSwapAt, args)
    }

    /// Replaces the value by what `change` makes of it, retrying until no concurrent change intervenes. Returns the new
    /// value.
    pub fn alter(&self, mut change: impl FnMut(Option<Variant>) -> Option<Variant>) -> Result<Option<Variant>> {
        let mut found = self.get()?;
        loop {
            let new = change(found.clone());
            let swap = self.compare_and_swap(found, new.clone())?;
            if swap.swapped {
                return Ok(new);
            }
            found = swap.found;
        }
    }
}

impl Answer<'_> for Swap {
    fn from_reply(_: &Object, reply: Reply) -> Option<Self> {
        if let Reply::Swapped(swap) = reply { Some(swap) } else { None }
    }
}
