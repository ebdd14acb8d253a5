//! Tokens of Service Bus, over three of their lives: they are renewed in time, and one that was refused is replaced.
//!
//! Each test has a local cloud of its own, as it moves the service's clock.

use std::{collections::BTreeMap, time::Duration};

use bridge_adapters::azure::service_bus::ServiceBusQueue;
use bridge_core::port::Queue;
use bridge_tests::{
    cloud::{runtime, skipped, start},
    message, seconds,
};
use localcloud::{LocalCloud, fault::Service};
use tokio::time::{Instant, sleep};

use crate::backends::service_bus_options;

/// A token that is sent over HTTP is not used for its last five minutes.
const MARGIN: Duration = Duration::from_mins(5);

fn with_tokens(name: &str, life: Duration, test: impl AsyncFnOnce(&LocalCloud, ServiceBusQueue)) {
    if skipped("service-bus", name) {
        return;
    }
    runtime().block_on(async {
        let cloud = start().await;
        let mut options = service_bus_options(&cloud, &cloud.azure()[0].site.queue, |text| text);
        options.connection = options.connection.with_token_life(life);
        test(&cloud, ServiceBusQueue::new(options)).await;
        cloud.stop().await;
    });
}

/// How far the service's clock is ahead of this machine's from now on.
fn set_clock(cloud: &LocalCloud, ahead: Duration) {
    let services = cloud.faults().services();
    let service_bus = services.iter().filter(|service| service.at().service == Service::ServiceBus);
    service_bus.for_each(|service| service.set_clock_offset(i64::try_from(ahead.as_millis()).unwrap()));
}

/// How often the service answered `operation` so.
fn answers(cloud: &LocalCloud, operation: &str) -> BTreeMap<String, u64> {
    let counts = cloud.faults().counts().into_iter();
    let asked = counts.filter(|count| count.service == Service::ServiceBus && count.operation == operation);
    asked.map(|count| (count.status, count.count)).collect()
}

async fn send(queue: &ServiceBusQueue) {
    queue.send(&[message("a")]).await.remove(0).unwrap();
}

/// The service ends a connection whose token has ended.
#[test]
fn a_connection_outlives_its_tokens() {
    with_tokens("a connection", seconds(4), async |cloud, queue| {
        let start = Instant::now();
        while start.elapsed() < seconds(13) {
            send(&queue).await;
            let taken = queue.receive(10, seconds(1)).await.unwrap();
            let receipts: Vec<_> = taken.into_iter().map(|delivery| delivery.receipt).collect();
            for acked in queue.ack(&receipts).await {
                acked.unwrap();
            }
        }
        let connections = answers(cloud, "connect").values().sum::<u64>();
        assert_eq!(connections, 1, "a token was not renewed in time");
        queue.close().await;
    });
}

#[test]
fn a_sender_shows_no_token_that_has_ended() {
    // Used for three seconds, good for five at the service.
    with_tokens("a sender", MARGIN + seconds(3), async |cloud, queue| {
        set_clock(cloud, MARGIN.saturating_sub(seconds(2)));
        let start = Instant::now();
        while start.elapsed() < seconds(11) {
            send(&queue).await;
            sleep(Duration::from_millis(250)).await;
        }
        let answers = answers(cloud, "rest-send");
        assert_eq!(answers.keys().collect::<Vec<_>>(), ["201"], "{answers:?}");
    });
}

/// A key may have been changed, or this machine's clock.
#[test]
fn a_token_that_is_refused_is_replaced_once() {
    with_tokens("a refused token", MARGIN + seconds(60), async |cloud, queue| {
        send(&queue).await;
        sleep(seconds(6)).await;
        // The first token ended three seconds ago, and a new one is good for three.
        set_clock(cloud, MARGIN + seconds(57));
        send(&queue).await;
        assert_eq!(answers(cloud, "rest-send"), BTreeMap::from([("201".to_owned(), 2), ("401".to_owned(), 1)]));
        set_clock(cloud, MARGIN * 2);
        queue.send(&[message("a")]).await.remove(0).unwrap_err();
        assert_eq!(answers(cloud, "rest-send")["401"], 3, "one more try, and no more than one");
    });
}
