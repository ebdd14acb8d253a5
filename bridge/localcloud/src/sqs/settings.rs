//! A queue's attributes: defaults, what values they take, and how they are shown.
//!
//! A change is checked as a whole before any of it counts. What concerns other queues (does the dead-letter queue
//! exist, may it be used) is checked by the caller, who can see them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::limits;
use super::protocol::{Code, SqsError};
use super::redrive::{Redrive, RedriveAllow};

/// Attributes that say how a queue is, not how it should be.
const READ_ONLY: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

const SETTABLE: [&str; 15] = [
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "Policy",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
];

/// Whether the service knows an attribute of this name.
pub(super) fn is_known(name: &str) -> bool {
    READ_ONLY.contains(&name) || SETTABLE.contains(&name)
}

pub(super) fn unknown(name: &str) -> SqsError {
    SqsError::new(Code::InvalidAttributeName, format!("Unknown Attribute {name}."))
}

/// How a queue should be.
///
/// # Source
/// Defaults: API reference, `CreateQueue`, read 2026-11.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) delay: Duration,
    pub(super) maximum_message_bytes: usize,
    pub(super) retention: Duration,
    pub(super) wait: Duration,
    pub(super) visibility: Duration,
    pub(super) policy: Option<Value>,
    pub(super) redrive: Option<Redrive>,
    pub(super) redrive_allow: Option<RedriveAllow>,
    pub(super) fifo: Option<Fifo>,
    encryption: Encryption,
}

/// Kept and shown; nothing is encrypted here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Encryption {
    managed: bool,
    kms_key: Option<String>,
    kms_reuse_seconds: Option<i64>,
}

/// What only FIFO queues have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fifo {
    pub(super) content_based_deduplication: bool,
    /// Deduplication ids count within their group only.
    pub(super) deduplication_per_group: bool,
    /// Kept and shown: there is no throughput quota here.
    throughput_per_group: bool,
}

impl Settings {
    fn new(fifo: bool) -> Self {
        let fifo = fifo.then_some(Fifo {
            content_based_deduplication: false,
            deduplication_per_group: false,
            throughput_per_group: false,
        });
        Self {
            delay: Duration::ZERO,
            maximum_message_bytes: limits::MESSAGE_BYTES_MAX,
            retention: Duration::from_hours(96),
            wait: Duration::ZERO,
            visibility: Duration::from_secs(30),
            policy: None,
            redrive: None,
            redrive_allow: None,
            fifo,
            encryption: Encryption { managed: true, kms_key: None, kms_reuse_seconds: None },
        }
    }

    /// The settings of a new queue.
    pub(super) fn create(name: &str, attributes: &BTreeMap<String, String>) -> Result<Self, SqsError> {
        let fifo = attributes.get("FifoQueue").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        check_queue_name(name, fifo)?;
        let mut settings = Self::new(fifo);
        settings.change(attributes)?;
        Ok(settings)
    }

