//! The command line that starts a [`LocalCloud`](crate::LocalCloud): for the binary of this crate, and for any other with
//! `#[command(flatten)]`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use crate::fault::Fault;
use crate::service_bus::Tier;
use crate::{AwsOptions, AzureOptions, Cloud, Contents, Options, SiteName};

/// The sites to serve, their addresses, and their faults.
#[derive(Clone, Debug, clap::Args)]
pub struct CloudArgs {
    /// Site to serve; repeat it for more sites, also of one cloud
    #[arg(
        long = "site",
        value_name = "CLOUD:REGION",
        default_values_t = [SiteName::new(Cloud::Aws, "us-east-1"), SiteName::new(Cloud::Azure, "westeurope")]
    )]
    pub sites: Vec<SiteName>,
    /// Loopback address of Service Bus, whose clients need port 5672. Repeat it for further Azure sites; otherwise they take the next addresses [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    service_bus_address: Vec<IpAddr>,
    /// Serve Premium namespaces of Service Bus: messages of 1 MB, or more if a queue allows it
    #[arg(long)]
    pub service_bus_premium: bool,
    /// Second write region of every Cosmos DB account
    #[arg(long, value_name = "REGION")]
    cosmos_second_write_region: Option<String>,
    /// Port of SQS; repeat it for further AWS sites. The system chooses missing ports
    #[arg(long, value_name = "PORT")]
    sqs_port: Vec<u16>,
    /// Port of DynamoDB, likewise
    #[arg(long, value_name = "PORT")]
    dynamodb_port: Vec<u16>,
    /// Port of Cosmos DB; repeat it for further Azure sites
    #[arg(long, value_name = "PORT")]
    cosmos_port: Vec<u16>,
    /// Port of Service Bus over HTTP, likewise
    #[arg(long, value_name = "PORT")]
    service_bus_http_port: Vec<u16>,
    /// Port of the admin endpoint: faults, request counts, contents of the services
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    admin_port: u16,
    /// Lease of the queues, in seconds. A short lease returns the messages of a dead receiver soon
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(2..=300))]
    pub lease_seconds: u16,
    /// Fault that is active from the start, as in `dynamodb:PutItem:throttle,probability=0.2`; repeat it for more
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// Seed of the faults
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// More values than sites.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: values given: {given}, sites in {cloud}: {sites}; give at most one for each")]
pub struct TooMany {
    flag: &'static str,
    given: usize,
    sites: usize,
    cloud: &'static str,
}

impl CloudArgs {
    /// What to start, with these contents in each site.
    ///
    /// # Errors
    /// A flag is given more often than there are sites for it.
    pub fn options(&self, contents: Contents) -> Result<Options, TooMany> {
        let regions = |cloud| {
            let of_cloud = self.sites.iter().filter(move |site| site.cloud == cloud);
            of_cloud.map(|site| site.region.as_str()).collect::<Vec<_>>()
        };
        let (aws, azure) = (regions(Cloud::Aws), regions(Cloud::Azure));
        for (flag, given, sites, cloud) in [
            ("--sqs-port", self.sqs_port.len(), aws.len(), Cloud::Aws),
            ("--dynamodb-port", self.dynamodb_port.len(), aws.len(), Cloud::Aws),
            ("--cosmos-port", self.cosmos_port.len(), azure.len(), Cloud::Azure),
            ("--service-bus-http-port", self.service_bus_http_port.len(), azure.len(), Cloud::Azure),
            ("--service-bus-address", self.service_bus_address.len(), azure.len(), Cloud::Azure),
        ] {
            if given > sites {
                return Err(TooMany { flag, given, sites, cloud: cloud.name() });
            }
        }
        let aws = aws.into_iter().enumerate().map(|(at, region)| AwsOptions {
            sqs_port: nth(&self.sqs_port, at),
            dynamodb_port: nth(&self.dynamodb_port, at),
            ..AwsOptions::new(region)
        });
        let tier = if self.service_bus_premium { Tier::premium() } else { Tier::Standard };
        let azure = azure.into_iter().enumerate().map(|(at, region)| AzureOptions {
            service_bus_address: address(&self.service_bus_address, at),
            service_bus_http_port: nth(&self.service_bus_http_port, at),
            service_bus_tier: tier,
            cosmos_port: nth(&self.cosmos_port, at),
            cosmos_second_write_region: self.cosmos_second_write_region.clone(),
            ..AzureOptions::new(region)
        });
        Ok(Options {
            seed: self.seed,
            aws: aws.collect(),
            azure: azure.collect(),
            contents: Contents { lease: Duration::from_secs(self.lease_seconds.into()), ..contents },
            admin_port: self.admin_port,
            faults: self.fault.clone(),
        })
    }
}

