//! `bridge schema`: the contracts, as they are in `schema/`.

use clap::ValueEnum;

use crate::exit::Code;

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
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Code> {
    super::print(match args.contract {
        Contract::Event => include_str!("../../../../schema/event.v1.schema.json"),
        Contract::Record => include_str!("../../../../schema/record.v1.schema.json"),
        Contract::Reasons => include_str!("../../../../schema/dead-letter-reasons.json"),
        Contract::Asyncapi => include_str!("../../../../schema/asyncapi.yaml"),
        Contract::Cloudevents => include_str!("../../../../schema/cloudevents.md"),
    })?;
    Ok(Code::Done)
}
