//! A fault as a person writes it: one line of text for a flag, a JSON object for the admin endpoint.
//!
//! Text: `SERVICE[@REGION]:OPERATION:KIND[,KEY=VALUE...]`, for example `dynamodb:PutItem:throttle,probability=0.2` or
//! `azure@westeurope:*:dark,for=60s`. JSON: the same words as members, `{"service": "azure", "kind": "dark", "for": "60s"}`.
//! Both go through one door, [`Document`], so that they allow the same things and refuse the rest in the same words.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Service;
use super::definition::{Fault, Kind, Scope, Services, When};
use crate::site;

/// Why a fault was refused; the text says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error(
        "`{0}` is not a fault: write SERVICE[@REGION]:OPERATION:KIND[,KEY=VALUE...], \
         for example dynamodb:PutItem:throttle,probability=0.2 or service-bus:*:dark,for=60s"
    )]
    Shape(String),
    #[error("fault: `{given}` is not a {what}; allowed: {allowed}")]
    Unknown { what: &'static str, given: String, allowed: &'static str },
    #[error("fault: {key}={given} is not allowed; {key} is {expected}")]
    Value { key: &'static str, given: String, expected: &'static str },
    #[error("fault: {kind} takes no `{key}`; it takes: {takes}")]
    NotTaken { kind: &'static str, key: &'static str, takes: &'static str },
    #[error("no service here is `{scope}`; there are {known}")]
    Nowhere { scope: Scope, known: String },
}

const SERVICES: &str = "sqs, dynamodb, service-bus, cosmos, aws (sqs and dynamodb), azure (service-bus and cosmos), * (all); \
                        each with @REGION for one region alone";
const KINDS: &str = "latency, throttle, error, denied, drop, drip, dark";
const KEYS: &str = "probability, count, for, fixed, jitter, retry_after, when, pause";
const DURATION: &str = "a whole number with its unit (ms, s, m or h), at most 24h";
/// Longer than any test or drill; keeps sums of durations far from overflow.
const DURATION_MAX: Duration = Duration::from_hours(24);

/// The wire form of a fault: every value as it is written, nothing checked yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    service: String,
    #[serde(default = "any_operation")]
    operation: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    lasts: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fixed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jitter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<String>,
}

fn any_operation() -> String {
    "*".to_owned()
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let shape = || FaultError::Shape(text.to_owned());
        let mut parts = text.trim().splitn(3, ':');
        let (Some(service), Some(operation), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(shape());
        };
        let mut words = rest.split(',');
        let kind = words.next().ok_or_else(shape)?;
        let mut document = Document {
            service: service.to_owned(),
            operation: operation.to_owned(),
            kind: kind.to_owned(),
            ..Document::default()
        };
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(shape)?;
            document.set(key.trim(), value.trim())?;
        }
        document.try_into()
    }
}

impl Document {
    fn set(&mut self, key: &str, value: &str) -> Result<(), FaultError> {
        let slot = match key {
            "probability" => {
                self.probability = Some(value.parse().map_err(|_| bad_probability(value))?);
                return Ok(());
            }
            "count" => {
                self.count = Some(value.parse().map_err(|_| bad_count(value))?);
                return Ok(());
            }
            "for" => &mut self.lasts,
            "fixed" => &mut self.fixed,
            "jitter" => &mut self.jitter,
            "retry_after" | "retry-after" => &mut self.retry_after,
            "when" => &mut self.when,
            "pause" => &mut self.pause,
            _ => return Err(FaultError::Unknown { what: "key", given: key.to_owned(), allowed: KEYS }),
        };
        *slot = Some(value.to_owned());
        Ok(())
    }

    fn kind(&self) -> Result<Kind, FaultError> {
        let or = |key, text: &Option<String>, default: Duration| match text {
            Some(text) => parse_duration(key, text),
            None => Ok(default),
        };
        Ok(match self.kind.as_str() {
            "latency" => {
                let (fixed, jitter) =
                    (or("fixed", &self.fixed, Duration::ZERO)?, or("jitter", &self.jitter, Duration::ZERO)?);
                if fixed.is_zero() && jitter.is_zero() {
                    let expected = "to be given with a latency, or `jitter`, or both, and more than nothing";
                    return Err(FaultError::Value { key: "fixed", given: "0ms".to_owned(), expected });
                }
                Kind::Latency { fixed, jitter }
            }
            "throttle" => Kind::Throttle { retry_after: or("retry_after", &self.retry_after, Duration::from_secs(1))? },
            "error" => Kind::Error(self.when()?),
            "denied" => Kind::Denied,
            "drop" => Kind::Drop(self.when()?),
            "drip" => Kind::Drip { pause: or("pause", &self.pause, Duration::from_millis(20))? },
            "dark" => Kind::Dark,
            _ => return Err(FaultError::Unknown { what: "kind", given: self.kind.clone(), allowed: KINDS }),
        })
    }

