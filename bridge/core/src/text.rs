//! Text that the bridge writes beside a body: what every queue carries, and how the rest is escaped and bounded.

use std::fmt::Write;

/// Whether every queue carries this character in a property's value. `SendMessage` in the Amazon SQS API Reference, read 2026-11:
/// #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, #x10000 to #x10FFFF. Service Bus takes any text.
pub fn is_carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether every queue carries a property of this name. "Amazon SQS message metadata", read 2026-11: letters, digits, `_`, `-` and `.`, at
/// most 256, the last not at either end nor twice in a row, and neither `AWS.` nor `Amazon.` in front. Service Bus takes any name.
pub fn is_carried_name(name: &str) -> bool {
    let reserved = ["aws.", "amazon."].iter().any(|prefix| {
        let head = name.as_bytes().get(..prefix.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
    });
    !reserved
        && (1..=256).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
}

/// Whether a text that the bridge writes shows this character as it is. Stricter than any queue: a line's end would break a log, and some
/// parser on the way refuses what Unicode calls a noncharacter.
fn is_shown(c: char) -> bool {
    let code = u32::from(c);
    let noncharacter = (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE;
    !c.is_control() && !noncharacter
}

/// `text` as one line that every queue carries: control characters and noncharacters as `\u{..}`, and `…` in place of what is over
/// `chars` characters or `bytes` bytes.
pub fn bounded(text: &str, chars: usize, bytes: usize) -> String {
    let mut bounded = String::new();
    let mut length = 0;
    let mut piece = String::new();
    for c in text.chars() {
        piece.clear();
        if is_shown(c) {
            piece.push(c);
        } else {
            write!(piece, "\\u{{{:X}}}", u32::from(c)).expect("a String takes all");
        }
        length += piece.chars().count();
        if length > chars || bounded.len() + piece.len() > bytes {
            bounded.push('…');
            break;
        }
        bounded.push_str(&piece);
    }
    bounded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_queue_or_a_log_trips_over_is_escaped() {
        let bounded = |text: &str| super::bounded(text, 100, 1_000);
        assert_eq!(bounded("a\u{1}b"), "a\\u{1}b");
        assert_eq!(bounded("\0\t\n\r\u{7f}\u{85}"), "\\u{0}\\u{9}\\u{A}\\u{D}\\u{7F}\\u{85}");
        assert_eq!(bounded("\u{FDD0}\u{FDEF}\u{FFFE}\u{FFFF}"), "\\u{FDD0}\\u{FDEF}\\u{FFFE}\\u{FFFF}");
        assert_eq!(bounded("\u{1FFFE}\u{10FFFF}"), "\\u{1FFFE}\\u{10FFFF}");
        assert_eq!(bounded("/größe \\ \"x\" 日本語 🦀 \u{FFFD}"), "/größe \\ \"x\" 日本語 🦀 \u{FFFD}");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(bounded("größe", 5, 7), "größe");
        assert_eq!(bounded("größe", 4, 100), "größ…");
        assert_eq!(bounded("größe", 100, 6), "größ…");
        assert_eq!(bounded("größe", 100, 5), "grö…");
        assert_eq!(bounded("ab\u{1}", 6, 100), "ab…", "an escape is shown whole or not at all");
    }

    #[test]
    fn names_are_those_that_every_queue_carries() {
        for name in ["a", "Trace-Parent_1.x", "9", "AWSx", "awsx", &"n".repeat(256)] {
            assert!(is_carried_name(name), "{name}");
        }
        for name in ["", "a b", ".a", "a.", "a..b", "AWS.x", "aws.", "Amazon.x", "ä", &"n".repeat(257)] {
            assert!(!is_carried_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_text_becomes_one_that_every_queue_carries(text in any::<String>(), chars in 0_usize..80, bytes in 0_usize..200) {
            let bounded = bounded(&text, chars, bytes);
            prop_assert!(bounded.chars().all(|c| is_carried(c) && is_shown(c)));
            prop_assert!(bounded.chars().count() <= chars + 1 && bounded.len() <= bytes + '…'.len_utf8());
            let plain = text.chars().all(is_shown);
            if plain && text.chars().count() <= chars && text.len() <= bytes {
                prop_assert_eq!(bounded, text);
            }
        }
    }
}
