//! What the program writes for other programs, and its pictures.

mod html;
pub(crate) mod pictures;
pub(crate) mod schema;
/// The unit tests' requirements for pictures of handmade runs also apply to those of real runs.
#[path = "../../../src/report/tests/well_formed.rs"]
pub(crate) mod well_formed;
