//! Every size and count that a cloud sets or that we set: unit, number, source.
//!
//! Vendor pages were read in 2026-11. KiB and MiB are powers of two, as the vendors mean them.

use std::time::Duration;

/// Bytes of a site's name, `cloud:region`. Ours: it gives the version its fixed width; the longest region name today,
/// `azure:germanywestcentral`, has 24.
pub const SITE_ID_BYTES_MAX: usize = 32;

/// Bytes of a key, once escaped as a Cosmos DB `id`. Cosmos DB "service quotas and default limits": 1,023 bytes.
/// DynamoDB's partition key takes 2,048 and so never decides.
pub const KEY_BYTES_MAX: usize = 1_023;

/// Bytes of a record as DynamoDB counts an item. "Quotas in Amazon DynamoDB": an item has at most 400 KB, names
/// included. Cosmos DB takes 2 MB. We stay 1 KiB below, because the count of a number's bytes is documented as
/// approximate.
pub const RECORD_BYTES_MAX: usize = 400 * 1024 - 1024;

/// Levels of objects and arrays in a payload, the payload being the first. "Quotas in Amazon DynamoDB": attributes
/// nest up to 32 levels, and the payload is itself an attribute. Cosmos DB takes 128.
pub const PAYLOAD_LEVELS_MAX: usize = 31;

/// Bytes of a member's name. "Supported data types and naming rules in Amazon DynamoDB": attribute names have at least
/// one character and at most 64 KB less one byte.
pub const MEMBER_NAME_BYTES: std::ops::RangeInclusive<usize> = 1..=65_535;

/// The magnitudes that a number may have. "DynamoDB data types": 1E-130 to 9.9999999999999999999999999999999999999E+125.
pub const NUMBER_MAGNITUDE: std::ops::Range<f64> = 1e-130..1e126;

/// Bytes of an event before it is looked at. No queue that the bridge serves carries more: SQS takes 1 MiB ("Amazon
/// SQS message quotas"), so a longer one could never reach every site.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a queue's message limit must leave beside the body, for the properties of a forwarded event and of a
/// dead letter. Ours: reason, detail, source and the rest of a letter come to less than half of it.
pub const PROPERTIES_BYTES: usize = 4 * 1024;

/// Properties of one message. "Amazon SQS message quotas": 10 attributes.
pub const PROPERTIES_MAX: usize = 10;

/// Bytes of a `tracestate` that are passed on. W3C Trace Context, section 3.3.1.1: at least 512 should be.
pub const TRACESTATE_BYTES_MAX: usize = 512;

/// Characters of a dead letter's detail. Ours, so that a letter keeps within [`PROPERTIES_BYTES`].
pub const DETAIL_CHARS_MAX: usize = 512;

/// Digits after the second's point in a timestamp: nanoseconds, the finest that the version orders by.
pub const FRACTION_DIGITS_MAX: usize = 9;

/// How long a tombstone lives unless configured: queue retention (14 days, the most that SQS keeps a message) +
/// dead-letter retention (14 days) + a week for an operator to act.
pub const TOMBSTONE_LIFE: Duration = Duration::from_hours(35 * 24);

/// Conflicts that a site's ledger keeps. Ours: a page of them, and as many small reads to list.
pub const CONFLICTS_KEPT: usize = 64;

/// Letters of one queue whose reasons are read for a look at the lag. Ours: SQS hides what it shows, so a look takes no
/// more of them than it must; the rest is told as not read.
pub const REASONS_READ_MAX: usize = 1_000;

/// The longest wait that a service's own hint is followed for. "Amazon SQS message quotas", "message visibility timeout": no
/// message can be held back for longer; and a hint of some million years, added to any time, would be no time at all.
pub const RETRY_HINT_MAX: Duration = Duration::from_hours(12);
