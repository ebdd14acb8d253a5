//! What both stores can hold exactly.
//!
//! A payload must come back equal from DynamoDB and from Cosmos DB. DynamoDB keeps numbers as decimals within a range,
//! Cosmos keeps them as IEEE doubles; so a number is portable if its decimal value survives the trip through a double
//! and back (shortest form) and lies in DynamoDB's range. What is not portable is refused at its origin, never rounded.

use serde_json::value::RawValue;

use crate::{
    event::Payload,
    json::segment_text,
    limits,
    payload::{Token, end_of_string, unescaped_bytes},
};

/// What one of the stores cannot hold exactly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct NotPortable {
    /// Where in the event, as a JSON pointer.
    pub path: String,
    /// What stands there, and what a store would make of it.
    pub what: String,
}

/// Checks a payload; `text` is the JSON that it was read from, and `path` where in the event it stands.
///
/// That text is needed because numbers of the canonical one have already been through a double.
///
/// # Errors
/// The first thing in the payload that is not portable.
pub fn check(payload: &Payload, text: &str, path: &str) -> Result<(), NotPortable> {
    check_shape(payload, path)?;
    if numbers(text).all(|number| portable_number(number).is_ok()) {
        return Ok(());
    }
    let raw: &RawValue = serde_json::from_str(text).expect("the payload was parsed from this text");
    find_number(raw, path).map_or(Ok(()), Err)
}

/// `serde_json` takes an object whose first member has this name for a text that is still to be parsed, wherever the
/// feature `raw_value` is on; the Cosmos SDK turns it on.
const RESERVED_NAME: &str = "$serde_json::private::RawValue";

/// Nesting and member names.
fn check_shape(payload: &Payload, path: &str) -> Result<(), NotPortable> {
    /// Where an open object or array stands.
    enum At<'a> {
        Member(&'a str),
        Item(usize),
    }
    let pointer = |open: &[At]| {
        let segment = |at: &At| match at {
            At::Member(name) => segment_text(&unescaped(name)),
            At::Item(number) => format!("/{number}"),
        };
        format!("{path}{}", open.iter().map(segment).collect::<String>())
    };
    let mut open: Vec<At> = Vec::new();
    for token in payload.tokens() {
        match token {
            Token::Object | Token::Array if open.len() == limits::PAYLOAD_LEVELS_MAX => {
                let what =
                    format!("more than {} levels of nesting; DynamoDB takes no more", limits::PAYLOAD_LEVELS_MAX);
                return Err(NotPortable { path: pointer(&open), what });
            }
            Token::Object => open.push(At::Member("")),
            Token::Array => open.push(At::Item(0)),
            Token::ObjectEnd | Token::ArrayEnd => drop(open.pop()),
            Token::Comma => {
                if let Some(At::Item(number)) = open.last_mut() {
                    *number += 1;
                }
            }
            Token::Name(name) => {
                open.pop();
                let size = unescaped_bytes(name);
                if !limits::MEMBER_NAME_BYTES.contains(&size) {
                    let what = format!(
                        "a member's name has {size} bytes; DynamoDB takes 1 to {}",
                        limits::MEMBER_NAME_BYTES.end()
                    );
                    // A name too long to be stored is too long to be shown.
                    let end = if name.is_empty() { "/" } else { "" };
                    return Err(NotPortable { path: format!("{}{end}", pointer(&open)), what });
                }
                open.push(At::Member(name));
                if name == RESERVED_NAME {
                    let what =
                        "a name that the workers' JSON library keeps for itself; the record would be read wrongly";
                    return Err(NotPortable { path: pointer(&open), what: what.to_owned() });
                }
            }
            Token::String(_) | Token::Number(_) | Token::Bool(_) | Token::Null => {}
        }
    }
    Ok(())
}

/// The text that stands between quotes, with its escapes read.
fn unescaped(text: &str) -> String {
    serde_json::from_str(&format!("\"{text}\"")).expect("it was written as a string")
}

/// The number literals of a valid JSON text, in order.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            match bytes[at] {
                b'"' => at += end_of_string(&text[at..]) + 1,
                b'-' | b'0'..=b'9' => {
                    let start = at;
                    while at < bytes.len() && matches!(bytes[at], b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') {
                        at += 1;
                    }
                    return Some(&text[start..at]);
                }
                _ => at += 1,
            }
        }
        None
    })
}

/// The first number below `raw` that is not portable.
fn find_number(raw: &RawValue, path: &str) -> Option<NotPortable> {
    let text = raw.get();
    match text.as_bytes()[0] {
        b'{' => {
            let members: std::collections::BTreeMap<String, &RawValue> =
                serde_json::from_str(text).expect("it begins as an object, and was parsed before");
            members.iter().find_map(|(name, value)| find_number(value, &format!("{path}{}", segment_text(name))))
        }
        b'[' => {
            let items: Vec<&RawValue> =
                serde_json::from_str(text).expect("it begins as an array, and was parsed before");
            items.iter().enumerate().find_map(|(at, item)| find_number(item, &format!("{path}/{at}")))
        }
        b'-' | b'0'..=b'9' => {
            let what = portable_number(text).err()?;
            Some(NotPortable { path: path.to_owned(), what })
        }
        _ => None,
    }
}