    /// Takes all of a change, or none of it.
    pub(super) fn change(&mut self, attributes: &BTreeMap<String, String>) -> Result<(), SqsError> {
        let mut changed = self.clone();
        for (name, value) in attributes {
            changed.set(name, value)?;
        }
        changed.settle_encryption(attributes)?;
        if let Some(fifo) = &changed.fifo
            && fifo.throughput_per_group
            && !fifo.deduplication_per_group
        {
            let message =
                "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.";
            return Err(SqsError::new(Code::InvalidAttributeValue, message));
        }
        *self = changed;
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), SqsError> {
        let seconds = |range| Ok(Duration::from_secs(integer(name, value, range)?.unsigned_abs()));
        match name {
            "DelaySeconds" => self.delay = seconds(limits::DELAY_SECONDS)?,
            "MessageRetentionPeriod" => self.retention = seconds(limits::RETENTION_SECONDS)?,
            "ReceiveMessageWaitTimeSeconds" => self.wait = seconds(limits::WAIT_SECONDS)?,
            "VisibilityTimeout" => self.visibility = seconds(limits::VISIBILITY_SECONDS)?,
            "MaximumMessageSize" => {
                let bytes = integer(name, value, limits::MAXIMUM_MESSAGE_SIZE)?;
                self.maximum_message_bytes = usize::try_from(bytes).unwrap_or(limits::MESSAGE_BYTES_MAX);
            }
            "Policy" => self.policy = if value.is_empty() { None } else { Some(json_object(name, value)?) },
            "RedrivePolicy" => self.redrive = Redrive::parse(value)?,
            "RedriveAllowPolicy" => self.redrive_allow = RedriveAllow::parse(value)?,
            "KmsMasterKeyId" => self.encryption.kms_key = (!value.is_empty()).then(|| value.to_owned()),
            "KmsDataKeyReusePeriodSeconds" => {
                self.encryption.kms_reuse_seconds = Some(integer(name, value, limits::KMS_REUSE_SECONDS)?);
            }
            "SqsManagedSseEnabled" => self.encryption.managed = boolean(name, value)?,
            "FifoQueue" => match (self.fifo.is_some(), boolean(name, value)?) {
                (true, true) => {}
                (true, false) => {
                    let message = format!(
                        "Invalid value for the parameter {name}. Reason: Modifying queue type is not supported."
                    );
                    return Err(SqsError::new(Code::InvalidAttributeValue, message));
                }
                (false, _) => return Err(unknown(name)),
            },
            "ContentBasedDeduplication" => match &mut self.fifo {
                Some(fifo) => fifo.content_based_deduplication = boolean(name, value)?,
                None => return Err(unknown(name)),
            },
            "DeduplicationScope" => {
                let per_group = one_of(name, value, ["queue", "messageGroup"])?;
                self.fifo_only(name)?.deduplication_per_group = per_group;
            }
            "FifoThroughputLimit" => {
                let per_group = one_of(name, value, ["perQueue", "perMessageGroupId"])?;
                self.fifo_only(name)?.throughput_per_group = per_group;
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn fifo_only(&mut self, name: &str) -> Result<&mut Fifo, SqsError> {
        self.fifo.as_mut().ok_or_else(|| {
            let message = format!("You can specify the {name} only when FifoQueue is set to true.");
            SqsError::new(Code::InvalidAttributeName, message)
        })
    }

    /// One kind of encryption excludes the other: naming a key turns the managed kind off, and the reverse.
    fn settle_encryption(&mut self, attributes: &BTreeMap<String, String>) -> Result<(), SqsError> {
        let encryption = &mut self.encryption;
        let key_given = attributes.get("KmsMasterKeyId").is_some_and(|key| !key.is_empty());
        let managed_given = attributes.get("SqsManagedSseEnabled").is_some_and(|value| value == "true");
        if key_given && managed_given {
            let message = "You can use one type of server-side encryption (SSE) at one time. You can either enable \
                KMS SSE or SQS SSE.";
            return Err(SqsError::new(Code::InvalidAttributeName, message));
        }
        if key_given {
            encryption.managed = false;
        }
        if managed_given {
            encryption.kms_key = None;
        }
        if encryption.kms_key.is_none() {
            encryption.kms_reuse_seconds = None;
        }
        Ok(())
    }

    /// The attributes that were set or have a default, as text.
    pub(super) fn shown(&self) -> BTreeMap<&'static str, String> {
        let mut shown = BTreeMap::from([
            ("DelaySeconds", self.delay.as_secs().to_string()),
            ("MaximumMessageSize", self.maximum_message_bytes.to_string()),
            ("MessageRetentionPeriod", self.retention.as_secs().to_string()),
            ("ReceiveMessageWaitTimeSeconds", self.wait.as_secs().to_string()),
            ("SqsManagedSseEnabled", self.encryption.managed.to_string()),
            ("VisibilityTimeout", self.visibility.as_secs().to_string()),
        ]);
        if let Some(fifo) = &self.fifo {
            let scope = if fifo.deduplication_per_group { "messageGroup" } else { "queue" };
            let limit = if fifo.throughput_per_group { "perMessageGroupId" } else { "perQueue" };
            shown.insert("FifoQueue", "true".to_owned());
            shown.insert("ContentBasedDeduplication", fifo.content_based_deduplication.to_string());
            shown.insert("DeduplicationScope", scope.to_owned());
            shown.insert("FifoThroughputLimit", limit.to_owned());
        }
        let mut optional = |name, value: Option<String>| {
            if let Some(value) = value {
                shown.insert(name, value);
            }
        };
        optional("Policy", self.policy.as_ref().map(ToString::to_string));
        optional("KmsMasterKeyId", self.encryption.kms_key.clone());
        optional("KmsDataKeyReusePeriodSeconds", self.encryption.kms_reuse_seconds.map(|seconds| seconds.to_string()));
        optional("RedrivePolicy", self.redrive.as_ref().map(ToString::to_string));
        optional("RedriveAllowPolicy", self.redrive_allow.as_ref().map(ToString::to_string));
        shown
    }

    /// The first of the named attributes whose value differs from `wanted`'s.
    pub(super) fn difference(&self, wanted: &Self, attributes: &BTreeMap<String, String>) -> Option<String> {
        let (have, want) = (self.shown(), wanted.shown());
        attributes.keys().find(|name| have.get(name.as_str()) != want.get(name.as_str())).cloned()
    }
}

/// # Source
/// API reference, `CreateQueue`, parameter `QueueName`, read 2026-11.
fn check_queue_name(name: &str, fifo: bool) -> Result<(), SqsError> {
    let stem = if fifo { name.strip_suffix(limits::FIFO_SUFFIX) } else { Some(name) };
    let right = stem.is_some_and(|stem| {
        !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    if right && name.len() <= limits::QUEUE_NAME_CHARACTERS_MAX {
        return Ok(());
    }
    let message = if fifo {
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with \
         .fifo suffix and be 1 to 80 in length."
    } else {
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
    };
    Err(SqsError::new(Code::InvalidParameterValue, message))
}

fn invalid_value(name: &str) -> SqsError {
    SqsError::new(Code::InvalidAttributeValue, format!("Invalid value for the parameter {name}."))
}

fn integer(name: &str, value: &str, range: RangeInclusive<i64>) -> Result<i64, SqsError> {
    value.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| {
        let reason = format!("Must be an integer from {} to {}.", range.start(), range.end());
        SqsError::new(Code::InvalidAttributeValue, format!("Invalid value for the parameter {name}. Reason: {reason}"))
    })
}

/// The service takes `True` too, which is how Python clients often write it.
fn boolean(name: &str, value: &str) -> Result<bool, SqsError> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid_value(name)),
    }
}

