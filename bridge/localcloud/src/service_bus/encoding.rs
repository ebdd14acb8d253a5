//! AMQP values as bytes: cutting them apart without building a tree, and writing the few that the service adds.
//!
//! Messages are kept encoded, and everything that arrives passes [`check`] before any decoder with recursion or
//! allocation of its own sees it. Nothing here allocates by a length that was only declared, and no input panics.

use bytes::{BufMut, Bytes, BytesMut};

/// How deep values may be nested. Service Bus documents no limit; the deepest value that its clients send (an attach with
/// a filter, or a rejected disposition with an info map) has six levels.
const DEPTH_MAX: usize = 32;
/// Elements of an array whose elements take no bytes: the one place where a few bytes can stand for any number of values.
const EMPTY_ELEMENTS_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodingError {
    #[error("an AMQP value ends in the middle")]
    Short,
    #[error("0x{0:02x} is no AMQP type")]
    UnknownType(u8),
    #[error("an AMQP value is nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    #[error("an AMQP value is longer or shorter than it says")]
    WrongLength,
    #[error("expected {0}")]
    Unexpected(&'static str),
}

type Result<T> = std::result::Result<T, EncodingError>;

/// One value, as far as the service looks into values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Item<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Timestamp(i64),
    Uuid([u8; 16]),
    Text(&'a str),
    Binary(&'a [u8]),
    /// A list, map, array, floating-point number, or described value.
    Other,
}

/// Makes sure that `bytes` is a sequence of whole, well-formed values.
pub(crate) fn check(mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        split(&mut bytes)?;
    }
    Ok(())
}

/// Cuts the first value off, constructor included.
pub(crate) fn split<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = value_length(bytes, DEPTH_MAX)?;
    let (value, rest) = bytes.split_at_checked(length).ok_or(EncodingError::Short)?;
    *bytes = rest;
    Ok(value)
}

/// Cuts the first value off without a look inside, however deep it is nested: a message's body is its sender's business.
pub(crate) fn cut<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    // A described value is its descriptor, which may be described too, and what that describes.
    let (mut at, mut missing) = (0, 1_usize);
    while missing > 0 {
        missing -= 1;
        let (&code, content) = bytes.get(at..).and_then(<[u8]>::split_first).ok_or(EncodingError::Short)?;
        at += 1;
        match code {
            0x00 => missing += 2,
            0xc0 | 0xc1 | 0xe0 => at += 1 + usize::from(*content.first().ok_or(EncodingError::Short)?),
            0xd0 | 0xd1 | 0xf0 => at += 4 + declared(content)?,
            flat => at += content_length(flat, content, 1)?,
        }
    }
    let (value, rest) = bytes.split_at_checked(at).ok_or(EncodingError::Short)?;
    *bytes = rest;
    Ok(value)
}

/// Cuts the first value off and reads it.
pub(crate) fn next<'a>(bytes: &mut &'a [u8]) -> Result<Item<'a>> {
    split(bytes).and_then(read)
}

/// Reads one whole value.
pub(crate) fn read(value: &[u8]) -> Result<Item<'_>> {
    let (&code, content) = value.split_first().ok_or(EncodingError::Short)?;
    Ok(match code {
        0x40 => Item::Null,
        0x41 => Item::Bool(true),
        0x42 => Item::Bool(false),
        0x56 => Item::Bool(content.first().is_some_and(|byte| *byte != 0)),
        0x43 | 0x44 => Item::Unsigned(0),
        0x50 | 0x52 | 0x53 => Item::Unsigned(u8::from_be_bytes(fixed(content)?).into()),
        0x60 => Item::Unsigned(u16::from_be_bytes(fixed(content)?).into()),
        0x70 => Item::Unsigned(u32::from_be_bytes(fixed(content)?).into()),
        0x80 => Item::Unsigned(u64::from_be_bytes(fixed(content)?)),
        0x51 | 0x54 | 0x55 => Item::Signed(i8::from_be_bytes(fixed(content)?).into()),
        0x61 => Item::Signed(i16::from_be_bytes(fixed(content)?).into()),
        0x71 => Item::Signed(i32::from_be_bytes(fixed(content)?).into()),
        0x81 => Item::Signed(i64::from_be_bytes(fixed(content)?)),
        0x83 => Item::Timestamp(i64::from_be_bytes(fixed(content)?)),
        0x98 => Item::Uuid(fixed(content)?),
        0xa0 | 0xb0 => Item::Binary(variable(code, content)?),
        0xa1 | 0xa3 | 0xb1 | 0xb3 => {
            Item::Text(std::str::from_utf8(variable(code, content)?).map_err(|_| EncodingError::Unexpected("UTF-8"))?)
        }
        _ => Item::Other,
    })
}

