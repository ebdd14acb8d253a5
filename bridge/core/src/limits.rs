//! Every size and count that a cloud sets or that we set: unit, number, source.
//!
//! Vendor pages were read in 2026-11. KiB and MiB are powers of two, as the vendors mean them.

use std::{ops::RangeInclusive, time::Duration};

/// Bytes of a site's name, `cloud:region`. Ours: it gives the version its fixed width; the longest region name today,
/// `azure:germanywestcentral`, has 24.
pub const SITE_ID_BYTES_MAX: usize = 32;

/// Bytes of a key, once escaped as a Cosmos DB `id`. Cosmos DB "service quotas and default limits": 1,023 bytes.
/// DynamoDB's partition key takes 2,048 and so never decides.
pub const KEY_BYTES_MAX: usize = 1_023;

/// Bytes of an item of DynamoDB at most. "Quotas in Amazon DynamoDB", "Item size", read 2026-11: 400 KB, names included.
pub const ITEM_BYTES_MAX: u64 = 400 * 1024;

/// Bytes of a record as DynamoDB counts an item. Cosmos DB takes 2 MB. We stay 1 KiB below [`ITEM_BYTES_MAX`], because the count of a
/// number's bytes is documented as approximate.
pub const RECORD_BYTES_MAX: usize = 400 * 1024 - 1024;

/// Levels of objects and arrays in a payload, the payload being the first. "Quotas in Amazon DynamoDB": attributes
/// nest up to 32 levels, and the payload is itself an attribute. Cosmos DB takes 128.
pub const PAYLOAD_LEVELS_MAX: usize = 31;

/// Bytes of a member's name. "Supported data types and naming rules in Amazon DynamoDB": attribute names have at least
/// one character and at most 64 KB less one byte.
pub const MEMBER_NAME_BYTES: RangeInclusive<usize> = 1..=65_535;

/// The magnitudes that a number may have. "DynamoDB data types": 1E-130 to 9.9999999999999999999999999999999999999E+125.
pub const NUMBER_MAGNITUDE: std::ops::Range<f64> = 1e-130..1e126;

/// Bytes of an event before it is looked at. No queue that the bridge serves carries more: SQS takes 1 MiB ("Amazon
/// SQS message quotas"), so a longer one could never reach every site.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a queue's message limit must leave beside the body, for the properties of a forwarded event and of a
/// dead letter. Ours: reason, detail, source and the rest of a letter come to less than half of it; what a message came with gets the other
/// half.
pub const PROPERTIES_BYTES: usize = 4 * 1024;

/// Bytes that a property takes beside its name and its value. SQS counts its type, `String`, which is 6 ("Amazon SQS message metadata", read
/// 2026-11); AMQP a code and a length for each of the two, which is 10 at most (AMQP 1.0, part 1, section 1.6).
pub const PROPERTY_OVERHEAD_BYTES: usize = 10;

/// Properties of one message. "Amazon SQS message quotas": 10 attributes.
pub const PROPERTIES_MAX: usize = 10;

/// Bytes of a `tracestate` that are passed on. W3C Trace Context, section 3.3.1: at least 512 should be.
pub const TRACESTATE_BYTES_MAX: usize = 512;

/// Members of a `tracestate`. W3C Trace Context, section 3.3.1: at most 32.
pub const TRACESTATE_MEMBERS_MAX: usize = 32;

/// Characters and bytes of a dead letter's detail. Ours, so that a letter keeps within [`PROPERTIES_BYTES`].
pub const DETAIL_CHARS_MAX: usize = 512;
/// See [`DETAIL_CHARS_MAX`].
pub const DETAIL_BYTES_MAX: usize = 1024;

/// Characters and bytes of the detail of a letter whose queue refused it with a longer one. Ours: a sentence's beginning.
pub const DETAIL_SHORT: usize = 64;

/// Characters and bytes of a queue's name in a letter. Ours: an adapter's word and the longest name of Service Bus, 260 characters ("Service Bus
/// quotas", read 2026-11).
pub const SOURCE_QUEUE_MAX: usize = 300;

/// Bytes of a body that an excerpt shows. Ours: enough to find its producer by.
pub const EXCERPT_BYTES: usize = 1024;

