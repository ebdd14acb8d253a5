//! Whether bytes are AMQP values, before a decoder with recursion and arithmetic of its own sees them: `serde_amqp` subtracts and adds
//! what a length only says (0.18; found by `tests/fuzz`). AMQP 1.0, part 1, section 1.6.

/// Levels that values may be nested. Ours: no message of the clients has more than six.
const LEVELS_MAX: usize = 64;

/// Elements of an array whose elements take no bytes. Ours: few bytes could stand for any number of them.
const EMPTY_ELEMENTS_MAX: usize = 1_024;

/// The descriptors of a message's body, as they are written: data, sequence, value. AMQP 1.0, part 3, section 3.2.
const BODIES: [[u8; 3]; 3] = [[0x00, 0x53, 0x75], [0x00, 0x53, 0x76], [0x00, 0x53, 0x77]];

/// How much of a value is looked at.
#[derive(Clone, Copy)]
enum Look {
    /// All that it holds, so many levels down.
    Inside { levels: usize },
    /// Its length: a body stays encoded, however deep it is nested.
    Outside { levels: usize },
}

impl Look {
    /// One level further down.
    fn deeper(self) -> Option<Self> {
        Some(match self {
            Self::Inside { levels } => Self::Inside { levels: levels.checked_sub(1)? },
            Self::Outside { levels } => Self::Outside { levels: levels.checked_sub(1)? },
        })
    }
}

/// Whether `bytes` is a sequence of whole values.
pub(super) fn well_formed(bytes: &[u8]) -> bool {
    all(bytes, |_| Look::Inside { levels: LEVELS_MAX })
}

/// Whether `bytes` is a message, as far as it is decoded: its body is not.
pub(super) fn well_formed_message(bytes: &[u8]) -> bool {
    let levels = LEVELS_MAX;
    let is_body = |section: &[u8]| BODIES.iter().any(|body| section.starts_with(body));
    all(bytes, |section| if is_body(section) { Look::Outside { levels } } else { Look::Inside { levels } })
}

fn all(mut bytes: &[u8], look: impl Fn(&[u8]) -> Look) -> bool {
    while !bytes.is_empty() {
        let Some(rest) = behind_value(bytes, look(bytes)) else { return false };
        bytes = rest;
    }
    true
}

/// What stands behind the first value.
fn behind_value(bytes: &[u8], look: Look) -> Option<&[u8]> {
    let look = look.deeper()?;
    match bytes.split_first()? {
        (0x00, described) => behind_value(behind_value(described, look)?, look),
        (code, content) => behind_content(*code, content, look),
    }
}

/// What stands behind the content of a value of the type `code`.
fn behind_content(code: u8, content: &[u8], look: Look) -> Option<&[u8]> {
    // The upper half of a type's code says how its length is told.
    match code >> 4 {
        0x4 => Some(content),
        0x5 => content.get(1..),
        0x6 => content.get(2..),
        0x7 => content.get(4..),
        0x8 => content.get(8..),
        0x9 => content.get(16..),
        0xa => taken(1, content).map(|(_, rest)| rest),
        0xb => taken(4, content).map(|(_, rest)| rest),
        wide @ (0xc..=0xf) => {
            let width = if wide % 2 == 0 { 1 } else { 4 };
            let (body, rest) = taken(width, content)?;
            let (count, elements) = number(width, body)?;
            if let Look::Outside { .. } = look {
                return Some(rest);
            }
            let whole = if wide < 0xe { items(code, count, elements, look) } else { array(count, elements, look) };
            whole?.is_empty().then_some(rest)
        }
        _ => None,
    }
}

/// What stands behind the elements of a list, or the keys and values of a map.
fn items(code: u8, count: usize, mut elements: &[u8], look: Look) -> Option<&[u8]> {
    if code & 1 == 1 && !count.is_multiple_of(2) {
        return None;
    }
    for _ in 0..count {
        elements = behind_value(elements, look)?;
    }
    Some(elements)
}

/// What stands behind the elements of an array, before which one constructor stands for all.
fn array(count: usize, mut elements: &[u8], look: Look) -> Option<&[u8]> {
    let look = look.deeper()?;
    while elements.first() == Some(&0x00) {
        elements = behind_value(&elements[1..], look)?;
    }
    let (&code, mut elements) = elements.split_first()?;
    if code >> 4 == 0x4 && count > EMPTY_ELEMENTS_MAX {
        return None;
    }
    for _ in 0..count {
        elements = behind_content(code, elements, look)?;
    }
    Some(elements)
}

/// Cuts off as many bytes as a length of `width` bytes says.
fn taken(width: usize, content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(width, content)?;
    rest.split_at_checked(length)
}

fn number(width: usize, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_at_checked(width)?;
    Some((number.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_from_what_only_begins_like_one() {
        let good: [&[u8]; 7] = [
            &[],
            &[0x40, 0x56, 1, 0xa1, 1, b'x'],
            &[0x00, 0x53, 0x70, 0xc0, 2, 1, 0x40],
            &[0xc1, 3, 2, 0x40, 0x41],
            &[0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40],
            &[0xe0, 4, 2, 0x50, 7, 8],
            &[0xf0, 0, 0, 0, 9, 0, 0, 0, 2, 0x60, 0, 1, 0, 2],
        ];
        let bad: [&[u8]; 8] = [
            &[0x00],
            &[0x00, 0x53, 0x73, 0xd0, 255, 255, 255, 255, 255, 255, 255, 255, 0x40],
            &[0xc1, 0],
            &[0xc1, 2, 1, 0x40],
            &[0xc0, 3, 1, 0x40, 0x40],
            &[0xf0, 0, 0, 0, 5, 255, 255, 255, 255, 0x40],
            &[0x30],
            &[0x00; 1_000],
        ];
        assert!(good.into_iter().all(well_formed));
        assert!(!bad.into_iter().any(well_formed));
        let nested =
            |code| [&[0x00, 0x53, code][..], &[0x00, 0x53, 0x00].repeat(20), &[0xc0, 4, 1, 0xc1, 1, 9]].concat();
        assert!(well_formed_message(&nested(0x77)) && !well_formed(&nested(0x77)), "a body is not looked into");
        assert!(!well_formed_message(&nested(0x72)));
        assert!(good[1..].iter().all(|value| !well_formed(&value[..value.len() - 1])), "cut off");
    }
}