/// The descriptor and the value of a described value.
pub(crate) fn described(value: &[u8]) -> Result<(Item<'_>, &[u8])> {
    let Some((0x00, mut rest)) = value.split_first() else {
        return Err(EncodingError::Unexpected("a described value"));
    };
    Ok((next(&mut rest)?, rest))
}

/// The number of elements of a list or map (keys and values counted separately), and their bytes.
pub(crate) fn elements(value: &[u8]) -> Result<(usize, &[u8])> {
    let (&code, content) = value.split_first().ok_or(EncodingError::Short)?;
    match code {
        0x40 | 0x45 => Ok((0, &[])),
        0xc0 | 0xc1 => {
            let count = *content.get(1).ok_or(EncodingError::Short)?;
            Ok((usize::from(count), &content[2..]))
        }
        0xd0 | 0xd1 => {
            let count = declared(content.get(4..).ok_or(EncodingError::Short)?)?;
            Ok((count, &content[8..]))
        }
        _ => Err(EncodingError::Unexpected("a list or a map")),
    }
}

/// The keys and values of a map, each still encoded.
pub(crate) fn pairs(value: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    let (count, mut content) = elements(value)?;
    if count % 2 != 0 {
        return Err(EncodingError::Unexpected("a value for every key"));
    }
    // Grows with what is there, not with the count.
    let mut pairs = Vec::new();
    while !content.is_empty() {
        pairs.push((split(&mut content)?, split(&mut content)?));
    }
    Ok(pairs)
}

fn value_length(bytes: &[u8], depth: usize) -> Result<usize> {
    let depth = depth.checked_sub(1).ok_or(EncodingError::TooDeep)?;
    let (&code, content) = bytes.split_first().ok_or(EncodingError::Short)?;
    if code == 0x00 {
        let descriptor = value_length(content, depth)?;
        let value = value_length(content.get(descriptor..).ok_or(EncodingError::Short)?, depth)?;
        return Ok(1 + descriptor + value);
    }
    Ok(1 + content_length(code, content, depth)?)
}

/// The length of what follows a constructor of the type `code`.
fn content_length(code: u8, content: &[u8], depth: usize) -> Result<usize> {
    let length = match code {
        0x40..=0x45 => 0,
        0x50..=0x56 => 1,
        0x60 | 0x61 => 2,
        0x70..=0x74 => 4,
        0x80..=0x84 => 8,
        0x94 | 0x98 => 16,
        0xa0 | 0xa1 | 0xa3 => 1 + usize::from(*content.first().ok_or(EncodingError::Short)?),
        0xb0 | 0xb1 | 0xb3 => 4 + declared(content)?,
        0xc0 | 0xc1 | 0xe0 => {
            let size = usize::from(*content.first().ok_or(EncodingError::Short)?);
            let body = content.get(1..1 + size).ok_or(EncodingError::Short)?;
            let (count, body) = body.split_first().ok_or(EncodingError::WrongLength)?;
            check_compound(code, usize::from(*count), body, depth)?;
            1 + size
        }
        0xd0 | 0xd1 | 0xf0 => {
            let size = declared(content)?;
            let body = content.get(4..4 + size).ok_or(EncodingError::Short)?;
            let count = declared(body).map_err(|_| EncodingError::WrongLength)?;
            check_compound(code, count, &body[4..], depth)?;
            4 + size
        }
        _ => return Err(EncodingError::UnknownType(code)),
    };
    if content.len() < length { Err(EncodingError::Short) } else { Ok(length) }
}

fn check_compound(code: u8, count: usize, mut body: &[u8], depth: usize) -> Result<()> {
    if code & 0xf0 == 0xe0 || code & 0xf0 == 0xf0 {
        return check_array(count, body, depth);
    }
    // A map counts keys and values: decoders run past a key without a value.
    if code & 0x0f == 1 && !count.is_multiple_of(2) {
        return Err(EncodingError::WrongLength);
    }
    for _ in 0..count {
        let length = value_length(body, depth)?;
        body = body.get(length..).ok_or(EncodingError::Short)?;
    }
    if body.is_empty() { Ok(()) } else { Err(EncodingError::WrongLength) }
}

