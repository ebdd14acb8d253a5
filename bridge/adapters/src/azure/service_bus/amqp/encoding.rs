//! AMQP 1.0 values as bytes (part 1, section 1.6): checked before a decoder sees them, or read where they lie.
//!
//! `serde_amqp` 0.18 descends as deep as values are nested, and computes with lengths that are only claimed; whoever may
//! send to a queue chooses both (found by `tests/fuzz`). Here nothing is recursive, nothing allocates by a claimed length,
//! and each byte is looked at once.

/// Levels that values of a frame may be nested. Ours: the clients and the service send six at most.
const LEVELS_MAX: usize = 64;

/// Elements of an array whose elements take no bytes. Ours: few bytes could stand for any number of them.
const EMPTY_ELEMENTS_MAX: usize = 1_024;

/// Why bytes are no values that a decoder may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("an AMQP value ends in the middle")]
    Short,
    #[error("0x{0:02x} is no AMQP type")]
    UnknownType(u8),
    #[error("AMQP values are nested more than {LEVELS_MAX} levels deep")]
    TooDeep,
    #[error("an AMQP value is longer or shorter than it says")]
    WrongLength,
    #[error("an AMQP descriptor is neither a symbol nor a number")]
    Descriptor,
    #[error("an AMQP map has a key without a value")]
    OddMap,
    #[error("an AMQP array has more than {EMPTY_ELEMENTS_MAX} elements without bytes")]
    EmptyElements,
    #[error("0x{0:02x} is not the AMQP type that belongs here")]
    Unexpected(u8),
}

type Result<T> = std::result::Result<T, Malformed>;

/// A compound value that is being looked into.
struct Level {
    /// Where its last byte is, plus one.
    end: usize,
    /// Values that are still to come.
    left: usize,
    /// The constructor that all of them share, in an array.
    each: Option<u8>,
    /// Values around its values.
    depth: usize,
}

/// Makes sure that `bytes` is a sequence of values that a decoder may see.
pub(crate) fn check(mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[checked(bytes)?..];
    }
    Ok(())
}

/// The length of the first value, which a decoder may see.
pub(crate) fn checked(bytes: &[u8]) -> Result<usize> {
    let mut at = 0;
    let mut open: Vec<Level> = Vec::new();
    loop {
        // A value begins here, or its content where its array has named the constructor.
        let mut depth = open.last().map_or(0, |level| level.depth) + 1;
        let code = match open.last().and_then(|level| level.each) {
            Some(code) => code,
            None => constructor(bytes, &mut at, &mut depth)?,
        };
        if depth > LEVELS_MAX {
            return Err(Malformed::TooDeep);
        }
        match compound(code, bytes, &mut at)? {
            None => at = end_of_content(code, bytes, at)?,
            Some((end, count)) => {
                if is_map(code) && !count.is_multiple_of(2) {
                    return Err(Malformed::OddMap);
                }
                let mut level = Level { end, left: count, each: None, depth };
                if is_array(code) && at < end {
                    let each = constructor(bytes, &mut at, &mut level.depth)?;
                    if each >> 4 == 0x4 && count > EMPTY_ELEMENTS_MAX {
                        return Err(Malformed::EmptyElements);
                    }
                    level.each = Some(each);
                }
                if level.left > 0 {
                    open.push(level);
                    continue;
                }
                if at != end {
                    return Err(Malformed::WrongLength);
                }
            }
        }
        // A value has ended here, and with it perhaps those around it.
        loop {
            let Some(level) = open.last_mut() else { return Ok(at) };
            level.left -= 1;
            if level.left > 0 {
                break;
            }
            if at != level.end {
                return Err(Malformed::WrongLength);
            }
            open.pop();
        }
    }
}

/// Reads past the constructor at `at`: the type's code, and one level for each descriptor before it.
fn constructor(bytes: &[u8], at: &mut usize, depth: &mut usize) -> Result<u8> {
    loop {
        let code = byte(bytes, at)?;
        if code != 0x00 {
            return Ok(code);
        }
        *depth += 1;
        if *depth > LEVELS_MAX {
            return Err(Malformed::TooDeep);
        }
        let descriptor = byte(bytes, at)?;
        // ulong in its three lengths, symbol in its two: all that a descriptor may be ("Described Format", 1.2).
        if !matches!(descriptor, 0x44 | 0x53 | 0x80 | 0xa3 | 0xb3) {
            return Err(Malformed::Descriptor);
        }
        *at = end_of_content(descriptor, bytes, *at)?;
    }
}

