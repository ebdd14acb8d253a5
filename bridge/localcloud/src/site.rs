//! The name of a site: a region of one of the clouds, written `aws:eu-west-1`.

use std::fmt;
use std::str::FromStr;

/// One of the two clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cloud {
    Aws,
    Azure,
}

impl Cloud {
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
        }
    }
}

/// A region of a cloud.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteName {
    pub cloud: Cloud,
    pub region: String,
}

impl SiteName {
    pub fn new(cloud: Cloud, region: &str) -> Self {
        Self { cloud, region: region.to_owned() }
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cloud.name(), self.region)
    }
}

/// Why a text names no site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a site: write aws:REGION or azure:REGION, with the region in lower-case letters, digits and hyphens, \
     as in aws:eu-west-1 or azure:eastus"
)]
pub struct NoSite(String);

impl FromStr for SiteName {
    type Err = NoSite;

    fn from_str(text: &str) -> Result<Self, NoSite> {
        let clouds = [Cloud::Aws, Cloud::Azure];
        let parts = text.split_once(':').filter(|(_, region)| is_region(region));
        let cloud = parts.and_then(|(cloud, _)| clouds.into_iter().find(|known| known.name() == cloud));
        match (parts, cloud) {
            (Some((_, region)), Some(cloud)) => Ok(Self::new(cloud, region)),
            _ => Err(NoSite(text.to_owned())),
        }
    }
}

/// Longer than the name of any region, and short enough for a queue's ARN.
const REGION_BYTES_MAX: usize = 40;

/// Whether a text can be a region's name. Any such name is served: new regions need no new version.
pub(crate) fn is_region(text: &str) -> bool {
    (1..=REGION_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_cloud_and_a_region() {
        let site: SiteName = "azure:eastus2".parse().unwrap();
        assert_eq!(site, SiteName::new(Cloud::Azure, "eastus2"));
        assert_eq!(site.to_string(), "azure:eastus2");
        for wrong in ["", "aws", "aws:", "gcp:europe-west1", "AWS:us-east-1", "aws:US", "aws:-a", "aws:a:b", "aws:a b"]
        {
            let error = wrong.parse::<SiteName>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")) && error.contains("aws:eu-west-1"), "{error}");
        }
        assert!(format!("aws:{}", "a".repeat(REGION_BYTES_MAX)).parse::<SiteName>().is_ok());
        assert!(format!("aws:{}", "a".repeat(REGION_BYTES_MAX + 1)).parse::<SiteName>().is_err());
    }
}
