//! JSON in one form, so that one value is the same bytes whoever wrote it: RFC 8785, "JSON Canonicalization Scheme".
//!
//! Members stand in the order of their names, nothing stands between tokens, and numbers are written as JavaScript
//! writes them. Libraries for it exist in most languages, so that others can compute what the bridge computes.

use std::{cmp::Ordering, fmt, io::Write, ops::Range};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::json::{JsonError, segment_text};

/// Doubles hold every integer up to here (2^53).
const INTEGER_MAX: u64 = 1 << 53;

/// The canonical text of the JSON in `text`, which is read strictly: no member's name may occur twice in one object.
///
/// Written while it is read, so that memory is bounded by the text: there is no tree. Nesting is bounded by the parser itself, at 127
/// levels.
pub(crate) fn of(text: &str) -> Result<String, JsonError> {
    let mut writer = Writer { text: Vec::with_capacity(text.len()), ..Writer::default() };
    let mut parser = serde_json::Deserializer::from_str(text);
    match Value(&mut writer).deserialize(&mut parser).and_then(|()| parser.end()) {
        Ok(()) => Ok(String::from_utf8(writer.text).expect("it is put together of texts")),
        Err(error) => Err(writer.explain(&error)),
    }
}

#[derive(Default)]
struct Writer {
    text: Vec<u8>,
    /// The names of `members`, one behind the other, as they are once escapes are read.
    names: String,
    /// The members of all open objects so far.
    members: Vec<Member>,
    /// The way to where the parser stands.
    open: Vec<Open>,
    /// The member that occurs a second time.
    duplicate: Option<String>,
}

struct Member {
    name: Range<usize>,
    text: Range<usize>,
}

enum Open {
    /// The item that is read.
    Array(usize),
    /// The place of the object's first member in [`Writer::members`].
    Object(usize),
}

impl Writer {
    fn name(&self, member: &Member) -> &str {
        &self.names[member.name.clone()]
    }

    /// Ends an object that begins at `begin` in the text, and whose first member is at `first`.
    fn end_object(&mut self, begin: usize, first: usize) -> Result<(), &'static str> {
        self.open.pop();
        let in_order = |one: &Member, other: &Member| order(self.name(one), self.name(other)) == Ordering::Less;
        if self.members[first..].is_sorted_by(in_order) {
            self.text.extend_from_slice(if self.members.len() == first { b"{}" } else { b"}" });
        } else {
            let names = std::mem::take(&mut self.names);
            let name = |member: &Member| &names[member.name.clone()];
            self.members[first..].sort_by(|one, other| order(name(one), name(other)));
            if let Some([_, twice]) =
                self.members[first..].array_windows().find(|[one, other]| name(one) == name(other))
            {
                self.duplicate = Some(format!("{}{}", self.pointer(&names, first), segment_text(name(twice))));
                return Err("duplicate member");
            }
            let mut sorted = Vec::with_capacity(self.text.len() - begin + 1);
            for member in &self.members[first..] {
                sorted.push(if sorted.is_empty() { b'{' } else { b',' });
                sorted.extend_from_slice(&self.text[member.text.clone()]);
            }
            sorted.push(b'}');
            self.text.truncate(begin);
            self.text.append(&mut sorted);
            self.names = names;
        }
        if let Some(member) = self.members.get(first) {
            self.names.truncate(member.name.start);
        }
        self.members.truncate(first);
        Ok(())
    }

    /// Where the parser stands, as a JSON pointer; `end` of the members are those of the open objects.
    fn pointer(&self, names: &str, mut end: usize) -> String {
        let mut pointer = String::new();
        for open in self.open.iter().rev() {
            let segment = match open {
                Open::Array(item) => format!("/{item}"),
                Open::Object(first) => {
                    let last = self.members[*first..end].last();
                    end = *first;
                    last.map_or_else(String::new, |member| segment_text(&names[member.name.clone()]))
                }
            };
            pointer.insert_str(0, &segment);
        }
        pointer
    }

    fn explain(&self, error: &serde_json::Error) -> JsonError {
        if let Some(path) = &self.duplicate {
            return JsonError::DuplicateMember(path.clone());
        }
        let what = error.to_string();
        // The parser has no other way to tell these from what is not JSON at all; a test holds it to its words.
        if what.starts_with("number out of range") || what.starts_with("recursion limit exceeded") {
            return JsonError::Unreadable { path: self.pointer(&self.names, self.members.len()), what };
        }
        JsonError::Syntax(what)
    }
}

