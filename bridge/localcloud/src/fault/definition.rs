//! What a fault is: which calls it hits, and what it does to them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notation::Document;
use super::{Failure, Service, ServiceAt, Verdict};

/// What goes wrong, where, how often and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Fault {
    pub service: Scope,
    /// Name of the operation; `*` stands for any run of characters, and case does not matter.
    pub operation: String,
    pub kind: Kind,
    /// Share of the calls that it hits, 0 to 1.
    pub probability: f64,
    /// Ends after so many hits.
    pub count: Option<u64>,
    /// Ends by itself after this time.
    pub lasts: Option<Duration>,
}

/// Which services a fault is for; in writing `sqs`, `aws`, `*`, and with a region `aws@eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub services: Services,
    /// Every region, if none is named.
    pub region: Option<String>,
}

/// One service, those of one cloud, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    One(Service),
    Aws,
    Azure,
    All,
}

/// What a fault does to a call that it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Waits `fixed`, and up to `jitter` more.
    Latency {
        fixed: Duration,
        jitter: Duration,
    },
    Throttle {
        retry_after: Duration,
    },
    Error(When),
    /// Refuses for want of a permission, before the effect.
    Denied,
    Drop(When),
    /// Sends the answer in small pieces, with a pause between them.
    Drip {
        pause: Duration,
    },
    /// The whole service is away: no answers, no new connections. Takes neither an operation, nor a probability, nor a
    /// count, as connections that are refused carry no call.
    Dark,
}

/// Whether the call has its effect before it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

impl Fault {
    pub(super) fn covers(&self, at: &ServiceAt, operation: &str) -> bool {
        self.service.covers(at) && glob(self.operation.as_bytes(), operation.as_bytes())
    }
}

impl Scope {
    pub fn covers(&self, at: &ServiceAt) -> bool {
        self.services.covers(at.service) && self.region.as_deref().is_none_or(|region| region == &*at.region)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.services.name())?;
        self.region.iter().try_for_each(|region| write!(f, "@{region}"))
    }
}

impl From<Service> for Scope {
    fn from(service: Service) -> Self {
        Self { services: Services::One(service), region: None }
    }
}

impl Services {
    fn covers(self, service: Service) -> bool {
        match self {
            Self::One(one) => one == service,
            Self::Aws => matches!(service, Service::Sqs | Service::Dynamodb),
            Self::Azure => matches!(service, Service::ServiceBus | Service::Cosmos),
            Self::All => true,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::One(service) => service.name(),
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::All => "*",
        }
    }
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Throttle { .. } => "throttle",
            Self::Error(_) => "error",
            Self::Denied => "denied",
            Self::Drop(_) => "drop",
            Self::Drip { .. } => "drip",
            Self::Dark => "dark",
        }
    }

    /// The keys that this kind understands, for the error that refuses any other.
    pub(super) fn takes(self) -> &'static str {
        match self {
            Self::Latency { .. } => "fixed, jitter, probability, count, for",
            Self::Throttle { .. } => "retry_after, probability, count, for",
            Self::Error(_) | Self::Drop(_) => "when, probability, count, for",
            Self::Denied => "probability, count, for",
            Self::Drip { .. } => "pause, probability, count, for",
            Self::Dark => "for",
        }
    }

    pub(super) fn apply(self, verdict: &mut Verdict, rng: &mut fastrand::Rng) {
        let (slot, failure) = match self {
            Self::Latency { fixed, jitter } => {
                let jitter_us = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
                verdict.delay += fixed + Duration::from_micros(rng.u64(0..=jitter_us));
                return;
            }
            Self::Drip { pause } => {
                verdict.drip = Some(verdict.drip.map_or(pause, |other| other.max(pause)));
                return;
            }
            Self::Throttle { retry_after } => (&mut verdict.before, Failure::Throttle { retry_after }),
            Self::Error(When::Before) => (&mut verdict.before, Failure::Error),
            Self::Error(When::After) => (&mut verdict.after, Failure::Error),
            Self::Denied => (&mut verdict.before, Failure::Denied),
            Self::Drop(When::Before) => (&mut verdict.before, Failure::Drop),
            Self::Drop(When::After) => (&mut verdict.after, Failure::Drop),
            Self::Dark => (&mut verdict.before, Failure::Dark),
        };
        slot.get_or_insert(failure);
    }
}

/// Matches `*` against any run of characters, everything else but case exactly.
///
/// Iterative with one point to come back to, so that a hostile pattern costs at most length times length.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p).is_some_and(|byte| byte.eq_ignore_ascii_case(&name[n])) {
            p += 1;
            n += 1;
        } else if let Some((star_p, star_n)) = star {
            p = star_p + 1;
            n = star_n + 1;
            star = Some((star_p, n));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "PutItem", true),
            ("putitem", "PutItem", true),
            ("Put", "PutItem", false),
            ("Put*", "PutItem", true),
            ("*Item", "PutItem", true),
            ("*Item", "PutItems", false),
            ("P*t*m", "PutItem", true),
            ("*a*b*c", "xaxbxbc", true),
            ("*a*b*c", "xaxcxb", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
