//! Both clouds on this machine, until Ctrl-C.
//!
//! Prints one line of JSON once all is up: what `bridge local` writes to its ready file. Arguments, each optional: a loopback
//! address for Service Bus, then any number of faults (`dynamodb:PutItem:throttle,probability=0.2`).

use std::error::Error;
use std::process::ExitCode;

use bridge_localcloud::{LocalCloud, Options};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(address) => options.service_bus_address = address,
            Err(_) => options.faults.push(argument.parse()?),
        }
    }
    let cloud = LocalCloud::start(options).await?;
    let ready = serde_json::json!({ "sites": cloud.sites(), "admin": cloud.admin() });
    #[expect(clippy::print_stdout, reason = "the line is what whoever started this waits for")]
    {
        println!("{ready}");
    }
    tokio::signal::ctrl_c().await?;
    cloud.stop().await;
    Ok(())
}
