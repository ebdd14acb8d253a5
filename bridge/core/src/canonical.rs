//! JSON in one form, so that one value is the same bytes whoever wrote it: RFC 8785, "JSON Canonicalization Scheme".
//!
//! Members stand in the order of their names, nothing stands between tokens, and numbers are written as JavaScript
//! writes them. Libraries for it exist in most languages, so that others can compute what the bridge computes.

use std::{cmp::Ordering, io::Write};

use serde_json::{Map, Number, Value};

/// Doubles hold every integer up to here (2^53).
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Spells every number of `members` in one way, so that values which two stores spell differently compare as equal: a
/// double without a fraction becomes an integer, minus zero becomes zero.
pub fn spell(members: &mut Map<String, Value>) {
    members.values_mut().for_each(spell_value);
}

fn spell_value(value: &mut Value) {
    match value {
        Value::Number(any) => *any = number(any),
        Value::Array(items) => items.iter_mut().for_each(spell_value),
        Value::Object(members) => spell(members),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The one spelling of a number.
#[must_use]
pub fn number(any: &Number) -> Number {
    match any.as_f64() {
        #[allow(clippy::cast_possible_truncation, reason = "within 2^53, and without a fraction")]
        Some(double) if double.fract() == 0.0 && double.abs() <= INTEGER_MAX => Number::from(double as i64),
        // Integers beyond 2^53 that are portable have a double of the same decimal value: one spelling for both.
        Some(double) => Number::from_f64(double).unwrap_or_else(|| any.clone()),
        None => any.clone(),
    }
}

/// Appends the canonical text of `value`.
pub fn write(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Null => text.extend_from_slice(b"null"),
        Value::Bool(true) => text.extend_from_slice(b"true"),
        Value::Bool(false) => text.extend_from_slice(b"false"),
        Value::Number(any) => write_number(any, text),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                write(item, text);
            }
            text.push(b']');
        }
        Value::Object(members) => write_members(members, text),
    }
}

/// Appends the canonical text of an object.
pub fn write_members(members: &Map<String, Value>, text: &mut Vec<u8>) {
    text.push(b'{');
    if members.keys().is_sorted_by(|one, other| order(one, other).is_le()) {
        write_in_order(members.iter(), text);
    } else {
        let mut members: Vec<_> = members.iter().collect();
        members.sort_unstable_by(|(one, _), (other, _)| order(one, other));
        write_in_order(members.into_iter(), text);
    }
    text.push(b'}');
}

fn write_in_order<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, text: &mut Vec<u8>) {
    for (at, (name, value)) in members.enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_string(name, text);
        text.push(b':');
        write(value, text);
    }
}

/// Appends the canonical text of a string. `serde_json` escapes what RFC 8785 wants escaped, in the same form, and no more.
pub fn write_string(string: &str, text: &mut Vec<u8>) {
    serde_json::to_writer(text, string).expect("a vector takes all");
}

/// The order of names, which is that of their UTF-16 code units. In UTF-8 it is the order of bytes, but for U+E000 to
/// U+FFFF (first byte EE or EF), which come behind all that needs surrogates (first byte F0 to F4).
fn order(one: &str, other: &str) -> Ordering {
    let rank = |byte: u8| if matches!(byte, 0xee | 0xef) { byte + 0x10 } else { byte };
    one.bytes().map(rank).cmp(other.bytes().map(rank))
}

fn write_number(any: &Number, text: &mut Vec<u8>) {
    let number = number(any);
    let begin = text.len();
    write!(text, "{number}").expect("a vector takes all");
    if !number.is_f64() {
        return;
    }
    // The digits are the shortest that tell the double, in both; where the point stands is not.
    let written = text.split_off(begin);
    let written = std::str::from_utf8(&written).expect("digits");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((written, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let zeros = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_matches('0');
    // The value is 0.DIGITS * 10^point.
    let exponent: isize = exponent.parse().expect("a double's exponent is small");
    let point = exponent + whole.len().cast_signed() - zeros.cast_signed();
    text.extend_from_slice(sign.as_bytes());
    text.extend_from_slice(placed(digits, point).as_bytes());
}

/// `0.DIGITS * 10^point` as ECMAScript has it ("`Number::toString`"): with an exponent from 1e21 on and below 1e-6.
fn placed(digits: &str, point: isize) -> String {
    let count = digits.len();
    match usize::try_from(point) {
        Ok(point @ 1..=21) if count <= point => format!("{digits}{}", "0".repeat(point - count)),
        Ok(point @ 1..=21) => format!("{}.{}", &digits[..point], &digits[point..]),
        _ if (-5..=0).contains(&point) => format!("0.{}{digits}", "0".repeat(point.unsigned_abs())),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{:+}", point - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        let mut text = Vec::new();
        write(value, &mut text);
        String::from_utf8(text).unwrap()
    }

    /// RFC 8785, appendix B.
    #[test]
    fn numbers_are_written_as_the_rfc_shows() {
        for (bits, written) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(text(&json!(f64::from_bits(bits))), written, "{bits:016x}");
        }
        assert_eq!(text(&json!(18_446_744_073_709_551_615_u64)), "18446744073709552000", "as a double");
        assert_eq!(text(&json!(-7)), "-7");
    }

    /// RFC 8785, sections 3.2.2 and 3.2.3.
    #[test]
    fn strings_and_the_order_of_names_are_as_the_rfc_shows() {
        let value = json!({
            "numbers": [333_333_333.333_333_3, 1e30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001],
            "string": "\u{20ac}$\u{f}\nA'B\"\\\\\"/",
            "literals": [null, true, false]
        });
        assert_eq!(
            text(&value),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        let names = ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{1f600}", "\u{80}", "\u{f6}"];
        let value: Value = names.iter().map(|name| ((*name).to_owned(), json!(0))).collect::<Map<_, _>>().into();
        let sorted = ["\\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"];
        assert_eq!(text(&value), format!("{{{}}}", sorted.map(|name| format!("\"{name}\":0")).join(",")));
        assert_eq!(text(&json!({"a\u{7f}\u{8}\u{c}\t\u{0}": []})), "{\"a\u{7f}\\b\\f\\t\\u0000\":[]}");
    }

    #[test]
    fn one_value_has_one_spelling() {
        let mut members = json!({"a": [1.0, 1, -0.0, 0, 1e21, 123_456_789_012_345_680_u64, {"b": 1.5e2}]});
        spell(members.as_object_mut().unwrap());
        assert_eq!(members.to_string(), r#"{"a":[1,1,0,0,1e+21,1.2345678901234568e+17,{"b":150}]}"#);
    }

    proptest! {
        #[test]
        fn a_number_reads_back_as_the_same_double(double in any::<f64>().prop_filter("finite", |d| d.is_finite())) {
            let written = text(&json!(double));
            let bits = |double: f64| (double + 0.0).to_bits();
            prop_assert_eq!(bits(written.parse().unwrap()), bits(double), "{}", written);
        }

        #[test]
        fn names_stand_in_the_order_of_their_utf_16(one in any::<String>(), other in any::<String>()) {
            prop_assert_eq!(order(&one, &other), one.encode_utf16().cmp(other.encode_utf16()));
        }
    }
}
