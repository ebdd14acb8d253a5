//! Service Bus at the level of bytes: what a broken, hostile or merely slow peer can do, and what it must not do to others.
//!
//! The official clients have their own tests; here a small AMQP peer says exactly what each test wants said.

#![allow(clippy::unwrap_used, reason = "a step that fails must fail its test")]

mod attach;
mod faults;
mod http;
mod messages;
mod others;
mod peer;
mod protocol;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use localcloud::fault::Faults;
use localcloud::service_bus::{QueueSettings, ServiceBus, ServiceBusOptions, Tier};

const KEY_NAME: &str = "RootManageSharedAccessKey";
const KEY: &str = "secret";

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A namespace with the queues `orders` and `others`, whose locks last for 300 ms.
async fn start() -> ServiceBus {
    start_with(Tier::Standard, Faults::new(1)).await
}

async fn start_with(tier: Tier, faults: Arc<Faults>) -> ServiceBus {
    let options = ServiceBusOptions {
        region: "westeurope".to_owned(),
        address: loopback(),
        http_address: loopback(),
        key_name: KEY_NAME.into(),
        key: KEY.into(),
        tier,
        faults,
    };
    let settings = QueueSettings { lock_duration: Duration::from_millis(300), ..QueueSettings::default() };
    let queues = vec![("Orders".to_owned(), settings.clone()), ("others".to_owned(), settings)];
    ServiceBus::start(options, queues).await.unwrap()
}