    fn when(&self) -> Result<When, FaultError> {
        match self.when.as_deref() {
            None | Some("before") => Ok(When::Before),
            Some("after") => Ok(When::After),
            Some(other) => Err(FaultError::Value {
                key: "when",
                given: other.to_owned(),
                expected: "`before` (no effect) or `after` (it happens, and the caller cannot know)",
            }),
        }
    }

    /// Refuses what the kind would silently ignore: a fault that does less than it says is worse than none.
    fn refuse_what_is_not_taken(&self, kind: Kind) -> Result<(), FaultError> {
        let given = [
            ("probability", self.probability.is_some()),
            ("count", self.count.is_some()),
            ("fixed", self.fixed.is_some()),
            ("jitter", self.jitter.is_some()),
            ("retry_after", self.retry_after.is_some()),
            ("when", self.when.is_some()),
            ("pause", self.pause.is_some()),
        ];
        for (key, given) in given {
            if given && !kind.takes().split(", ").any(|taken| taken == key) {
                return Err(FaultError::NotTaken { kind: kind.name(), key, takes: kind.takes() });
            }
        }
        if kind == Kind::Dark && self.operation != "*" {
            let expected = "`*` for dark: the whole service is away";
            return Err(FaultError::Value { key: "operation", given: self.operation.clone(), expected });
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, region) = text.split_once('@').map_or((text, None), |(name, region)| (name, Some(region)));
        if region.is_some_and(|region| !site::is_region(region)) {
            let expected = "a name alone, or with a region as in aws@eu-west-1";
            return Err(FaultError::Value { key: "service", given: text.to_owned(), expected });
        }
        let services = match name {
            "aws" => Services::Aws,
            "azure" => Services::Azure,
            "*" => Services::All,
            name => {
                let one = Service::ALL.into_iter().find(|service| service.name() == name).map(Services::One);
                let given = name.to_owned();
                one.ok_or(FaultError::Unknown { what: "service", given, allowed: SERVICES })?
            }
        };
        Ok(Self { services, region: region.map(str::to_owned) })
    }
}

impl TryFrom<Document> for Fault {
    type Error = FaultError;

    fn try_from(document: Document) -> Result<Self, FaultError> {
        let service = document.service.parse()?;
        let kind = document.kind()?;
        document.refuse_what_is_not_taken(kind)?;
        if document.operation.is_empty() {
            let expected = "the name of an operation, or `*` for all";
            return Err(FaultError::Value { key: "operation", given: String::new(), expected });
        }
        let probability = document.probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(bad_probability(&probability.to_string()));
        }
        if document.count == Some(0) {
            return Err(bad_count("0"));
        }
        let lasts = document.lasts.as_deref().map(|text| parse_duration("for", text)).transpose()?;
        Ok(Self { service, operation: document.operation, kind, probability, count: document.count, lasts })
    }
}

impl From<Fault> for Document {
    fn from(fault: Fault) -> Self {
        let mut document = Self {
            service: fault.service.to_string(),
            operation: fault.operation,
            kind: fault.kind.name().to_owned(),
            probability: (fault.probability < 1.0).then_some(fault.probability),
            count: fault.count,
            lasts: fault.lasts.map(format_duration),
            ..Self::default()
        };
        match fault.kind {
            Kind::Latency { fixed, jitter } => {
                document.fixed = Some(format_duration(fixed));
                document.jitter = Some(format_duration(jitter));
            }
            Kind::Throttle { retry_after } => document.retry_after = Some(format_duration(retry_after)),
            Kind::Error(when) | Kind::Drop(when) => {
                document.when = Some(if when == When::Before { "before" } else { "after" }.to_owned());
            }
            Kind::Drip { pause } => document.pause = Some(format_duration(pause)),
            Kind::Denied | Kind::Dark => {}
        }
        document
    }
}

/// The text form; parsing it gives the same fault.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = Document::from(self.clone());
        write!(f, "{}:{}:{}", document.service, document.operation, document.kind)?;
        let words = [
            ("probability", document.probability.map(|value| value.to_string())),
            ("count", document.count.map(|value| value.to_string())),
            ("for", document.lasts),
            ("fixed", document.fixed),
            ("jitter", document.jitter),
            ("retry_after", document.retry_after),
            ("when", document.when),
            ("pause", document.pause),
        ];
        words
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

