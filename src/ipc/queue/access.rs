//! What a handle of a queue may do, as a type that the compiler checks.

use super::participants::Rights;

/// What a handle may do.
pub trait Access: sealed::Sealed {}
/// May put.
pub trait Puts: Access {}
/// May get.
pub trait Gets: Access {}

/// A handle that puts and gets.
#[derive(Debug, Clone, Copy)]
pub enum Both {}
/// A handle that only puts.
#[derive(Debug, Clone, Copy)]
pub enum PutOnly {}
/// A handle that only gets.
#[derive(Debug, Clone, Copy)]
pub enum GetOnly {}

mod sealed {
    pub trait Sealed {
        #[doc(hidden)]
        const PUTS: bool = true;
        #[doc(hidden)]
        const GETS: bool = true;
        /// What follows the kind of queue where a handle is shown.
        #[doc(hidden)]
        const END: &'static str = "";
    }
}

impl sealed::Sealed for Both {}
impl sealed::Sealed for PutOnly {
    const GETS: bool = false;
    const END: &'static str = "'s producer";
}
impl sealed::Sealed for GetOnly {
    const PUTS: bool = false;
    const END: &'static str = "'s consumer";
}
impl Access for Both {}
impl Access for PutOnly {}
impl Access for GetOnly {}
impl Puts for Both {}
impl Puts for PutOnly {}
impl Gets for Both {}
impl Gets for GetOnly {}

pub(crate) fn rights_of<A: Access>() -> Rights {
    Rights { put: A::PUTS, get: A::GETS }
}
