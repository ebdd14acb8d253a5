//! All services put together as sites, each with the same queues and the same store.

mod aws;
mod azure;
mod sites;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::admin;
use crate::contents::Contents;
use crate::fault::{Fault, FaultError, Faults};
use crate::http::Server;
use crate::site::{Cloud, SiteName};
use crate::usage::Gauges;

pub use aws::{AwsOptions, AwsRegion};
pub use azure::{AzureOptions, AzureRegion, SERVICE_BUS_PORT};
pub use sites::{AwsSite, AzureSite, Sites};

/// Which sites there are, where they listen, and what goes wrong from the start. Ports of 0 are chosen by the system.
#[derive(Clone, Debug)]
pub struct Options {
    /// Repeats the same faults for the same calls.
    pub seed: u64,
    pub aws: Vec<AwsOptions>,
    pub azure: Vec<AzureOptions>,
    pub contents: Contents,
    pub admin_port: u16,
    pub faults: Vec<Fault>,
}

/// One site in each cloud.
impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            aws: vec![AwsOptions::new("us-east-1")],
            azure: vec![AzureOptions::new("westeurope")],
            contents: Contents::default(),
            admin_port: 0,
            faults: Vec::new(),
        }
    }
}

/// Why localcloud did not start, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{service} cannot listen on {address}: {source}; {advice}")]
    Listen { service: String, address: String, advice: String, source: io::Error },
    #[error("{service} could not create {name}: {reason}")]
    Create { service: &'static str, name: String, reason: String },
    #[error("{0} is named twice: a site is one region of a cloud")]
    Twice(SiteName),
    #[error("{0}")]
    Fault(#[from] FaultError),
}

/// All sites, up and running; their contents end with it.
pub struct LocalCloud {
    faults: Arc<Faults>,
    aws: Vec<AwsRegion>,
    azure: Vec<AzureRegion>,
    admin: Server,
    sites: Sites,
}

impl LocalCloud {
    /// Starts all services of all sites, and creates the contents in each.
    ///
    /// # Errors
    /// A port or address cannot be had, a site is named twice, or a fault names a site that is not there; whatever had
    /// started by then is ended again.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options { seed, aws, azure, contents, admin_port, faults: asked } = options;
        refuse_twice(&aws, &azure)?;
        let faults = Faults::new(seed);
        let (mut aws_regions, mut azure_regions, mut gauges) = (Vec::new(), Vec::new(), Gauges::new());
        for options in aws {
            let region = AwsRegion::start(options, &contents, &faults).await?;
            gauges.extend(region.gauges());
            aws_regions.push(region);
        }
        for options in azure {
            let region = AzureRegion::start(options, &contents, &faults).await?;
            gauges.extend(region.gauges());
            azure_regions.push(region);
        }
        let admin_address = loopback(admin_port);
        let admin = admin::start(admin_address, Arc::clone(&faults), gauges).await;
        let admin = admin.map_err(listen("the admin interface", admin_address, "--admin-port"))?;
        let sites = Sites {
            aws: aws_regions.iter().map(|region| region.site.clone()).collect(),
            azure: azure_regions.iter().map(|region| region.site.clone()).collect(),
        };
        // Last, so that a fault's time does not run while the services start.
        asked.iter().try_for_each(|fault| faults.covered(&fault.service).map(drop))?;
        for fault in asked {
            faults.add(fault);
        }
        Ok(Self { faults, aws: aws_regions, azure: azure_regions, admin, sites })
    }

    /// Where and with what keys to reach the services: the `sites` of the ready file.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// Where the admin interface is, as `http://127.0.0.1:PORT`.
    pub fn admin(&self) -> String {
        format!("http://{}", self.admin.address())
    }

    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// The sites in AWS, in the order of the options.
    pub fn aws(&self) -> &[AwsRegion] {
        &self.aws
    }

    /// The sites in Azure, in the order of the options.
    pub fn azure(&self) -> &[AzureRegion] {
        &self.azure
    }

    /// Stops all services at once, letting calls finish for a moment.
    pub async fn stop(self) {
        let Self { aws, azure, admin, .. } = self;
        tokio::join!(
            join_all(aws.into_iter().map(AwsRegion::stop)),
            join_all(azure.into_iter().map(AzureRegion::stop)),
            admin.stop()
        );
    }
}

fn refuse_twice(aws: &[AwsOptions], azure: &[AzureOptions]) -> Result<(), StartError> {
    let mut names: Vec<SiteName> = aws.iter().map(|site| SiteName::new(Cloud::Aws, &site.region)).collect();
    names.extend(azure.iter().map(|site| SiteName::new(Cloud::Azure, &site.region)));
    names.sort();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    twice.map_or(Ok(()), |pair| Err(StartError::Twice(pair[0].clone())))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Turns the system's word for a failed listen into one with advice.
fn listen(service: &str, address: SocketAddr, flag: &'static str) -> impl FnOnce(io::Error) -> StartError {
    let service = service.to_owned();
    move |source| {
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse if flag == "--service-bus-address" => format!(
                "another program (a message broker, or another localcloud) has this port; give this one an address of its own, \
                 such as {flag} 127.0.0.2"
            ),
            io::ErrorKind::AddrInUse => {
                format!("another program has this port; choose another with {flag}, or 0 to let the system choose")
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; on macOS, add it first: sudo ifconfig lo0 alias ADDRESS".to_owned()
            }
            io::ErrorKind::PermissionDenied => format!("ports below 1024 need rights; choose another with {flag}"),
            io::ErrorKind::InvalidInput => {
                format!("localcloud guards nothing, so it stays on this machine; see {flag}")
            }
            _ => format!("see {flag}"),
        };
        StartError::Listen { service, address: address.to_string(), advice, source }
    }
}
