//! Which queue of which region and account: as its address names it, and as the source of a record does.

use std::fmt;

use url::Url;

use crate::endpoint::is_loopback;

/// A queue of SQS by region, account and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueIdentity {
    region: String,
    /// None on this machine, where an address need not name one.
    account: Option<String>,
    name: String,
}

impl QueueIdentity {
    /// The queue at `url`, of a site in `region`.
    ///
    /// # Errors
    /// The address is not one of SQS, `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, or names another region.
    pub fn of_url(url: &Url, region: &str) -> Result<Self, String> {
        if let Some(named) = region_of(url)
            && named != region
        {
            return Err(format!("the queue is in {named}, and its site in {region}"));
        }
        let mut segments = url.path().rsplit('/').filter(|segment| !segment.is_empty());
        let name = segments.next().ok_or("the address names no queue")?.to_owned();
        // "Amazon SQS queue and message identifiers", read 2026-11: the account stands before the name. It has 12 digits.
        let is_account = |text: &&str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let account = segments.next().filter(is_account).map(str::to_owned);
        if account.is_none() && !is_loopback(url) {
            return Err(format!(
                "the address names no account of 12 digits: it should read https://sqs.{region}.amazonaws.com/ACCOUNT/NAME"
            ));
        }
        Ok(Self { region: region.to_owned(), account, name })
    }

    /// The queue at `url`, whatever region its site is in, in one spelling for all its addresses.
    pub(crate) fn place(url: &Url, region: &str) -> Option<String> {
        let region = region_of(url).unwrap_or(region);
        Self::of_url(url, region).ok().map(|identity| identity.to_string())
    }

    /// Whether a record with this `eventSourceARN` is a message of this queue.
    pub fn is_source(&self, arn: &str) -> bool {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "sqs", region, account, name] = parts[..] else { return false };
        let same_account = self.account.as_deref().is_none_or(|own| own == account);
        same_account && (region, name) == (self.region.as_str(), self.name.as_str())
    }
}

impl fmt::Display for QueueIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.region, self.account.as_deref().unwrap_or_default(), self.name)
    }
}

/// The region in an address of SQS, where it names one. "Amazon SQS endpoints and quotas", read 2026-11: `sqs.REGION`,
/// `sqs-fips.REGION`, the same behind a VPC endpoint's own name, and `REGION.queue` of old.
fn region_of(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    let domains = ["amazonaws.com", "amazonaws.com.cn", "api.aws", "api.amazonwebservices.com.cn"];
    if !domains.iter().any(|domain| host.ends_with(domain)) {
        return None;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let at = labels.iter().position(|label| matches!(*label, "sqs" | "sqs-fips" | "queue"))?;
    if labels[at] == "queue" { labels.get(at.checked_sub(1)?).copied() } else { labels.get(at + 1).copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<QueueIdentity, String> {
        QueueIdentity::of_url(&url.parse().unwrap(), "eu-west-1")
    }

    #[test]
    fn a_source_is_the_queue_only_in_its_own_region_and_account() {
        let queue = of("https://sqs.eu-west-1.amazonaws.com/123456789012/bridge-events").unwrap();
        for own in [
            "arn:aws:sqs:eu-west-1:123456789012:bridge-events",
            "arn:aws-us-gov:sqs:eu-west-1:123456789012:bridge-events",
        ] {
            assert!(queue.is_source(own), "{own}");
        }
        for foreign in [
            "arn:aws:sqs:us-east-1:123456789012:bridge-events",
            "arn:aws:sqs:eu-west-1:210987654321:bridge-events",
            "arn:aws:sqs:eu-west-1:123456789012:bridge-events-dead",
            "arn:aws:sqs:eu-west-1:123456789012:Bridge-events",
            "arn:aws:sns:eu-west-1:123456789012:bridge-events",
            "arn:aws:dynamodb:eu-west-1:123456789012:table/bridge-events/stream/2026-11-21T00:00:00.000",
            "arn:aws:sqs:eu-west-1:123456789012:bridge-events:x",
            "bridge-events",
            "",
        ] {
            assert!(!queue.is_source(foreign), "{foreign}");
        }
    }

    #[test]
    fn every_form_of_address_is_held_to_the_region() {
        for host in [
            "sqs.eu-west-1.amazonaws.com",
            "sqs-fips.eu-west-1.amazonaws.com",
            "eu-west-1.queue.amazonaws.com",
            "sqs.eu-west-1.api.aws",
            "vpce-0a-1b.sqs.eu-west-1.vpce.amazonaws.com",
            "queue.amazonaws.com",
            "queues.example.com",
        ] {
            let url = format!("https://{host}/123456789012/q");
            assert!(of(&url).is_ok(), "{url}");
            let elsewhere = url.replace("eu-west-1", "us-east-1");
            assert_eq!(of(&elsewhere).is_ok(), elsewhere == url, "{elsewhere}");
        }
        let error = of("https://sqs.us-east-1.amazonaws.com/123456789012/q").unwrap_err();
        assert_eq!(error, "the queue is in us-east-1, and its site in eu-west-1");
    }

    #[test]
    fn only_an_address_on_this_machine_may_lack_the_account() {
        for url in ["https://sqs.eu-west-1.amazonaws.com/1/q", "https://sqs.eu-west-1.amazonaws.com/q"] {
            assert!(of(url).unwrap_err().contains("names no account"), "{url}");
        }
        assert!(of("https://sqs.eu-west-1.amazonaws.com/").unwrap_err().contains("names no queue"));
        let local = of("http://127.0.0.1:9324/queue/q").unwrap();
        assert!(local.is_source("arn:aws:sqs:eu-west-1:000000000000:q"));
        assert!(!local.is_source("arn:aws:sqs:eu-west-2:000000000000:q"));
        let localcloud = of("http://127.0.0.1:9324/000000000000/q").unwrap();
        assert!(!localcloud.is_source("arn:aws:sqs:eu-west-1:123456789012:q"));
    }
}