/// Whether a number's decimal value survives both stores; if not, the words for it, with both figures.
fn portable_number(literal: &str) -> Result<(), String> {
    // Fifteen digits always survive a double (IEEE 754 binary64), so most numbers end here.
    if literal.len() <= 15 && literal.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'.') {
        return Ok(());
    }
    let shown: String = literal.chars().take(64).collect();
    let double: f64 = literal.parse().map_err(|_| format!("{shown} is not a number"))?;
    let wanted = Decimal::read(literal).ok_or_else(|| format!("{shown} is beyond every store's range"))?;
    let held = Decimal::read(&shortest(double));
    if held.as_ref() != Some(&wanted) {
        return Err(format!("{shown} would become {double:e} in Cosmos DB, which keeps doubles"));
    }
    if double != 0.0 && !limits::NUMBER_MAGNITUDE.contains(&double.abs()) {
        return Err(format!("{shown} is outside DynamoDB's range of 1e-130 to 9.99e125"));
    }
    Ok(())
}

/// The shortest decimal that reads back as `double`, as JSON is written by Python, JavaScript and `serde_json` alike. Of two that are
/// equally short and equally close it is the one with the even digit, which Rust's own formatting does not keep to.
fn shortest(double: f64) -> String {
    serde_json::Number::from_f64(double).map_or_else(|| double.to_string(), |number| number.to_string())
}

/// A decimal value in its one normal form: `0.DIGITS * 10^exponent`, without zeros at either end.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a JSON number; `None` if its exponent is beyond 64 bits, or if it is a double's "inf".
    fn read(literal: &str) -> Option<Self> {
        let (negative, unsigned) = literal.strip_prefix('-').map_or((false, literal), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            // Nothing, however often it is taken.
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        let leading_zeros = i64::try_from(digits.len() - significant.len()).ok()?;
        let exponent = exponent.checked_add(i64::try_from(whole.len()).ok()?)?.checked_sub(leading_zeros)?;
        Some(Self { negative, digits: significant.trim_end_matches('0').to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(payload: &str) -> Result<(), NotPortable> {
        check(&payload.parse().unwrap(), payload, "/payload")
    }

    #[test]
    fn numbers_that_survive_a_double_are_portable() {
        let good = [
            "0",
            "-0",
            "-0.0",
            "0.1",
            "1.50",
            "1e21",
            "1E+2",
            "9007199254740991",
            "9007199254740992",
            "123456789012345680",
            // Lies in the middle of .2 and .3: two shortest forms, of which JSON is written with the even one.
            "1120950135450717.2",
            "1e-130",
            "9.99e125",
            "0.30000000000000004",
            "5e-7",
            "1000000000000000000000",
            // Its shortest form is 1.2345678901234e-7.
            "0.00000012345678901234",
            "0e999",
            "-0.0e99999999999999999999",
            "0.000",
        ];
        for number in good {
            assert_eq!(portable_number(number), Ok(()), "{number}");
        }
    }

    #[test]
    fn numbers_that_a_store_would_round_are_not() {
        let bad = [
            "9007199254740993",
            "18446744073709551616",
            "123456789012345681",
            "0.1000000000000000055511151231257827",
            "1e-200",
            "1e126",
            "1e-400",
            "-1e300",
            "1e99999999999999999999",
            "0.12345678901234567890",
        ];
        for number in bad {
            assert!(portable_number(number).is_err(), "{number}");
        }
    }

    #[test]
    fn the_offender_is_named_with_both_figures() {
        let error = verdict(r#"{"note":"9007199254740993","a":[1,{"b/c":9007199254740993}]}"#).unwrap_err();
        assert_eq!(error.path, "/payload/a/1/b~1c");
        assert!(error.what.starts_with("9007199254740993 would become 9.007199254740992e15"), "{}", error.what);
        assert_eq!(verdict(r#"{"a":"-1e999","b\"2":"7"}"#), Ok(()), "strings are not numbers");
    }

    #[test]
    fn shapes_that_dynamodb_cannot_hold_are_named() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert_eq!(verdict(&nested(limits::PAYLOAD_LEVELS_MAX)), Ok(()));
        assert!(verdict(&nested(limits::PAYLOAD_LEVELS_MAX + 1)).unwrap_err().what.contains("levels"));
        assert_eq!(verdict(r#"{"a":[{"":1}]}"#).unwrap_err().path, "/payload/a/0/");
        let long = |bytes: usize| verdict(&format!(r#"{{"a":[0,{{"b":1,"{}":1}}]}}"#, "\\n".repeat(bytes)));
        assert_eq!(long(*limits::MEMBER_NAME_BYTES.end()), Ok(()));
        assert_eq!(long(limits::MEMBER_NAME_BYTES.end() + 1).unwrap_err().path, "/payload/a/1");
        let deep = format!(r#"{{"a\n":[{{"b":1}},{}1{}]}}"#, "[".repeat(30), "]".repeat(30));
        assert_eq!(verdict(&deep).unwrap_err().path, format!("/payload/a\n/1{}", "/0".repeat(29)));
        assert_eq!(
            verdict(r#"{"a":{"$serde_json::private::RawValue":"1"}}"#).unwrap_err().path,
            "/payload/a/$serde_json::private::RawValue"
        );
    }

    proptest! {
        #[test]
        fn every_double_in_range_is_portable_in_its_shortest_form(double in any::<f64>()) {
            let in_range = double == 0.0 || limits::NUMBER_MAGNITUDE.contains(&double.abs());
            if double.is_finite() {
                let literal = serde_json::to_string(&double).unwrap();
                prop_assert_eq!(portable_number(&literal).is_ok(), in_range);
            }
        }

        #[test]
        fn an_integer_is_portable_exactly_if_its_double_prints_it(integer in any::<i64>()) {
            #[allow(clippy::cast_precision_loss, reason = "the loss is what is tested")]
            let survives = format!("{}", integer as f64) == integer.to_string();
            prop_assert_eq!(portable_number(&integer.to_string()).is_ok(), survives);
        }
    }
}
