//! Where a replay takes messages from and where it brings them, as an operator writes it.

use std::{fmt, str::FromStr};

use bridge_core::event::SiteId;

/// Where messages are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `SITE/dlq`: a site's dead letters, its own and the broker's.
    DeadLetters(SiteId),
    /// `SITE/queue`: what waits for a site's worker.
    Queue(SiteId),
    /// Anything else: a file of events, one a line.
    File(String),
}

impl Source {
    /// The site whose messages these are; none of a file.
    pub fn site(&self) -> Option<&SiteId> {
        match self {
            Self::DeadLetters(site) | Self::Queue(site) => Some(site),
            Self::File(_) => None,
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match part(text) {
            Some((site, "dlq")) => Self::DeadLetters(site),
            Some((site, "queue")) => Self::Queue(site),
            Some((site, other)) => {
                return Err(format!("{other:?} is no source of {site}: write {site}/dlq, {site}/queue, or a file"));
            }
            None if text.parse::<SiteId>().is_ok() => {
                return Err(format!(
                    "{text} is a site: write {text}/dlq or {text}/queue (a file of this name: ./{text})"
                ));
            }
            None if is_no_site(text) => {
                return Err(format!(
                    "{text:?} names no site: write SITE/dlq or SITE/queue, as in aws:us-east-1/dlq (a file of this name: ./{text})"
                ));
            }
            None => Self::File(text.to_owned()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadLetters(site) => write!(f, "{site}/dlq"),
            Self::Queue(site) => write!(f, "{site}/queue"),
            Self::File(path) => f.write_str(path),
        }
    }
}

/// Where messages are brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `owed`: to just the sites that have not confirmed the event.
    Owed,
    /// `SITE/queue`: to a site's worker, which does with it what it does with any event.
    Queue(SiteId),
    /// `SITE/store`: straight into a site's store, with the very write that its worker would make.
    Store(SiteId),
    /// `nowhere`: it is dropped.
    Nowhere,
}

impl Target {
    /// The site that it names.
    pub fn site(&self) -> Option<&SiteId> {
        match self {
            Self::Owed | Self::Nowhere => None,
            Self::Queue(site) | Self::Store(site) => Some(site),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match part(text) {
            _ if text == "owed" => Ok(Self::Owed),
            _ if text == "nowhere" => Ok(Self::Nowhere),
            Some((site, "queue")) => Ok(Self::Queue(site)),
            Some((site, "store")) => Ok(Self::Store(site)),
            _ => Err(format!(
                "{text:?} is no target: write owed, SITE/queue or SITE/store, as in azure:westeurope/store, or nowhere to drop messages"
            )),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owed => f.write_str("owed"),
            Self::Nowhere => f.write_str("nowhere"),
            Self::Queue(site) => write!(f, "{site}/queue"),
            Self::Store(site) => write!(f, "{site}/store"),
        }
    }
}

/// Whether it has the form of a source, with something in front that is no site.
fn is_no_site(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(front, part)| !matches!(front, "" | "." | "..") && matches!(part, "dlq" | "queue"))
}

/// A site and the word behind it. A file's path could have that form only with a colon in its first step.
fn part(text: &str) -> Option<(SiteId, &str)> {
    let (site, part) = text.split_once('/')?;
    Some((site.parse().ok()?, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        for text in ["aws:us-east-1/dlq", "azure:westeurope/queue", "letters.jsonl", "/tmp/a:b/dlq", "-"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert!(matches!("aws:us-east-1/dlq".parse(), Ok(Source::DeadLetters(_))));
        assert!(matches!("/tmp/a:b/dlq".parse(), Ok(Source::File(_))));
        assert!("aws:us-east-1/dql".parse::<Source>().unwrap_err().contains("aws:us-east-1/dlq"));
        assert!("azure:westeurope".parse::<Source>().unwrap_err().contains("azure:westeurope/dlq"));
        for (text, path) in [("foo/dlq", "./foo/dlq"), ("AWS:us-east-1/queue", "./AWS:us-east-1/queue")] {
            let error = text.parse::<Source>().unwrap_err();
            assert!(error.contains("as in aws:us-east-1/dlq") && error.ends_with(&format!("{path})")), "{error}");
            assert!(matches!(path.parse(), Ok(Source::File(_))));
        }
        assert!(matches!("./azure:westeurope".parse(), Ok(Source::File(_))));
        for text in ["owed", "nowhere", "aws:us-east-1/queue", "azure:westeurope/store"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let aws: SiteId = "aws:us-east-1".parse().unwrap();
        let site = |text: &str| text.parse::<Target>().unwrap().site().cloned();
        assert_eq!((site("aws:us-east-1/queue"), site("aws:us-east-1/store")), (Some(aws.clone()), Some(aws)));
        assert_eq!(site("owed"), None, "each letter names its own");
        for text in ["", "aws:us-east-1", "aws:us-east-1/dlq", "store", "Owed"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
