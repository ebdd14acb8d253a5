//! Text that the bridge writes beside a body: what every queue carries, and how the rest is escaped and bounded.

use std::{borrow::Cow, fmt::Write};

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

/// Whether a text that the bridge writes shows this character as it is. Stricter than any queue: a line's end would break a log, some parser
/// on the way refuses what Unicode calls a noncharacter, and what is invisible or turns the direction of a line shows a reader something else
/// than is there.
fn is_shown(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || is_printable(c) && !is_ignorable(c)
}

/// Whether the standard library shows it: nothing of the categories Cc, Cf, Co, Cs and Cn, and no separator but the blank.
fn is_printable(c: char) -> bool {
    // Behind a letter, where marks that combine with it are shown too.
    let mut text = *b"a\0\0\0\0";
    let bytes = 1 + c.encode_utf8(&mut text[1..]).len();
    let text = std::str::from_utf8(&text[..bytes]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(c)
}

/// Letters and marks that show nothing: `Default_Ignorable_Code_Point` of Unicode 17, as far as [`is_printable`] lets it through.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34F}'
            | '\u{115F}'
            | '\u{1160}'
            | '\u{17B4}'
            | '\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}'
            | '\u{E0100}'..='\u{E01EF}'
    )
}

/// `text`, whatever lines it has, with everything that is not shown as JSON escapes it: both text for people and JSON stay what they are.
pub fn visible(text: &str) -> Cow<'_, str> {
    let stays = |c: char| matches!(c, '\n' | '\t') || is_shown(c);
    if text.bytes().all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~')) || text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        if stays(c) {
            visible.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(visible, "\\u{unit:04x}").expect("a String takes all");
            }
        }
    }
    Cow::Owned(visible)
}

/// `text` as one line that every queue carries: characters that are not shown as `\u{..}`, and `…` in place of what is over
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

/// `text` as one line that shows all of it: as [`bounded`], without bounds.
pub fn line(text: &str) -> String {
    bounded(text, usize::MAX, usize::MAX)
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
    fn what_misleads_a_reader_is_escaped() {
        let bounded = |text: &str| super::bounded(text, 100, 1_000);
        for c in [
            '\u{AD}',
            '\u{61C}',
            '\u{200B}',
            '\u{200E}',
            '\u{202E}',
            '\u{2028}',
            '\u{2066}',
            '\u{2069}',
            '\u{FEFF}',
            '\u{E0041}',
            '\u{E000}',
            '\u{378}',
            '\u{3164}',
            '\u{FE0F}',
            '\u{A0}',
        ] {
            assert_eq!(bounded(&format!("x{c}y")), format!("x\\u{{{:X}}}y", u32::from(c)));
        }
        assert_eq!(bounded("e\u{301} é ج ש हि ‘’ ’"), "e\u{301} é ج ש हि ‘’ ’", "marks and other scripts are shown");
    }

    #[test]
    fn lines_and_json_stay_what_they_are() {
        assert_eq!(visible("a\tb\n\"ü\"\\ 日本語\n"), "a\tb\n\"ü\"\\ 日本語\n");
        assert_eq!(visible("gpj\u{202E}.exe\u{1b}[2J\u{E0041}"), "gpj\\u202e.exe\\u001b[2J\\udb40\\udc41");
        let json = serde_json::to_string("a\u{202E}\u{E0041}").unwrap();
        let shown = visible(&json);
        assert_ne!(shown, json);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "a\u{202E}\u{E0041}");
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
        /// The one copy of a category is the standard library's; this one is Unicode's, by range.
        #[test]
        fn nothing_that_turns_or_hides_text_is_shown(text in "[\\p{Cc}\\p{Cf}\\p{Co}\\p{Zl}\\p{Zp}\\p{Bidi_Control}a-zé日]{0,20}") {
            let is_odd = |c: char| !matches!(c, 'a'..='z' | 'é' | '日');
            let (line, lines) = (bounded(&text, 1_000, 10_000), visible(&text));
            prop_assert!(!line.chars().any(|c| is_odd(c) && !r"\{}u".contains(c) && !c.is_ascii_hexdigit()), "{line:?}");
            prop_assert!(lines.chars().all(|c| matches!(c, '\n' | '\t') || is_shown(c)), "{lines:?}");
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&visible(&json)).unwrap(), text);
        }

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
