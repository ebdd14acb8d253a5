//! How much of a batch is worked on at once. An event takes some times its bytes while it is: its payload, the request to its store,
//! the answer. So bytes are bounded, and not messages alone.

use std::ops::Range;

use crate::port::Delivery;

/// Bytes of the bodies of one portion. Ours: some thousand events of 1 KB, or one of the largest. An event takes up to twelve
/// times its bytes (`docs/decisions/0016-payload-as-text.md`), and a Lambda function of 128 MB, which works on two portions at a time, has
/// some 50 MB for them.
pub const PORTION_BYTES_MAX: usize = 1024 * 1024;

/// Cuts a batch into portions, in its order: as many deliveries each as fit together, and at least one.
pub fn portions(batch: &[Delivery], bytes_max: usize) -> impl Iterator<Item = Range<usize>> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        let (mut end, mut sum) = (begin, 0);
        while let Some(delivery) = batch.get(end) {
            sum += delivery.body.len();
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
    use crate::port::{Properties, Receipt};

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
