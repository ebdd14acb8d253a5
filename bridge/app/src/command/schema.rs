//! `bridge schema`: the contracts, as they are in `schema/`.

use clap::ValueEnum;

use crate::{config, exit::Code};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bridge schema event | jq .required")]
pub(crate) struct Args {
    /// Which contract
    #[arg(default_value = "event")]
    contract: Contract,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Contract {
    /// The event: JSON Schema of a message's body
    Event,
    /// The record: JSON Schema of what both stores hold
    Record,
    /// The dead-letter reasons: what each means, who can mend it
    Reasons,
    /// The queues and their messages: AsyncAPI
    Asyncapi,
    /// How `CloudEvents` are read
    Cloudevents,
    /// The configuration's file: JSON Schema for editors
    Config,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Code> {
    if matches!(args.contract, Contract::Config) {
        super::print(&config::schema::text())?;
        return Ok(Code::Done);
    }
    super::print(match args.contract {
        Contract::Event => include_str!("../../../../schema/event.v1.schema.json"),
        Contract::Record => include_str!("../../../../schema/record.v1.schema.json"),
        Contract::Reasons => include_str!("../../../../schema/dead-letter-reasons.json"),
        Contract::Asyncapi => include_str!("../../../../schema/asyncapi.yaml"),
        Contract::Cloudevents => include_str!("../../../../schema/cloudevents.md"),
        Contract::Config => unreachable!("it is printed above"),
    })?;
    Ok(Code::Done)
}
