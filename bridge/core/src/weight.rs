//! How much memory JSON takes once it is read, told from its bytes before that.
//!
//! JSON of many small values takes a hundred times its bytes: `[{"a":0},{"a":0}]` is a map for every eight bytes. What takes
//! more than any legal event is refused unread, and a batch is worked on in portions whose events fit into a bound together.

use std::ops::Range;

use crate::port::Delivery;

/// Bytes that the events of one portion may take. Ours: some ten thousand events of 1 KB, and one of the heaviest.
pub const PORTION_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes that a value takes beside its text, seen with `serde_json` 1 on 64 bits: an object has a node for eleven members, an
/// array room for four items, an item 32 bytes, and twice that while its array grows.
const OBJECT: usize = 672;
const ARRAY: usize = 144;
const ITEM: usize = 64;

/// Bytes that the JSON in `body` takes once it is read, whatever it is. What stands in strings is text.
pub fn weight(body: &[u8]) -> usize {
    let (mut sum, mut at) = (body.len(), 0);
    // Whether an object has just begun; it takes memory from its first member on.
    let mut begun = false;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => {
                sum += if begun { OBJECT } else { 0 };
                begun = false;
                while let Some(&within) = body.get(at) {
                    at += if within == b'\\' { 2 } else { 1 };
                    if within == b'"' {
                        break;
                    }
                }
            }
            b'{' => begun = true,
            b' ' | b'\t' | b'\n' | b'\r' => {}
            other => {
                begun = false;
                sum += match other {
                    b'[' => ARRAY,
                    b',' => ITEM,
                    _ => 0,
                };
            }
        }
    }
    sum
}

/// Cuts a batch into portions, in its order: as many deliveries each as fit together, and at least one.
pub fn portions(batch: &[Delivery], bytes_max: usize) -> impl Iterator<Item = Range<usize>> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        let (mut end, mut sum) = (begin, 0);
        while let Some(delivery) = batch.get(end) {
            sum += weight(&delivery.body);
            if end > begin && sum > bytes_max {
                break;
            }
            end += 1;
        }
        let portion = begin..end;
        begin = end;
        (!portion.is_empty()).then_some(portion)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        limits,
        port::{Properties, Receipt},
    };

    fn batch(bodies: &[&str]) -> Vec<Delivery> {
        let delivery = |body: &&str| Delivery {
            receipt: Receipt(String::new()),
            message_id: String::new(),
            attempt: 1,
            first_seen: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
            properties: Properties::new(),
        };
        bodies.iter().map(delivery).collect()
    }

    #[test]
    fn small_values_weigh_what_they_take() {
        assert_eq!(weight(b"abc"), 3);
        assert_eq!(weight(br#"{"a":"{[,\"{[,"}"#), 16 + OBJECT);
        assert_eq!(weight(b"[{}, { }]"), 9 + ARRAY + ITEM, "an empty object takes nothing");
        assert_eq!(weight(br#"["{"#), 3 + ARRAY, "a string without an end");
        assert_eq!(weight(br#""a\"#), 3);
        let objects = format!("[{}]", vec![r#"{"a":0}"#; 50_000].join(","));
        assert!((35_000_000..45_000_000).contains(&weight(objects.as_bytes())), "{}", weight(objects.as_bytes()));
    }

    /// By what DynamoDB counts for the least of each: an object within an object five bytes, one in an array seven.
    #[test]
    fn no_legal_event_is_too_heavy() {
        let record = limits::RECORD_BYTES_MAX;
        let towers =
            format!("[{}]", vec![format!("{}0{}", "{\"a\":".repeat(28), "}".repeat(28)); record / 142].join(","));
        let objects = format!("[{}]", vec!["{\"a\":null}"; record / 7].join(","));
        let empty = format!("[{}]", vec!["{}"; record / 4].join(","));
        for heaviest in [towers, objects, empty, "{".repeat(limits::EVENT_BYTES_MAX / 2)] {
            let weight = weight(heaviest.as_bytes());
            assert!(weight < limits::EVENT_WEIGHT_MAX, "{weight}");
        }
        let more = format!("[{}]", vec!["{\"a\":0}"; limits::EVENT_BYTES_MAX / 8].join(","));
        assert!(weight(more.as_bytes()) > limits::EVENT_WEIGHT_MAX);
    }

    #[test]
    fn a_portion_has_as_many_as_fit_and_at_least_one() {
        let cut = |bodies: &[&str], max: usize| {
            portions(&batch(bodies), max).map(|one| (one.start, one.end)).collect::<Vec<_>>()
        };
        assert_eq!(cut(&[], 10), []);
        assert_eq!(cut(&["aaaa", "bbbb", "cc"], 10), [(0, 3)]);
        assert_eq!(cut(&["aaaa", "bbbb", "cc", "dddd", "eeeeeeee"], 10), [(0, 3), (3, 4), (4, 5)]);
        assert_eq!(
            cut(&["a", "bbbbbbbbbbbbbbbb", "c", "d"], 10),
            [(0, 1), (1, 2), (2, 4)],
            "one too large for any is alone"
        );
    }
}