fn nth(ports: &[u16], at: usize) -> u16 {
    ports.get(at).copied().unwrap_or(0)
}

/// The address of the namespace at this place: as given, or counted on from the last that is given.
fn address(given: &[IpAddr], at: usize) -> IpAddr {
    let Some(last) = given.len().checked_sub(1).map(|last| last.min(at)) else {
        return address(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], at);
    };
    match given[last] {
        IpAddr::V4(address) => {
            let further = u32::try_from(at - last).unwrap_or(u32::MAX);
            IpAddr::V4(u32::from(address).saturating_add(further).into())
        }
        // IPv6 has one loopback address; a second namespace is told so when it listens.
        address @ IpAddr::V6(_) => address,
    }
}

/// Writes a file so that nobody ever reads half of it: for the file that says where everything is.
///
/// # Errors
/// The system's own words.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = folder.join(format!(".{}.{}", path.file_name().unwrap_or_default().display(), std::process::id()));
    fs::write(&draft, text).and_then(|()| fs::rename(&draft, path))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        cloud: CloudArgs,
    }

    fn options(line: &str) -> Result<Options, String> {
        let command =
            Command::try_parse_from(format!("x {line}").split_whitespace()).map_err(|error| error.to_string())?;
        command.cloud.options(Contents::default()).map_err(|error| error.to_string())
    }

    fn aws(line: &str) -> Vec<(String, u16)> {
        options(line).unwrap().aws.into_iter().map(|site| (site.region, site.sqs_port)).collect()
    }

    fn azure(line: &str) -> Vec<(String, String)> {
        let azure = options(line).unwrap().azure.into_iter();
        azure.map(|site| (site.region, site.service_bus_address.to_string())).collect()
    }

    fn pairs<T: Copy + Into<U>, U>(list: &[(&str, T)]) -> Vec<(String, U)> {
        list.iter().map(|(region, value)| ((*region).to_owned(), (*value).into())).collect()
    }

    #[test]
    fn there_is_one_site_in_each_cloud_unless_others_are_named() {
        assert_eq!(aws(""), pairs(&[("us-east-1", 0_u16)]));
        assert_eq!(azure(""), pairs(&[("westeurope", "127.0.0.1")]));
        let line = "--site azure:eastus --site aws:eu-west-1 --site aws:us-west-2 --sqs-port 9324";
        assert_eq!(aws(line), pairs(&[("eu-west-1", 9324_u16), ("us-west-2", 0)]));
        assert_eq!(azure(line), pairs(&[("eastus", "127.0.0.1")]));
    }

    #[test]
    fn namespaces_have_addresses_of_their_own() {
        let three = "--site azure:eastus --site azure:westus --site azure:westeurope";
        let of = |flags: &str| {
            azure(&format!("{three} {flags}")).into_iter().map(|(_, address)| address).collect::<Vec<_>>()
        };
        assert_eq!(of(""), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        assert_eq!(of("--service-bus-address 127.1.0.255"), ["127.1.0.255", "127.1.1.0", "127.1.1.1"]);
        let given = "--service-bus-address 127.1.0.1 --service-bus-address 127.2.0.1";
        assert_eq!(of(given), ["127.1.0.1", "127.2.0.1", "127.2.0.2"]);
    }

    #[test]
    fn what_is_given_for_no_site_is_refused() {
        for (line, words) in [
            ("--sqs-port 1 --sqs-port 2", "--sqs-port: values given: 2, sites in aws: 1"),
            ("--site aws:us-east-1 --cosmos-port 1", "--cosmos-port: values given: 1, sites in azure: 0"),
            ("--site gcp:x", "aws:REGION or azure:REGION"),
            ("--lease-seconds 1", "2..=300"),
        ] {
            let error = options(line).expect_err(line);
            assert!(error.contains(words), "{error}");
        }
    }
}