/// Where the content of a compound value ends, and how many values it says it has; none for any other type.
fn compound(code: u8, bytes: &[u8], at: &mut usize) -> Result<Option<(usize, usize)>> {
    if code < 0xc0 {
        return Ok(None);
    }
    let width = width(code);
    let length = number(bytes, at, width)?;
    let end = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(Malformed::Short)?;
    let count = number(&bytes[..end], at, width).map_err(|_| Malformed::WrongLength)?;
    Ok(Some((end, count)))
}

/// Where the content at `at` ends, of a value of the type `code`, whose inside is not looked at.
fn end_of_content(code: u8, bytes: &[u8], mut at: usize) -> Result<usize> {
    // The upper half of a type's code says how its length is told.
    let length = match code >> 4 {
        0x4 => 0,
        0x5 => 1,
        0x6 => 2,
        0x7 => 4,
        0x8 => 8,
        0x9 => 16,
        0xa..=0xf => number(bytes, &mut at, width(code))?,
        _ => return Err(Malformed::UnknownType(code)),
    };
    at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(Malformed::Short)
}

/// Bytes of the length of a value of variable length.
fn width(code: u8) -> usize {
    if (code >> 4).is_multiple_of(2) { 1 } else { 4 }
}

fn is_map(code: u8) -> bool {
    matches!(code, 0xc1 | 0xd1)
}

fn is_array(code: u8) -> bool {
    code >= 0xe0
}

fn byte(bytes: &[u8], at: &mut usize) -> Result<u8> {
    let byte = *bytes.get(*at).ok_or(Malformed::Short)?;
    *at += 1;
    Ok(byte)
}