fn check_array(count: usize, mut body: &[u8], depth: usize) -> Result<()> {
    let depth = depth.checked_sub(1).ok_or(EncodingError::TooDeep)?;
    // One constructor, possibly described, stands before all elements.
    let mut levels = DEPTH_MAX;
    while body.first() == Some(&0x00) {
        levels = levels.checked_sub(1).ok_or(EncodingError::TooDeep)?;
        let descriptor = value_length(&body[1..], depth)?;
        body = body.get(1 + descriptor..).ok_or(EncodingError::Short)?;
    }
    let (&code, mut body) = body.split_first().ok_or(EncodingError::Short)?;
    if (0x40..=0x45).contains(&code) && count > EMPTY_ELEMENTS_MAX {
        return Err(EncodingError::WrongLength);
    }
    for _ in 0..count {
        let length = content_length(code, body, depth)?;
        body = body.get(length..).ok_or(EncodingError::Short)?;
    }
    if body.is_empty() { Ok(()) } else { Err(EncodingError::WrongLength) }
}

/// A length or a count in four bytes. Nothing is allocated by it.
fn declared(content: &[u8]) -> Result<usize> {
    let (length, _) = content.split_first_chunk().ok_or(EncodingError::Short)?;
    usize::try_from(u32::from_be_bytes(*length)).map_err(|_| EncodingError::WrongLength)
}

fn fixed<const N: usize>(content: &[u8]) -> Result<[u8; N]> {
    content.try_into().map_err(|_| EncodingError::WrongLength)
}

fn variable(code: u8, content: &[u8]) -> Result<&[u8]> {
    content.get(if code < 0xb0 { 1 } else { 4 }..).ok_or(EncodingError::Short)
}

/// Lengths that are written are those of messages, which end far below 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

pub(crate) fn put_bool(out: &mut BytesMut, value: bool) {
    out.put_u8(if value { 0x41 } else { 0x42 });
}

pub(crate) fn put_ubyte(out: &mut BytesMut, value: u8) {
    out.put_slice(&[0x50, value]);
}

pub(crate) fn put_uint(out: &mut BytesMut, value: u32) {
    out.put_u8(0x70);
    out.put_u32(value);
}

pub(crate) fn put_int(out: &mut BytesMut, value: i32) {
    out.put_u8(0x71);
    out.put_i32(value);
}

pub(crate) fn put_long(out: &mut BytesMut, value: i64) {
    out.put_u8(0x81);
    out.put_i64(value);
}

pub(crate) fn put_double(out: &mut BytesMut, value: f64) {
    out.put_u8(0x82);
    out.put_f64(value);
}

pub(crate) fn put_timestamp(out: &mut BytesMut, milliseconds: i64) {
    out.put_u8(0x83);
    out.put_i64(milliseconds);
}

pub(crate) fn put_uuid(out: &mut BytesMut, value: uuid::Uuid) {
    out.put_u8(0x98);
    out.put_slice(value.as_bytes());
}

pub(crate) fn put_null(out: &mut BytesMut) {
    out.put_u8(0x40);
}

pub(crate) fn put_text(out: &mut BytesMut, text: &str) {
    put_variable(out, 0xa1, text.as_bytes());
}

pub(crate) fn put_symbol(out: &mut BytesMut, text: &str) {
    put_variable(out, 0xa3, text.as_bytes());
}

pub(crate) fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    put_variable(out, 0xa0, bytes);
}

/// `code` is that of the short form; the long form of the same type is 0x10 higher.
fn put_variable(out: &mut BytesMut, code: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => out.put_slice(&[code, length]),
        Err(_) => {
            out.put_u8(code + 0x10);
            out.put_u32(length(bytes.len()));
        }
    }
    out.put_slice(bytes);
}

/// A section of a message or any other described value with a small numeric descriptor.
pub(crate) fn put_descriptor(out: &mut BytesMut, code: u8) {
    out.put_slice(&[0x00, 0x53, code]);
}

pub(crate) fn put_list(out: &mut BytesMut, count: usize, content: &[u8]) {
    put_compound(out, 0xd0, count, content);
}

/// `count` counts keys and values.
pub(crate) fn put_map(out: &mut BytesMut, count: usize, content: &[u8]) {
    put_compound(out, 0xd1, count, content);
}

fn put_compound(out: &mut BytesMut, code: u8, count: usize, content: &[u8]) {
    out.put_u8(code);
    out.put_u32(length(content.len() + 4));
    out.put_u32(length(count));
    out.put_slice(content);
}