/// `false` for the first of two words, `true` for the second.
fn one_of(name: &str, value: &str, words: [&str; 2]) -> Result<bool, SqsError> {
    match words.iter().position(|word| *word == value) {
        Some(place) => Ok(place == 1),
        None => Err(invalid_value(name)),
    }
}

fn json_object(name: &str, value: &str) -> Result<Value, SqsError> {
    serde_json::from_str(value).ok().filter(Value::is_object).ok_or_else(|| invalid_value(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn create(name: &str, attributes: &[(&str, &str)]) -> Result<Settings, Code> {
        Settings::create(name, &map(attributes)).map_err(|error| error.code)
    }

    #[test]
    fn a_queue_without_attributes_has_the_services_defaults() {
        let shown = create("q", &[]).unwrap().shown();
        let expected = [
            ("DelaySeconds", "0"),
            ("MaximumMessageSize", "1048576"),
            ("MessageRetentionPeriod", "345600"),
            ("ReceiveMessageWaitTimeSeconds", "0"),
            ("SqsManagedSseEnabled", "true"),
            ("VisibilityTimeout", "30"),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name, value.to_owned())).into());
    }

    #[test]
    fn names_follow_the_queue_type() {
        assert!(create("a-Z_09", &[]).is_ok());
        assert!(create("a.fifo", &[("FifoQueue", "true")]).is_ok());
        for name in ["", "a b", "a/b", "a.fifo", "é", &"x".repeat(81)] {
            assert_eq!(create(name, &[]), Err(Code::InvalidParameterValue), "{name}");
        }
        assert_eq!(create("a", &[("FifoQueue", "true")]), Err(Code::InvalidParameterValue));
        assert_eq!(create(".fifo", &[("FifoQueue", "true")]), Err(Code::InvalidParameterValue));
    }

    #[test]
    fn attributes_of_the_other_queue_type_are_unknown() {
        for (name, value) in [
            ("FifoQueue", "false"),
            ("ContentBasedDeduplication", "false"),
            ("DeduplicationScope", "queue"),
            ("FifoThroughputLimit", "perQueue"),
            ("Nonsense", "1"),
            ("QueueArn", "x"),
        ] {
            assert_eq!(create("q", &[(name, value)]), Err(Code::InvalidAttributeName), "{name}");
        }
    }

    #[test]
    fn a_value_out_of_range_changes_nothing() {
        let mut settings = create("q", &[]).unwrap();
        let before = settings.clone();
        for (name, value) in [
            ("VisibilityTimeout", "43201"),
            ("VisibilityTimeout", "-1"),
            ("MessageRetentionPeriod", "59"),
            ("MaximumMessageSize", "1048577"),
            ("MaximumMessageSize", "1023"),
            ("DelaySeconds", "901"),
            ("ReceiveMessageWaitTimeSeconds", "21"),
            ("ReceiveMessageWaitTimeSeconds", "x"),
            ("Policy", "not json"),
        ] {
            let change = map(&[("ContentBasedDeduplicatio", "x"), ("DelaySeconds", "7"), (name, value)]);
            assert!(settings.change(&change).is_err());
            let error = settings.change(&map(&[(name, value)])).unwrap_err();
            assert_eq!(error.code, Code::InvalidAttributeValue, "{name}={value}");
        }
        assert_eq!(settings, before);
    }

    #[test]
    fn one_kind_of_encryption_excludes_the_other() {
        let mut settings = create("q", &[]).unwrap();
        settings.change(&map(&[("KmsMasterKeyId", "key"), ("KmsDataKeyReusePeriodSeconds", "6000")])).unwrap();
        let shown = settings.shown();
        assert_eq!((shown["KmsMasterKeyId"].as_str(), shown["SqsManagedSseEnabled"].as_str()), ("key", "false"));
        assert_eq!(shown["KmsDataKeyReusePeriodSeconds"], "6000");
        settings.change(&map(&[("KmsMasterKeyId", ""), ("KmsDataKeyReusePeriodSeconds", "300")])).unwrap();
        let shown = settings.shown();
        assert!(!shown.contains_key("KmsMasterKeyId") && !shown.contains_key("KmsDataKeyReusePeriodSeconds"));
        assert_eq!(shown["SqsManagedSseEnabled"], "false");
        let both = map(&[("KmsMasterKeyId", "key"), ("SqsManagedSseEnabled", "true")]);
        assert_eq!(settings.change(&both).unwrap_err().code, Code::InvalidAttributeName);
    }

    #[test]
    fn creating_again_compares_only_what_is_named() {
        let existing = create("q", &[("VisibilityTimeout", "69")]).unwrap();
        let differs = |attributes: &[(&str, &str)]| {
            let attributes = map(attributes);
            existing.difference(&Settings::create("q", &attributes).unwrap(), &attributes)
        };
        assert_eq!(differs(&[]), None);
        assert_eq!(differs(&[("VisibilityTimeout", "69"), ("DelaySeconds", "0")]), None);
        assert_eq!(differs(&[("VisibilityTimeout", "70")]), Some("VisibilityTimeout".to_owned()));
    }
}