fn bad_probability(given: &str) -> FaultError {
    FaultError::Value { key: "probability", given: given.to_owned(), expected: "a number from 0 to 1" }
}

fn bad_count(given: &str) -> FaultError {
    FaultError::Value { key: "count", given: given.to_owned(), expected: "a whole number of hits, at least 1" }
}

fn parse_duration(key: &'static str, text: &str) -> Result<Duration, FaultError> {
    let bad = || FaultError::Value { key, given: text.to_owned(), expected: DURATION };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().map_err(|_| bad())?;
    let unit_ms: u64 = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    let duration = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(bad)?;
    if duration > DURATION_MAX { Err(bad()) } else { Ok(duration) }
}

fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms > 0 && ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_give_the_same_fault_and_come_back() {
        for (text, json) in [
            (
                "dynamodb:PutItem:throttle,probability=0.2",
                r#"{"service":"dynamodb","operation":"PutItem","kind":"throttle","probability":0.2}"#,
            ),
            ("service-bus:*:dark,for=60s", r#"{"service":"service-bus","kind":"dark","for":"60s"}"#),
            (
                "aws:Send*:latency,fixed=5ms,jitter=2s,count=3",
                r#"{"service":"aws","operation":"Send*","kind":"latency","fixed":"5ms","jitter":"2s","count":3}"#,
            ),
            ("*:*:drop,when=after", r#"{"service":"*","operation":"*","kind":"drop","when":"after"}"#),
            ("sqs:*:denied,for=1s", r#"{"service":"sqs","kind":"denied","for":"1s"}"#),
            ("aws@eu-west-1:*:denied", r#"{"service":"aws@eu-west-1","kind":"denied"}"#),
            ("*@eastus2:*:dark", r#"{"service":"*@eastus2","kind":"dark"}"#),
            ("cosmos:*:drip,pause=1m", r#"{"service":"cosmos","kind":"drip","pause":"1m"}"#),
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault, serde_json::from_str(json).unwrap(), "{text}");
            assert_eq!(fault, fault.to_string().parse().unwrap(), "{text}");
            assert_eq!(fault, serde_json::from_value(serde_json::to_value(&fault).unwrap()).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let fault: Fault = "sqs:*:throttle".parse().unwrap();
        let kind = Kind::Throttle { retry_after: Duration::from_secs(1) };
        let expected = Fault {
            service: Service::Sqs.into(),
            operation: "*".into(),
            kind,
            probability: 1.0,
            count: None,
            lasts: None,
        };
        assert_eq!(fault, expected);
    }

    #[test]
    fn a_refusal_says_what_is_allowed() {
        for (text, words) in [
            ("nonsense", "OPERATION:KIND"),
            ("", "OPERATION:KIND"),
            ("sqs:*:drop,after", "OPERATION:KIND"),
            ("s3:*:drop", "`s3` is not a service; allowed: sqs, dynamodb"),
            ("s3@eu-west-1:*:drop", "`s3` is not a service"),
            ("sqs@:*:drop", "aws@eu-west-1"),
            ("sqs@EU:*:drop", "service=sqs@EU is not allowed"),
            ("sqs:*:explode", "`explode` is not a kind; allowed: latency, throttle"),
            ("sqs:*:drop,color=red", "`color` is not a key; allowed: probability"),
            ("sqs:*:drop,probability=2", "a number from 0 to 1"),
            ("sqs:*:drop,probability=NaN", "a number from 0 to 1"),
            ("sqs:*:drop,count=0", "at least 1"),
            ("sqs:*:drop,when=later", "`before`"),
            ("sqs:*:dark,for=60", "ms, s, m or h"),
            ("sqs:*:dark,for=-1s", "ms, s, m or h"),
            ("sqs:*:dark,for=25h", "at most 24h"),
            ("sqs:*:dark,for=99999999999999999999h", "at most 24h"),
            ("sqs:*:dark,for=5\u{b5}s", "ms, s, m or h"),
            ("sqs:*:dark,count=2", "dark takes no `count`; it takes: for"),
            ("sqs:*:denied,when=after", "denied takes no `when`"),
            ("sqs:*:drop,pause=2s", "drop takes no `pause`"),
            ("sqs:Send*:dark", "the whole service"),
            ("sqs::drop", "`*` for all"),
            ("sqs:*:latency", "`jitter`"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        let error = serde_json::from_str::<Fault>(r#"{"service":"sqs","kind":"drop","colour":1}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `colour`"), "{error}");
    }
}