/// One value encoded by itself.
pub(crate) fn encoded(put: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    put(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length_of(bytes: &[u8]) -> Result<usize> {
        value_length(bytes, DEPTH_MAX)
    }

    #[test]
    fn a_key_without_a_value_is_no_map() {
        let map = |count| [0xc1, 4, count, 0xa1, 1, b'k'];
        assert_eq!(check(&map(1)), Err(EncodingError::WrongLength));
        assert_eq!(check(&[0xd1, 0, 0, 0, 5, 0, 0, 0, 1, 0x40]), Err(EncodingError::WrongLength));
        assert_eq!(check(&[0xc0, 2, 1, 0x40]), Ok(()), "a list may have one element");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let long = "x".repeat(300);
        let mut out = BytesMut::new();
        put_bool(&mut out, true);
        put_uint(&mut out, 7);
        put_int(&mut out, -7);
        put_long(&mut out, i64::MIN);
        put_timestamp(&mut out, 1_700_000_000_000);
        put_text(&mut out, "short");
        put_symbol(&mut out, &long);
        put_binary(&mut out, &[1, 2]);
        put_map(&mut out, 2, &[0x40, 0x41]);
        check(&out).unwrap();
        let mut rest = &out[..];
        let mut items = Vec::new();
        while !rest.is_empty() {
            items.push(next(&mut rest).unwrap());
        }
        let expected = [
            Item::Bool(true),
            Item::Unsigned(7),
            Item::Signed(-7),
            Item::Signed(i64::MIN),
            Item::Timestamp(1_700_000_000_000),
            Item::Text("short"),
            Item::Text(&long),
            Item::Binary(&[1, 2]),
            Item::Other,
        ];
        assert_eq!(items, expected);
    }

    #[test]
    fn every_prefix_of_a_value_is_short() {
        let mut inner = BytesMut::new();
        put_text(&mut inner, "key");
        put_list(&mut inner, 1, &[0x55, 0xff]);
        let value = encoded(|out| put_map(out, 2, &inner));
        assert_eq!(length_of(&value), Ok(value.len()));
        for end in 0..value.len() {
            assert!(length_of(&value[..end]).is_err(), "{end} of {} bytes", value.len());
        }
    }

    #[test]
    fn a_declared_length_beyond_the_bytes_is_refused() {
        assert_eq!(length_of(&[0xb0, 0xff, 0xff, 0xff, 0xff, 1]), Err(EncodingError::Short));
        assert_eq!(length_of(&[0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]), Err(EncodingError::Short));
        assert_eq!(length_of(&[0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]), Err(EncodingError::Short));
        assert_eq!(length_of(&[0xc0, 2, 1, 0x40, 0x40]), Ok(4));
        assert_eq!(length_of(&[0xc0, 3, 1, 0x40, 0x40]), Err(EncodingError::WrongLength));
    }

    #[test]
    fn an_array_of_elements_without_bytes_has_a_limit() {
        let array = |count: u32| {
            let mut bytes = vec![0xf0, 0, 0, 0, 5];
            bytes.extend(count.to_be_bytes());
            bytes.push(0x41);
            bytes
        };
        assert_eq!(length_of(&array(1_024)), Ok(10));
        assert_eq!(length_of(&array(u32::MAX)), Err(EncodingError::WrongLength));
    }

    #[test]
    fn nesting_has_a_limit() {
        let nest = |levels: usize| {
            let mut value = vec![0x40];
            for _ in 0..levels {
                value = encoded(|out| put_list(out, 1, &value)).to_vec();
            }
            value
        };
        assert!(length_of(&nest(DEPTH_MAX - 1)).is_ok());
        assert_eq!(length_of(&nest(DEPTH_MAX)), Err(EncodingError::TooDeep));
        assert_eq!(length_of(&vec![0x00; 1_000_000]), Err(EncodingError::TooDeep));
        let arrays = [0xe0, 0xff, 0x01].repeat(100_000);
        assert!(length_of(&arrays).is_err());
    }

    #[test]
    fn a_body_is_cut_off_however_deep_it_is() {
        let deep = [&[0x00, 0x44].repeat(500_000)[..], &[0x40]].concat();
        let descriptors = [vec![0x00; 500_000], vec![0x44; 500_001]].concat();
        for value in [&deep[..], &descriptors, &[0xc0, 3, 9, 9, 9], &[0xa1, 1, b'x'], &[0xd0, 0, 0, 0, 1, 9]] {
            let bytes = [value, &[0x41]].concat();
            let mut rest = &bytes[..];
            assert_eq!(cut(&mut rest), Ok(value));
            assert_eq!(rest, [0x41]);
            assert_eq!(cut(&mut &value[..value.len() - 1]), Err(EncodingError::Short));
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200_000 {
            let bytes: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            let _ = cut(&mut &bytes[..]);
            if check(&bytes).is_ok() {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let value = split(&mut rest).unwrap();
                    let _ = (read(value), described(value), elements(value), pairs(value));
                }
            }
        }
    }
}
