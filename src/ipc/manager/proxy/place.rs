//! One place inside an object, changed where it is.

use super::{if_there, into_datum};
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::client::Object;
use crate::ipc::manager::data::{Key, Variant};
use crate::ipc::manager::store::{Method, Reply};

/// One place inside an object: each change to it is one step, whatever others do meanwhile.
///
/// The way to it leads through plain lists and dicts, and through references to other objects. What Python lacks: there a
/// nested list is fetched, changed and put back, and what others did in between is lost.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    object: &'a Object,
    path: Vec<Key>,
}

/// What a compare-and-swap came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Swap {
    /// Whether what was there was what was expected, and is now the new.
    pub swapped: bool,
    /// What was there; `None` if nothing was.
    pub found: Option<Variant>,
}

impl<'a> Place<'a> {
    pub(super) fn new(object: &'a Object, path: impl IntoIterator<Item = impl Into<Key>>) -> Self {
        Place { object, path: path.into_iter().map(Into::into).collect() }
    }

    /// The place one step further inside.
    pub fn at(mut self, step: impl Into<Key>) -> Self {
        self.path.push(step.into());
        self
    }

    fn args(&self, more: impl IntoIterator<Item = Variant>) -> Vec<Variant> {
        let path = self.path.iter().map(|step| step.as_datum().clone()).collect();
        std::iter::once(path).chain(more).collect()
    }

    /// What is there; `None` if nothing is.
    ///
    /// # Errors
    /// [`Error::Managed`] if the way leads through what is neither list nor dict.
    pub fn get(&self) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::GetAt, self.args([])))
    }

    /// Puts `variant` there.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if a step before the last leads nowhere.
    pub fn set(&self, variant: impl Into<Variant>) -> Result<()> {
        self.object.call(Method::SetAt, self.args([variant.into()])).map(drop)
    }

    /// Takes away what is there; `None` if nothing was.
    pub fn remove(&self) -> Result<Option<Variant>> {
        if_there(self.object.call(Method::RemoveAt, self.args([])))
    }

    /// Appends to the list that is there, and returns how long it is then.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no list.
    pub fn push(&self, variant: impl Into<Variant>) -> Result<usize> {
        let len = into_datum(self.object.call(Method::PushAt, self.args([variant.into()]))?)?;
        Ok(len.as_int().unwrap_or_default())
    }

    /// Adds to the number that is there, and returns the sum.
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if there is no number, or the sum is beyond 64 bits.
    pub fn add(&self, amount: impl Into<Variant>) -> Result<Variant> {
        into_datum(self.object.call(Method::AddAt, self.args([amount.into()]))?)
    }

    /// Adds to the number that is there, or to `default` if nothing is, and returns the sum.
    pub fn add_or(&self, amount: impl Into<Variant>, default: impl Into<Variant>) -> Result<Variant> {
        into_datum(self.object.call(Method::AddAt, self.args([amount.into(), default.into()]))?)
    }

    /// Puts `new` there if what is there is `expected`; `None` is nothing.
    pub fn compare_and_swap(&self, expected: Option<Variant>, new: Option<Variant>) -> Result<Swap> {
        let args = self.args([expected.into_iter().collect(), new.into_iter().collect()]);
        swap(self.object.call(Method::CompareAndSwapAt, args)?)
    }

    /// Puts there what `change` makes of what is there, again and again until nobody else changed it meanwhile. Returns what
    /// it put there.
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

pub(super) fn swap(reply: Reply) -> Result<Swap> {
    match reply {
        Reply::Swapped { swapped, found } => Ok(Swap { swapped, found }),
        _ => Err(Error::manager_gone()),
    }
}
