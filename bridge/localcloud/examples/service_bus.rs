//! Serves Service Bus alone: `service_bus ADDRESS [SETTING=VALUE]... QUEUE...`, until Ctrl-C.
//!
//! The settings are those of all queues: `lock=MILLISECONDS`, `deliveries=N`, `dedup=SECONDS`, `ttl=MILLISECONDS`,
//! `expire=dead-letter`, `tier=premium`, `http=PORT`, and `fault=TEXT` (as `--fault` takes it).

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bridge_localcloud::fault::Faults;
use bridge_localcloud::service_bus::{QueueSettings, ServiceBus, ServiceBusOptions, Tier};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr =
        arguments.next().ok_or("usage: service_bus ADDRESS [SETTING=VALUE]... QUEUE...")?.parse()?;
    let mut http_address = SocketAddr::new(address.ip(), 0);
    let mut settings = QueueSettings::default();
    let mut tier = Tier::Standard;
    let mut queues = Vec::new();
    let faults = Faults::new(1);
    for argument in arguments {
        match argument.split_once('=') {
            Some(("lock", value)) => settings.lock_duration = Duration::from_millis(value.parse()?),
            Some(("deliveries", value)) => settings.max_delivery_count = value.parse()?,
            Some(("dedup", value)) => settings.duplicate_detection = Some(Duration::from_secs(value.parse()?)),
            Some(("ttl", value)) => settings.default_ttl = Some(Duration::from_millis(value.parse()?)),
            Some(("expire", "dead-letter")) => settings.dead_letter_on_expiry = true,
            Some(("tier", "premium")) => tier = Tier::premium(),
            Some(("http", value)) => http_address.set_port(value.parse()?),
            Some(("fault", value)) => drop(faults.add(value.parse()?)),
            Some((name, _)) => return Err(format!("there is no setting '{name}'").into()),
            None => queues.push(argument),
        }
    }
    let options = ServiceBusOptions {
        address,
        http_address,
        key_name: "RootManageSharedAccessKey".into(),
        key: "SAS_KEY_VALUE".into(),
        tier,
        faults,
    };
    let queues = queues.into_iter().map(|name| (name, settings.clone())).collect();
    let service_bus = ServiceBus::start(options, queues).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\nhttp://{}", service_bus.connection_string(), service_bus.http_address())?;
    drop(out);
    tokio::signal::ctrl_c().await?;
    service_bus.stop().await;
    Ok(())
}
