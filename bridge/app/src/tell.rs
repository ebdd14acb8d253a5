//! Lines for people, on standard error. A reader that has gone away, be it a closed terminal or `head`, is no reason to give up what
//! is half done.

use std::{fmt, io::Write};

use bridge_core::text::visible;

/// Writes a line, made as `format!` makes it.
macro_rules! tell {
    ($($words:tt)*) => {
        $crate::tell::line(format_args!($($words)*))
    };
}

pub(crate) use tell;

pub(crate) fn line(words: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible(&words.to_string()));
}