fn number(bytes: &[u8], at: &mut usize, width: usize) -> Result<usize> {
    let number = bytes.get(*at..*at + width).ok_or(Malformed::Short)?;
    *at += width;
    Ok(number.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// Cuts the first value off, whatever is in it and however deep.
pub(crate) fn split<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    // A described value is three: the descriptor's own, which may be described too, and what it describes.
    let (mut at, mut left) = (0, 1_usize);
    while left > 0 {
        left -= 1;
        match byte(bytes, &mut at)? {
            0x00 => left += 2,
            code => at = end_of_content(code, bytes, at)?,
        }
    }
    let (value, rest) = bytes.split_at(at);
    *bytes = rest;
    Ok(value)
}

/// The descriptor of a value and the value that it describes; none of one that is not described.
pub(crate) fn described(value: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let mut rest = value.strip_prefix(&[0x00])?;
    let descriptor = split(&mut rest).ok()?;
    Some((item(descriptor), rest))
}

/// The values of a list, or the keys and values of a map in turn: each is cut off when it is asked for.
pub(crate) fn values(list_or_map: &[u8]) -> Result<impl Iterator<Item = Result<&[u8]>>> {
    let (&code, content) = list_or_map.split_first().ok_or(Malformed::Short)?;
    let mut rest = match code {
        0x45 => &[],
        0xc0 | 0xc1 | 0xd0 | 0xd1 => {
            let mut at = 0;
            let (end, _) = compound(code, content, &mut at)?.ok_or(Malformed::Unexpected(code))?;
            &content[at..end]
        }
        code => return Err(Malformed::Unexpected(code)),
    };
    // By the bytes that are there, and not by the count that is claimed.
    Ok(std::iter::from_fn(move || (!rest.is_empty()).then(|| split(&mut rest).inspect_err(|_| rest = &[]))))
}

/// The keys of a map with their values.
pub(crate) fn pairs(map: &[u8]) -> Result<impl Iterator<Item = Result<(&[u8], &[u8])>>> {
    let mut values = values(map)?;
    Ok(std::iter::from_fn(move || {
        let key = values.next()?;
        Some(key.and_then(|key| Ok((key, values.next().ok_or(Malformed::OddMap)??))))
    }))
}

/// One whole value, as far as it is looked into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f32),
    Double(f64),
    Char(char),
    /// Milliseconds since 1970.
    Timestamp(i64),
    Uuid([u8; 16]),
    Binary(&'a [u8]),
    Text(&'a str),
    Symbol(&'a str),
    /// A list, map, array, decimal or described value; or a text that is not UTF-8.
    Other,
}

/// Reads a value that was cut off.
pub(crate) fn item(value: &[u8]) -> Item<'_> {
    let Some((&code, content)) = value.split_first() else { return Item::Other };
    read(code, content).unwrap_or(Item::Other)
}

fn read(code: u8, content: &[u8]) -> Option<Item<'_>> {
    let variable = || {
        let mut at = 0;
        let length = number(content, &mut at, width(code)).ok()?;
        content.get(at..at.checked_add(length)?)
    };
    let text = || std::str::from_utf8(variable()?).ok();
    Some(match code {
        0x40 => Item::Null,
        0x41 => Item::Bool(true),
        0x42 => Item::Bool(false),
        0x56 => Item::Bool(*content.first()? != 0),
        0x43 | 0x44 => Item::Unsigned(0),
        0x50 | 0x52 | 0x53 => Item::Unsigned(u8::from_be_bytes(fixed(content)?).into()),
        0x60 => Item::Unsigned(u16::from_be_bytes(fixed(content)?).into()),
        0x70 => Item::Unsigned(u32::from_be_bytes(fixed(content)?).into()),
        0x80 => Item::Unsigned(u64::from_be_bytes(fixed(content)?)),
        0x51 | 0x54 | 0x55 => Item::Signed(i8::from_be_bytes(fixed(content)?).into()),
        0x61 => Item::Signed(i16::from_be_bytes(fixed(content)?).into()),
        0x71 => Item::Signed(i32::from_be_bytes(fixed(content)?).into()),
        0x81 => Item::Signed(i64::from_be_bytes(fixed(content)?)),
        0x72 => Item::Float(f32::from_be_bytes(fixed(content)?)),
        0x82 => Item::Double(f64::from_be_bytes(fixed(content)?)),
        0x73 => Item::Char(char::from_u32(u32::from_be_bytes(fixed(content)?))?),
        0x83 => Item::Timestamp(i64::from_be_bytes(fixed(content)?)),
        0x98 => Item::Uuid(fixed(content)?),
        0xa0 | 0xb0 => Item::Binary(variable()?),
        0xa1 | 0xb1 => Item::Text(text()?),
        0xa3 | 0xb3 => Item::Symbol(text()?),
        _ => return None,
    })
}

fn fixed<const N: usize>(content: &[u8]) -> Option<[u8; N]> {
    content.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&[u8]; 9] = [
        &[],
        &[0x40, 0x56, 1, 0xa1, 1, b'x'],
        &[0x00, 0x53, 0x70, 0xc0, 2, 1, 0x40],
        &[0x00, 0xa3, 1, b'd', 0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 0x45],
        &[0xc1, 3, 2, 0x40, 0x41],
        &[0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40],
        &[0xe0, 4, 2, 0x50, 7, 8],
        &[0xf0, 0, 0, 0, 9, 0, 0, 0, 2, 0x60, 0, 1, 0, 2],
        // An array of lists, each of an array that is empty: one with a constructor, one without.
        &[0xe0, 13, 2, 0xc0, 5, 1, 0xe0, 2, 0, 0x40, 4, 1, 0xe0, 1, 0],
    ];

    #[test]
    fn values_are_told_from_what_only_begins_like_one() {
        for good in GOOD {
            assert_eq!(check(good), Ok(()), "{good:02x?}");
        }
        for good in &GOOD[1..] {
            assert!(check(&good[..good.len() - 1]).is_err(), "cut off: {good:02x?}");
        }
        let bad: [(&[u8], Malformed); 13] = [
            (&[0x00], Malformed::Short),
            (&[0x00, 0x53, 0x73], Malformed::Short),
            (&[0x00, 0x53, 0x73, 0xd0, 255, 255, 255, 255, 255, 255, 255, 255, 0x40], Malformed::Short),
            (&[0xc1, 0], Malformed::WrongLength),
            (&[0xc1, 2, 1, 0x40], Malformed::OddMap),
            (&[0xc0, 3, 1, 0x40, 0x40], Malformed::WrongLength),
            (&[0xc0, 2, 2, 0x40, 0x40], Malformed::WrongLength),
            (&[0xc0, 4, 1, 0xa1, 4, b'x', 0x40, 0x40, 0x40], Malformed::WrongLength),
            (&[0xf0, 0, 0, 0, 5, 255, 255, 255, 255, 0x40], Malformed::EmptyElements),
            (&[0xe0, 3, 0, 0x40, 0x40], Malformed::WrongLength),
            (&[0x30], Malformed::UnknownType(0x30)),
            (&[0x00, 0x40, 0x40], Malformed::Descriptor),
            (&[0x00, 0x00, 0x44, 0x44, 0x40], Malformed::Descriptor),
        ];
        for (bad, why) in bad {
            assert_eq!(check(bad), Err(why), "{bad:02x?}");
        }
    }

    /// A value nested so many levels deep, in each of the ways.
    fn nested(levels: usize) -> [Vec<u8>; 4] {
        let around = |before: &dyn Fn(usize) -> Vec<u8>| {
            let mut value = vec![0x40];
            for _ in 1..levels {
                value = [before(value.len()), value].concat();
            }
            value
        };
        let sized = |code: u8, length: usize, more: &[u8]| {
            let length = u32::try_from(length + 4 + more.len()).unwrap().to_be_bytes();
            [&[code][..], &length, &[0, 0, 0, if code == 0xd1 { 2 } else { 1 }], more].concat()
        };
        let mut arrays = vec![0xf0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40];
        for _ in 2..levels.max(2) {
            let inner = arrays.split_off(1);
            let length = u32::try_from(inner.len() + 5).unwrap().to_be_bytes();
            arrays = [&[0xf0][..], &length, &[0, 0, 0, 1, 0xf0], &inner].concat();
        }
        [
            around(&|_| vec![0x00, 0x44]),
            around(&|length| sized(0xd0, length, &[])),
            around(&|length| sized(0xd1, length, &[0x40])),
            arrays,
        ]
    }

    #[test]
    fn every_way_to_nest_has_the_same_bound() {
        for value in nested(LEVELS_MAX) {
            assert_eq!(check(&value), Ok(()), "{:02x?}", &value[..4]);
        }
        for value in nested(LEVELS_MAX + 1) {
            assert_eq!(check(&value), Err(Malformed::TooDeep), "{:02x?}", &value[..4]);
        }
    }

    /// Whoever may send to a queue can send this; a decoder with recursion would need a stack frame for each level.
    #[test]
    fn a_megabyte_of_levels_takes_no_stack() {
        let levels = [&[0x00, 0x44].repeat(512 * 1024)[..], &[0x40]].concat();
        let descriptors = [vec![0x00; 512 * 1024], vec![0x44; 512 * 1024 + 1]].concat();
        let lists = nested(20_000)[1].clone();
        let look = move || {
            for value in [&levels, &descriptors, &lists] {
                assert!(check(value).is_err());
                let mut rest = &value[..];
                assert_eq!(split(&mut rest).map(<[u8]>::len), Ok(value.len()));
                assert_eq!(item(value), Item::Other);
            }
        };
        std::thread::Builder::new().stack_size(64 * 1024).spawn(look).unwrap().join().unwrap();
    }

    #[test]
    fn values_are_cut_off_and_read() {
        let list = [0xc0, 7, 3, 0x54, 0xff, 0x00, 0x53, 1, 0x40, 0x42];
        assert!(values(&list).is_ok(), "one byte more than it says");
        let list = [0xc0, 8, 3, 0x54, 0xff, 0x00, 0x53, 1, 0x40, 0x42];
        let read: Vec<_> = values(&list).unwrap().map(|value| item(value.unwrap())).collect();
        assert_eq!(read, [Item::Signed(-1), Item::Other, Item::Bool(false)]);
        assert_eq!(described(&list[5..9]), Some((Item::Unsigned(1), &[0x40][..])));
        let map = [0xc1, 8, 2, 0xa3, 1, b'k', 0xa1, 2, 0xc3, 0xbc];
        let read: Vec<_> = pairs(&map).unwrap().map(|pair| pair.map(|(key, value)| (item(key), item(value)))).collect();
        assert_eq!(read, [Ok((Item::Symbol("k"), Item::Text("ü")))]);
        let odd = [0xc1, 2, 1, 0x40];
        assert_eq!(pairs(&odd).unwrap().collect::<Vec<_>>(), [Err(Malformed::OddMap)]);
        assert!(values(&[0x40]).is_err());
        for short in [&[0xa1, 5, b'x'][..], &[0x83, 1], &[0xa1, 1, 0xff], &[]] {
            assert_eq!(item(short), Item::Other);
        }
    }
}
