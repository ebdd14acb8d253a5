//! What a drill of an outage measures: a [`Book`] of every write that was made during it, with when each store showed it, and
//! the [`Figures`] that follow from the book and from the [`Course`] of the drill. `bridge drill` makes the writes and looks.

mod book;
mod figures;
#[cfg(test)]
mod tests;

pub use book::{Answer, Book, Entry};
pub use figures::{Aftermath, Count, Course, Fate, Fates, Figures, Held, Missing, Pace, Rto, Wrong};
