//! `bridge letter`: one dead letter with its properties and its body.

use anyhow::Context;
use bridge_adapters::clock::SystemClock;
use bridge_core::{
    port::{Clock, Properties},
    property::rfc3339,
    text,
};
use bridge_ops::replay::{
    find::{Found, find},
    route::Source,
    setting::SourceQueue,
};
use serde_json::{Value, json};

use crate::{
    assemble,
    command::table::{Column, table},
    config::Config,
    exit::{Code, Misuse},
    telemetry::incidents::Log,
    tell::tell,
};

/// Bytes of a body that are shown; `--json` has all of it.
const SHOWN_BYTES: usize = 16 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It takes nothing out of the queue. --json prints one line for each letter: bridge replay reads such lines from a file. To drop a letter: bridge replay --to nowhere.\n\nExample: bridge letter aws:us-east-1 6f9619ff-8b86-4d01-b42d-00cf4fc964ff --config bridge.toml"
)]
pub(crate) struct Args {
    /// The site whose dead letters to look through, its own and the broker's
    #[arg(value_name = "SITE")]
    site: String,
    /// The message's id, as `bridge replay --dry-run` lists it
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON, with the whole body
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    let site = args.site.parse().map_err(|error| Misuse(format!("{}: {error}", args.site)))?;
    config.knows(&site).map_err(Misuse)?;
    let sources = assemble::sources(&config, &Source::DeadLetters(site)).await?;
    let found = find(&sources, &args.id, config.inflight_bytes_max, SystemClock.now(), &Log).await;
    let hidden = match &found {
        Ok(found) if found.is_empty() => hidden(&sources).await,
        _ => 0,
    };
    futures_util::future::join_all(sources.iter().map(|source| source.queue.close())).await;
    let found = found.map_err(|error| anyhow::anyhow!(error.chain())).context("the dead letters cannot be read")?;
    if found.is_empty() {
        tell!("no dead letter of {} has the id {}", args.site, text::line(&args.id));
        if hidden > 0 {
            tell!("about {hidden} more are in flight elsewhere, and show again within two minutes: run this once more");
        }
        return Ok(Code::Failed);
    }
    for (number, letter) in found.iter().enumerate() {
        let queue = sources[letter.queue].queue.to_string();
        let gap = if number > 0 && !args.json { "\n" } else { "" };
        let text = if args.json { format!("{}\n", as_json(letter, &queue)) } else { as_text(letter, &queue) };
        super::print(&format!("{gap}{text}"))?;
    }
    Ok(Code::Done)
}

/// Messages that a look does not show, about.
async fn hidden(sources: &[SourceQueue]) -> u64 {
    let mut hidden = 0;
    for source in sources {
        hidden += source.hidden(&Log).await;
    }
    hidden
}

fn as_json(letter: &Found, queue: &str) -> Value {
    let Found { message, delivery, .. } = letter;
    let mut object = json!({
        "queue": queue, "message_id": delivery.message_id, "message": message.to_string(), "attempt": delivery.attempt,
        "first_seen": delivery.first_seen.map(rfc3339), "bytes": delivery.body.len(), "properties": delivery.properties,
    });
    // A body that is no text is no event either.
    match std::str::from_utf8(&delivery.body) {
        Ok(text) => object["body"] = text.into(),
        Err(_) => object["body_hex"] = hex::encode(&delivery.body).into(),
    }
    object
}

fn as_text(letter: &Found, queue: &str) -> String {
    let delivery = &letter.delivery;
    let mut text = format!("{}\n\n", line(&delivery.message_id));
    let mut told = Properties::from([
        ("queue".to_owned(), queue.to_owned()),
        ("deliveries".to_owned(), delivery.attempt.to_string()),
        ("body".to_owned(), format!("{} bytes", delivery.body.len())),
    ]);
    told.extend(delivery.first_seen.map(|at| ("first seen".to_owned(), rfc3339(at))));
    for properties in [&told, &delivery.properties] {
        let row = |(name, value): (&String, &String)| vec![format!("  {}", line(name)), line(value)];
        text += &table(&[Column::Left(0)], &properties.iter().map(row).collect::<Vec<_>>());
        text.push('\n');
    }
    let shown = &delivery.body[..delivery.body.len().min(SHOWN_BYTES)];
    for part in String::from_utf8_lossy(shown).split('\n') {
        text += &line(part);
        text.push('\n');
    }
    if shown.len() < delivery.body.len() {
        text += &format!("... the first {SHOWN_BYTES} bytes; --json prints all {}\n", delivery.body.len());
    }
    text
}

/// One line that no terminal acts upon.
fn line(line: &str) -> String {
    text::bounded(line, SHOWN_BYTES, 4 * SHOWN_BYTES)
}

#[cfg(test)]
mod tests {
    use bridge_core::port::{Delivery, Receipt};
    use bridge_ops::replay::fingerprint::Fingerprint;

    use super::*;

    fn letter(body: &[u8]) -> Found {
        let properties = Properties::from([("bridge_reason".to_owned(), "not\u{1b}[2Jjson".to_owned())]);
        let delivery = Delivery {
            receipt: Receipt("secret".to_owned()),
            message_id: "m\u{7}".to_owned(),
            attempt: 2,
            first_seen: None,
            body: body.to_vec().into(),
            properties,
        };
        Found { queue: 0, message: Fingerprint::of(0, "m", body), delivery }
    }

    #[test]
    fn a_letter_is_shown_whole_or_with_its_end_named_and_never_acts_on_a_terminal() {
        let text = as_text(&letter(b"{\n\x1b[31m\xff}"), "sqs dead");
        assert!(!text.contains('\u{1b}') && !text.contains("secret"), "{text}");
        assert!(text.contains("\n{\n\\u{1B}[31m\u{FFFD}}\n") && text.contains("9 bytes"), "{text}");
        let text = as_text(&letter(&vec![b'x'; SHOWN_BYTES + 1]), "sqs dead");
        assert!(text.contains("... the first 16384 bytes; --json prints all 16385"), "{text}");
        let json = as_json(&letter(b"\xff"), "sqs dead");
        assert_eq!((&json["body_hex"], &json["body"]), (&"ff".into(), &Value::Null));
    }
}
