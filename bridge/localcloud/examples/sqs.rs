//! Serves SQS alone, until it is interrupted: `cargo run -p bridge-localcloud --example sqs -- 9324`.
//!
//! Then, for instance: `aws --endpoint-url http://127.0.0.1:9324 --region us-east-1 sqs create-queue --queue-name q`, with
//! `AWS_ACCESS_KEY_ID=local` and any secret key.

use std::net::SocketAddr;

use bridge_localcloud::fault::Faults;
use bridge_localcloud::sqs::{Sqs, SqsOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(9324), |port| port.parse())?;
    let faults = Faults::new(1);
    for fault in std::env::args().skip(2) {
        faults.add(fault.parse()?);
    }
    let options = SqsOptions {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        access_key_id: "local".to_owned(),
        faults,
    };
    let sqs = Sqs::start(options).await?;
    eprintln!("SQS is at {}, region us-east-1, access key id 'local'", sqs.endpoint());
    tokio::signal::ctrl_c().await?;
    sqs.stop().await;
    Ok(())
}
