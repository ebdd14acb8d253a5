//! How far behind each site is. An [`Observer`] looks at every site at the same time, [`report`] makes of what it saw a
//! [`Report`] that `bridge lag` prints and the dashboard draws. `verdict.rs` alone judges what is good and what is bad.
//!
//! What cannot be seen is told as not known, and silence as silence: never as zero.

mod assess;
mod causes;
mod letters;
mod observe;
pub mod owed;
pub mod reasons;
pub mod report;
#[cfg(test)]
mod tests;
mod verdict;

pub use letters::{Letters, Reasons};
pub use observe::{Observer, Watched};
pub use report::Report;
