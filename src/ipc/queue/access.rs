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

/// Like `A` for puts, but items are got only as leases: the queue inside a [`JoinableQueue`](crate::JoinableQueue).
#[derive(Debug, Clone, Copy)]
pub struct Leased<A>(std::convert::Infallible, std::marker::PhantomData<A>);

mod sealed {
    pub trait Sealed {
        /// The value of [`Rights`](super::Rights).
        #[doc(hidden)]
        const RIGHTS: u32;
        /// What follows the kind of queue where a handle is shown.
        #[doc(hidden)]
        const END: &'static str = "";
    }
}

impl sealed::Sealed for Both {
    const RIGHTS: u32 = Rights::BOTH.0;
}
impl sealed::Sealed for PutOnly {
    const RIGHTS: u32 = Rights::PUT.0;
    const END: &'static str = "'s producer";
}
impl sealed::Sealed for GetOnly {
    const RIGHTS: u32 = Rights::GET.0;
    const END: &'static str = "'s consumer";
}
impl<A: Access> sealed::Sealed for Leased<A> {
    const RIGHTS: u32 = A::RIGHTS;
    const END: &'static str = A::END;
}
impl Access for Both {}
impl Access for PutOnly {}
impl Access for GetOnly {}
impl<A: Access> Access for Leased<A> {}
impl Puts for Both {}
impl Puts for PutOnly {}
impl<A: Puts> Puts for Leased<A> {}
impl Gets for Both {}
impl Gets for GetOnly {}
