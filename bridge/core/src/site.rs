//! The name of a site.

use std::{fmt, str::FromStr, sync::Arc};

use crate::limits;

/// A site, `cloud:region`: one queue, one dead-letter queue and one store in one region of one cloud.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// The name as configured and as in `source_region`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    pub fn cloud(&self) -> &str {
        self.0.split_once(':').map_or("", |(cloud, _)| cloud)
    }

    /// The part after the colon.
    pub fn region(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, region)| region)
    }
}

impl FromStr for SiteId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() > limits::SITE_ID_BYTES_MAX {
            return Err(format!("{text:?} is longer than {} bytes", limits::SITE_ID_BYTES_MAX));
        }
        match text.split_once(':') {
            Some((cloud, region)) if part(cloud) && part(region) => Ok(Self(text.into())),
            _ => Err(format!(
                "{text:?} is not of the form cloud:region, in lower-case letters, digits and hyphens, as in aws:us-east-1"
            )),
        }
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_cloud_and_a_region() {
        let site: SiteId = "aws:us-east-1".parse().unwrap();
        assert_eq!((site.as_str(), site.cloud(), site.region()), ("aws:us-east-1", "aws", "us-east-1"));
        for bad in ["", ":", "aws", "aws:", ":us", "AWS:us", "aws:US", "aws:-us", "aws:us:1", "aws:us_east", "aws: us"]
        {
            assert!(bad.parse::<SiteId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_site_may_be_as_long_as_every_store_takes() {
        let site = |bytes: usize| format!("a:{}", "b".repeat(bytes - 2)).parse::<SiteId>();
        assert!(site(limits::SITE_ID_BYTES_MAX).is_ok());
        assert!(site(limits::SITE_ID_BYTES_MAX + 1).is_err());
    }
}
