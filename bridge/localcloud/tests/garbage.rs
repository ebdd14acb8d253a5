//! What no client would send, on every port at once: it must neither end the process nor keep others waiting.

#![allow(clippy::unwrap_used, reason = "a step that fails must fail its test")]

mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use localcloud::{AzureOptions, LocalCloud, Options};
use wire::{exchange, request, throw_garbage};

/// Generous beside the millisecond that an answer takes, little beside the ten seconds that half a request may wait.
const ANSWER_MAX: Duration = Duration::from_secs(2);

const AMQP_HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_every_port_harms_nobody() {
    let cloud = LocalCloud::start(options()).await.unwrap();
    let (aws, azure) = (&cloud.aws()[0].site, &cloud.azure()[0].site);
    let http: Vec<SocketAddr> = [
        &aws.sqs_endpoint,
        &aws.dynamodb_endpoint,
        &azure.service_bus_http_endpoint,
        &azure.cosmos_endpoint,
        &cloud.admin(),
    ]
    .map(|endpoint| endpoint.trim_start_matches("http://").trim_end_matches('/').parse().unwrap())
    .into();
    let amqp = cloud.azure()[0].service_bus.amqp_address();

    let throwing = async {
        tokio::join!(join_all(http.iter().map(|address| throw_garbage(*address))), throw_amqp_garbage(amqp));
    };
    tokio::pin!(throwing);
    // Others are served all the while, and afterwards.
    loop {
        tokio::select! {
            () = &mut throwing => break,
            () = tokio::time::sleep(Duration::from_millis(20)) => all_answer(&http, amqp).await,
        }
    }
    all_answer(&http, amqp).await;
    cloud.stop().await;
}

fn options() -> Options {
    let azure = AzureOptions { service_bus_port: 0, ..AzureOptions::new("westeurope") };
    Options { azure: vec![azure], ..Options::default() }
}

async fn all_answer(http: &[SocketAddr], amqp: SocketAddr) {
    let start = Instant::now();
    for address in http {
        let answer = request(*address, "GET", "/", &[], b"").await;
        assert!(answer.is_some_and(|answer| answer.status < 500), "{address} does not answer");
    }
    assert!(exchange(amqp, AMQP_HEADER).await.starts_with(AMQP_HEADER), "AMQP does not answer");
    assert!(start.elapsed() < ANSWER_MAX, "six answers took {:?}", start.elapsed());
}

/// Wrong protocols, lengths that no frame has, frames cut short, and noise, with and without a good beginning.
async fn throw_amqp_garbage(address: SocketAddr) {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut samples: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"AMQP".to_vec(),
        b"AMQP\x02\x01\x00\x00".to_vec(),
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ];
    for frame in [
        b"\xff\xff\xff\xff\x02\x00\x00\x00".as_slice(),
        b"\x7f\xff\xff\xff\x02\x00\x00\x00x",
        b"\x00\x00\x00\x00\x02\x00\x00\x00",
        b"\x00\x00\x00\x07\x02\x00\x00\x00",
        b"\x00\x00\x00\x08\xff\x00\x00\x00",
        b"\x00\x00\x00\x08\x02\x07\x00\x00",
        b"\x00\x00\x00\x20\x02\x00\x00\x00half",
        // An open whose list claims four billion entries, and one whose text is longer than its frame.
        b"\x00\x00\x00\x14\x02\x00\x00\x00\x00\x53\x10\xd0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x00\x00\x12\x02\x00\x00\x00\x00\x53\x10\xc0\x05\x01\xa1\xff\x61\x61",
    ] {
        samples.push([AMQP_HEADER, frame].concat());
    }
    for _ in 0..50 {
        let noise: Vec<u8> = (0..rng.usize(1..400)).map(|_| rng.u8(..)).collect();
        samples.push([AMQP_HEADER, &noise].concat());
        samples.push(noise);
    }
    for sample in samples {
        exchange(address, &sample).await;
    }
}