/// Messages that a worker remembers to have sent an excerpt of. Ours: such a message is a rare one.
pub const EXCERPTS_KNOWN: usize = 256;

/// Digits after the second's point in a timestamp: nanoseconds, the finest that the version orders by.
pub const FRACTION_DIGITS_MAX: usize = 9;

/// How long a queue keeps a message at most: "Amazon SQS message quotas", message retention. Service Bus can keep it for longer,
/// and `bridge doctor` finds where it does.
pub const RETENTION_MAX: Duration = Duration::from_hours(14 * 24);

/// How long a tombstone lives unless configured. The oldest event that can still arrive has waited in its origin's queue, in a
/// peer's queue and among the dead letters, [`RETENTION_MAX`] each: 42 days. An operator has two weeks more to act. The rest
/// covers [`AGE_MARGIN`].
pub const TOMBSTONE_LIFE: Duration = Duration::from_hours(60 * 24);

/// By how much a tombstone outlives the oldest event that a site takes. Ours: the event is judged by one clock and the tombstone
/// expires by another, and a write that was judged in time may come late. Both are a matter of minutes; a day is safe.
pub const AGE_MARGIN: Duration = Duration::from_hours(24);

/// How old an event may be where tombstones live so long: [`AGE_MARGIN`] less.
pub fn age_max(tombstone_life: Duration) -> Duration {
    tombstone_life.saturating_sub(AGE_MARGIN)
}

/// How far ahead of any site's clock an event may be stamped unless configured. Ours: far above every honest clock, so that
/// sites agree on an event that its origin let through; and low enough that a key is not frozen for long.
pub const FUTURE_MAX: Duration = Duration::from_hours(1);

/// How far ahead of its origin's clock an event may be stamped unless configured. Ours: machines that are synchronised stay within
/// a fraction of a second; a minute is for those that are not.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(1);

/// Keys that a store refuses one after the other, without taking one between, before the store counts as what is wrong.
/// Ours: a producer's mistake may spoil some, and more letters than this nobody wants for one mistake in a table.
pub const REFUSED_KEYS_MAX: usize = 10;

/// Conflicts that a site's ledger keeps. Ours: a page of them, and as many small reads to list.
pub const CONFLICTS_KEPT: usize = 64;

/// Letters of one queue whose reasons are read for a look at the lag. Ours: SQS hides what it shows, so a look takes no
/// more of them than it must; the rest is told as not read.
pub const REASONS_READ_MAX: usize = 1_000;

/// The longest wait that a service's own hint is followed for. "Amazon SQS message quotas", "message visibility timeout": a message can be
/// hidden for 12 hours, which SQS counts from the receive, and a function may have worked for 15 minutes since. A hint of some million years,
/// added to any time, would be no time at all.
pub const RETRY_HINT_MAX: Duration = Duration::from_hours(11);

/// How long one call of a worker on a queue or a store may take, with the adapter's own tries and portions; a receive may wait besides.
/// Ours: several times what the SDKs' own bounds come to, so it ends what would hang for ever and nothing else.
pub const CALL_MAX: Duration = Duration::from_mins(1);

/// How long a message is hidden, at least and at most, with which nothing can be done for now: [`retry::far`](crate::retry::far). Ours, the
/// least: an operator's mend takes longer.
pub const FAR: RangeInclusive<Duration> = Duration::from_secs(30)..=RETRY_HINT_MAX;

/// How long a function hides a message whose store is away, at least and at most: [`retry::patient`](crate::retry::patient). Ours: a second costs a
/// short outage little, and five minutes cost a long one few invocations.
pub const PATIENT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(5);

/// Deliveries after which a broker may set a message of a function aside by itself, at least. A message that waits for its store for two weeks is
/// delivered some 500 times ([`retry::patient`](crate::retry::patient)).
pub const DELIVERIES_MIN: u32 = 600;

/// How long a message waits for a store that is away unless configured. "Amazon SQS message quotas": a queue keeps messages for 4 days unless told
/// otherwise. Half a day is left for a letter.
pub const STORE_WAIT_MAX: Duration = Duration::from_hours(84);

/// How long a message is hidden at most that a function did not reach. Ours: of a thousand, each waits for its turn; an idle function is soon
/// back at it.
pub const UNREACHED_MAX: Duration = Duration::from_mins(15);
