//! The contract of counting: what was sent is counted, whatever state it is in, and counting takes nothing.

use std::{sync::Arc, time::Duration};

use bridge_adapters::{
    aws::SqsDepth,
    azure::service_bus::{ServiceBusDepth, ServiceBusDescriptions, ServiceBusQueue},
    memory::{ManualClock, MemoryQueue, MemoryQueueOptions},
};
use bridge_core::port::{Clock, Depth, Message, Properties, Queue};
use bridge_tests::{
    at,
    cloud::{aws_clients, local_cloud, runtime, skipped, url},
    unique,
};
use localcloud::service_bus::QueueSettings;

use crate::backends::{service_bus_options, sqs_queue};

/// Four messages: one in somebody's hands, one given back for later, two waiting.
async fn counts_what_was_sent(queue: &dyn Queue, depth: &dyn Depth) {
    let empty = depth.depth().await.unwrap();
    assert_eq!((empty.messages(), empty.oldest), (0, None));
    let message = |n: u32| Message { id: unique(&n.to_string()), body: "{}".into(), properties: Properties::new() };
    let sent = queue.send(&[1, 2, 3, 4].map(message)).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let before = depth.depth().await.unwrap();
    assert_eq!((before.waiting, before.messages()), (4, 4));

    let held = queue.receive(2, Duration::from_secs(5)).await.unwrap();
    assert_eq!(held.len(), 2);
    queue.retry(&[(&held[0], Duration::from_secs(60))]).await.remove(0).unwrap();
    let now = depth.depth().await.unwrap();
    assert_eq!(now.messages(), 4, "{now:?}");
    // Where a retry hides the very message, the broker counts it as in flight.
    let hidden = now.delayed + now.in_flight.unwrap_or_default();
    assert!(now.waiting + hidden == 4 && hidden >= 1, "{now:?}");
    assert!(now.oldest.is_none() || before.oldest.is_some(), "{before:?} {now:?}");
    queue.ack(&[held[1].receipt.clone()]).await;
    assert_eq!(depth.depth().await.unwrap().messages(), 3);
}

#[test]
fn memory_queue_counts_what_was_sent() {
    let manual = ManualClock::new(at(0));
    let queue = MemoryQueue::new(MemoryQueueOptions::default(), Arc::clone(&manual) as Arc<dyn Clock>);
    manual.drive(counts_what_was_sent(&queue, &queue));
}

#[test]
fn sqs_counts_what_was_sent() {
    if skipped("sqs", "counts_what_was_sent") {
        return;
    }
    runtime().block_on(async {
        let queue_url = local_cloud().aws()[0].sqs.create_queue(&unique("depth"), &[]).expect("a new name");
        let clients = aws_clients(local_cloud()).await;
        let queue = sqs_queue(&clients, queue_url.clone());
        counts_what_was_sent(&queue, &SqsDepth::new(clients, queue_url)).await;
    });
}

#[test]
fn service_bus_counts_what_was_sent() {
    if skipped("service-bus", "counts_what_was_sent") {
        return;
    }
    runtime().block_on(async {
        let name = unique("depth");
        local_cloud().azure()[0].service_bus.create_queue(&name, QueueSettings::default());
        let options = service_bus_options(local_cloud(), &name, |text| text);
        let http = url(&local_cloud().azure()[0].site.service_bus_http_endpoint);
        let descriptions = Arc::new(ServiceBusDescriptions::new(options.connection.clone(), Some(http)));
        let queue = Arc::new(ServiceBusQueue::new(options));
        let depth = ServiceBusDepth::of(descriptions, &name, Arc::clone(&queue));
        counts_what_was_sent(&*queue, &depth).await;
        queue.close().await;
    });
}