/// Writes the value that is read.
struct Value<'a>(&'a mut Writer);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.text.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.text.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        write_number(&value.into(), &mut self.0.text);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        write_number(&value.into(), &mut self.0.text);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        write_number(&number, &mut self.0.text);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        write_string(value, &mut self.0.text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let writer = self.0;
        writer.open.push(Open::Array(0));
        writer.text.push(b'[');
        let begin = writer.text.len();
        while items.next_element_seed(Item { writer, begin })?.is_some() {
            if let Some(Open::Array(item)) = writer.open.last_mut() {
                *item += 1;
            }
        }
        writer.open.pop();
        writer.text.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let writer = self.0;
        let (begin, first) = (writer.text.len(), writer.members.len());
        writer.open.push(Open::Object(first));
        while members.next_key_seed(Name { writer, first })?.is_some() {
            members.next_value_seed(Value(writer))?;
            let end = writer.text.len();
            if let Some(member) = writer.members.last_mut() {
                member.text.end = end;
            }
        }
        writer.end_object(begin, first).map_err(A::Error::custom)
    }
}

/// Writes an item of an array, whose first one is at `begin`.
struct Item<'a> {
    writer: &'a mut Writer,
    begin: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.writer.text.len() > self.begin {
            self.writer.text.push(b',');
        }
        Value(self.writer).deserialize(deserializer)
    }
}

/// Writes a member's name, and its colon.
struct Name<'a> {
    writer: &'a mut Writer,
    first: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        let Writer { text, names, members, .. } = self.writer;
        text.push(if members.len() == self.first { b'{' } else { b',' });
        members.push(Member { name: names.len()..names.len() + name.len(), text: text.len()..text.len() });
        names.push_str(name);
        write_string(name, text);
        text.push(b':');
        Ok(())
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

/// Whether a number of canonical JSON stands for the digits that it has. Any other is a double, which stores write in shorter forms.
pub fn is_integer(number: &str) -> bool {
    number.parse::<i64>().is_ok_and(|integer| integer.unsigned_abs() <= INTEGER_MAX)
}

fn write_number(number: &Number, text: &mut Vec<u8>) {
    let double = number.as_f64().expect("every number of JSON has a double");
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "within 2^53, and without a fraction"
    )]
    if double.fract() == 0.0 && double.abs() <= INTEGER_MAX as f64 {
        return write!(text, "{}", double as i64).expect("a vector takes all");
    }
    // Integers beyond 2^53 that are portable have a double of the same decimal value: one spelling for both.
    let number = Number::from_f64(double).expect("it is finite");
    // The digits are the shortest that tell the double, in both; where the point stands is not.
    let written = number.to_string();
    if !written.contains('e') {
        return text.extend_from_slice(written.strip_suffix(".0").unwrap_or(&written).as_bytes());
    }
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
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
    use serde_json::{Map, Value, json};

    use super::*;

    fn text(value: &Value) -> String {
        of(&value.to_string()).unwrap()
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
        let canonical =
            of(r#"{"a": [1.0, 1, -0.0, -0, 1e21, 123456789012345680, 1.2345678901234568e17, {"b": 1.5e2}]}"#);
        assert_eq!(canonical.unwrap(), r#"{"a":[1,1,0,0,1e+21,123456789012345680,123456789012345680,{"b":150}]}"#);
        for (number, integer) in
            [("1", true), ("-9007199254740992", true), ("9007199254740994", false), ("1.5", false), ("1e+21", false)]
        {
            assert_eq!(is_integer(number), integer, "{number}");
        }
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
