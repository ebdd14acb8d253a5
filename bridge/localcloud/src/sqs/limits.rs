//! Every size, count and time that SQS documents, with its source.
//!
//! Sources are the pages "Amazon SQS standard queue quotas" and "Amazon SQS message quotas" of the developer guide and
//! the API reference (API version 2012-11-05), read 2026-11, unless a line says otherwise. Nothing here is tunable: a
//! limit of one's own would make a passing test worth nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Greatest sum of the message sizes of one batch, and the greatest size of one message; in bytes of body and
/// attributes.
pub(super) const MESSAGE_BYTES_MAX: usize = 1_048_576;

/// Greatest HTTP body that is read. JSON may spell one byte of a message in six (`\u0022`), so a legal batch stays
/// below this.
pub(super) const REQUEST_BYTES_MAX: usize = 8 * MESSAGE_BYTES_MAX;

pub(super) const BATCH_ENTRIES_MAX: usize = 10;
pub(super) const BATCH_ID_CHARACTERS_MAX: usize = 80;

pub(super) const QUEUE_NAME_CHARACTERS_MAX: usize = 80;
pub(super) const FIFO_SUFFIX: &str = ".fifo";

/// Queues in one answer of `ListQueues` and `ListDeadLetterSourceQueues`.
pub(super) const LISTED_QUEUES: RangeInclusive<i64> = 1..=1_000;

pub(super) const RECEIVED_MESSAGES: RangeInclusive<i64> = 1..=10;
pub(super) const WAIT_SECONDS: RangeInclusive<i64> = 0..=20;
pub(super) const DELAY_SECONDS: RangeInclusive<i64> = 0..=900;
pub(super) const VISIBILITY_SECONDS: RangeInclusive<i64> = 0..=43_200;
pub(super) const RETENTION_SECONDS: RangeInclusive<i64> = 60..=1_209_600;
pub(super) const MAXIMUM_MESSAGE_SIZE: RangeInclusive<i64> = 1_024..=1_048_576;
pub(super) const KMS_REUSE_SECONDS: RangeInclusive<i64> = 60..=86_400;
pub(super) const MAX_RECEIVE_COUNT: RangeInclusive<i64> = 1..=1_000;

/// Messages of one queue that are received and not yet deleted.
pub(super) const IN_FLIGHT_MAX: usize = 120_000;

/// A message can be hidden for this long after its receipt in all, and a receipt handle is good for as long.
pub(super) const VISIBILITY_MAX: Duration = Duration::from_hours(12);

/// "Using the message deduplication ID": five minutes, also for `ReceiveRequestAttemptId`.
pub(super) const DEDUPLICATION_INTERVAL: Duration = Duration::from_mins(5);

/// `MessageDeduplicationId`, `MessageGroupId` and `ReceiveRequestAttemptId`, in characters.
pub(super) const TOKEN_CHARACTERS_MAX: usize = 128;

pub(super) const MESSAGE_ATTRIBUTES_MAX: usize = 10;
/// For the name and, apart from it, for the type of a message attribute; in characters.
pub(super) const ATTRIBUTE_NAME_CHARACTERS_MAX: usize = 256;

/// Between two `PurgeQueue` calls on a queue, and from deleting a queue to creating one of the same name.
pub(super) const QUEUE_COOL_DOWN: Duration = Duration::from_mins(1);

/// Messages a second of a message move task, which also is what a task without a rate of its own gets here.
pub(super) const MOVED_PER_SECOND: RangeInclusive<i64> = 1..=500;
/// Move tasks that a queue remembers and lists.
pub(super) const MOVE_TASKS: RangeInclusive<i64> = 1..=10;

pub(super) const TAGS_MAX: usize = 50;
pub(super) const TAG_KEY_CHARACTERS_MAX: usize = 128;
pub(super) const TAG_VALUE_CHARACTERS_MAX: usize = 256;

/// Queues that one `RedriveAllowPolicy` can name.
pub(super) const REDRIVE_SOURCES_MAX: usize = 10;

/// Messages that one receive sets aside as dead letters at most: it keeps a single call short whatever the backlog, and
/// the next call goes on.
pub(super) const DEAD_LETTERS_PER_RECEIVE: usize = 1_000;
