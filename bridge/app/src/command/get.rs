//! `bridge get`: a key's record at every site, side by side, and whether they agree.

use bridge_adapters::clock::SystemClock;
use bridge_core::{
    event::{Key, SiteId},
    failure::FailureKind,
    port::Clock,
    record::Record,
};
use bridge_ops::verify::{
    Held, Target,
    finding::{is_ahead, misfit},
};
use futures_util::future;
use serde_json::{Value, json};

use crate::{
    assemble,
    command::table::{Column, table},
    config::Config,
    exit::{Code, Misuse},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bridge get order-42 --config bridge.toml")]
pub(crate) struct Args {
    /// Key of the entity
    key: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a site holds of the key, or why it could not be read.
type Answer = (SiteId, Result<Found, String>);

/// What a site holds of a key.
struct Found {
    held: Held,
    /// What is wrong with items that lie beside it.
    beside: Vec<String>,
    /// Whether a record is stamped further ahead than any worker accepts.
    ahead: bool,
}

impl Found {
    /// Whether something else than the bridge wrote it.
    fn is_strange(&self) -> bool {
        let strange = matches!(self.held, Held::Foreign(_)) || self.held.record().and_then(misfit).is_some();
        strange || !self.beside.is_empty()
    }
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    let key: Key = args.key.parse().map_err(|error| Misuse(format!("this cannot be a key: {error}")))?;
    let answers: Vec<Answer> = future::join_all(config.sites.keys().map(|site| async {
        let read = async {
            let Target { store, scan } = assemble::target(&config, site).await.map_err(|error| format!("{error:#}"))?;
            let held = match store.get(&key).await {
                Ok(None) => Held::Absent,
                Ok(Some(record)) => Held::Record(Box::new(record)),
                Err(error) => match error.kind {
                    FailureKind::Rejected { detail } => Held::Foreign(detail),
                    _ => return Err(error.chain()),
                },
            };
            let beside = scan.beside(&key).await.map_err(|error| error.chain())?;
            let ahead = held.record().is_some_and(|record| is_ahead(record, SystemClock.now(), config.future_max));
            Ok(Found { held, beside: beside.into_iter().map(|item| item.what).collect(), ahead })
        };
        (site.clone(), read.await)
    }))
    .await;
    let code = judge(&answers);
    let text = if args.json { as_json(&key, &answers, code) } else { as_table(&key, &answers, code) };
    super::print(&text)?;
    Ok(code)
}

fn judge(answers: &[Answer]) -> Code {
    if answers.iter().any(|(_, answer)| answer.is_err()) {
        return Code::Failed;
    }
    let held: Vec<_> = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).collect();
    let agree = held.windows(2).all(|pair| match (&pair[0].held, &pair[1].held) {
        (Held::Absent, Held::Absent) => true,
        (Held::Record(one), Held::Record(other)) => one.agrees_with(other),
        _ => false,
    });
    if agree && strangers(answers).is_empty() && ahead(answers).is_empty() { Code::Done } else { Code::Remains }
}

/// The sites that hold what something else than the bridge wrote.
fn strangers(answers: &[Answer]) -> Vec<&str> {
    sites(answers, Found::is_strange)
}

/// The sites whose record wins until its time comes.
fn ahead(answers: &[Answer]) -> Vec<&str> {
    sites(answers, |found| found.ahead)
}

fn sites(answers: &[Answer], which: impl Fn(&Found) -> bool) -> Vec<&str> {
    let those = answers.iter().filter(|(_, answer)| answer.as_ref().is_ok_and(&which));
    those.map(|(site, _)| site.as_str()).collect()
}

/// Whether every site has a record, and all of one version: then their contents differ.
fn same_version(answers: &[Answer]) -> bool {
    let versions = answers.iter().map(|(_, answer)| answer.as_ref().ok()?.held.version());
    let versions: Option<Vec<_>> = versions.collect();
    versions.is_some_and(|versions| versions.windows(2).all(|pair| pair[0] == pair[1]))
}

fn verdict(code: Code, answers: &[Answer]) -> String {
    let absent = answers.iter().all(|(_, answer)| matches!(answer, Ok(Found { held: Held::Absent, .. })));
    let (strangers, ahead) = (strangers(answers), ahead(answers));
    match code {
        Code::Done if absent => "no site has this key".to_owned(),
        Code::Done => format!("all {} sites agree", answers.len()),
        Code::Remains if !strangers.is_empty() => {
            format!(
                "something else than the bridge wrote this key at {}: docs/verify.md, \"What is left\", says what to do",
                strangers.join(" and ")
            )
        }
        Code::Remains if !ahead.is_empty() => {
            format!(
                "the record at {} is stamped in the future, and wins until then: docs/verify.md, \"What is left\", says what to do",
                ahead.join(" and ")
            )
        }
        Code::Remains if same_version(answers) => {
            "the sites DIFFER: one version with several contents, and no event on its way mends that: docs/verify.md, \"differs\"".to_owned()
        }
        Code::Remains => {
            "the sites DIFFER: an event may still be on its way; look again, then at the dead letters".to_owned()
        }
        Code::Failed | Code::Usage | Code::Interrupted | Code::Unread => {
            "not every site could be read; see the errors above".to_owned()
        }
    }
}

fn as_json(key: &Key, answers: &[Answer], code: Code) -> String {
    let sites: serde_json::Map<String, Value> = answers
        .iter()
        .map(|(site, answer)| {
            let value = match answer {
                Ok(found) => found_json(found),
                Err(error) => json!({ "error": error }),
            };
            (site.to_string(), value)
        })
        .collect();
    let agree = match code {
        Code::Done => json!(true),
        Code::Remains => json!(false),
        Code::Failed | Code::Usage | Code::Interrupted | Code::Unread => Value::Null,
    };
    let answer = json!({ "key": key.as_str(), "agree": agree, "sites": sites });
    format!("{answer:#}\n")
}

fn found_json(Found { held, beside, ahead }: &Found) -> Value {
    let mut value = match held {
        Held::Foreign(what) => json!({ "foreign": what }),
        held => json!({ "record": held.record().map(record_json) }),
    };
    if !beside.is_empty() {
        value["beside"] = json!(beside);
    }
    if *ahead {
        value["ahead"] = true.into();
    }
    value
}

fn record_json(record: &Record) -> Value {
    let mut value = json!({
        "version": record.version.as_str(),
        "event_id": record.event_id.to_string(),
        "source_region": record.source_region.as_str(),
        "timestamp": record.timestamp,
        "op_type": record.op.as_str(),
        "deleted": record.deleted(),
        "applied_at": record.applied_at,
        "applied_by": record.applied_by.as_str(),
    });
    if let Some(payload) = &record.payload {
        value["payload"] = Value::Object(payload.to_map());
    }
    if let Some(what) = misfit(record) {
        value["misfit"] = what.into();
    }
    value
}

fn as_table(key: &Key, answers: &[Answer], code: Code) -> String {
    let mut text = format!("{key}\n");
    for (site, answer) in answers {
        text += &format!("\n{site}\n");
        let Found { held, beside, .. } = match answer {
            Ok(found) => found,
            Err(error) => {
                text += &words("error", error);
                continue;
            }
        };
        match held {
            Held::Absent => text += "  absent\n",
            Held::Foreign(what) => text += &words("foreign", what),
            Held::Record(record) => text += &record_lines(record),
        }
        for what in beside {
            text += &words("foreign", what);
        }
    }
    format!("{text}\n{}\n", super::fitted(&verdict(code, answers)))
}

/// What is said in words fits the terminal; a payload is shown as it is.
fn words(name: &str, words: &str) -> String {
    super::fitted(&facts(&[(name, words)]))
}

fn facts(named: &[(&str, &str)]) -> String {
    let rows: Vec<_> = named.iter().map(|(name, value)| vec![format!("  {name}"), (*value).to_owned()]).collect();
    table(&[Column::Left(12), Column::Left(0)], &rows)
}

fn record_lines(record: &Record) -> String {
    let state = match &record.payload {
        Some(payload) => payload.to_string(),
        None => "(deleted: a tombstone)".to_owned(),
    };
    let mut text = facts(&[
        ("op", record.op.as_str()),
        ("timestamp", &record.timestamp),
        ("origin", record.source_region.as_str()),
        ("event", &record.event_id.to_string()),
        ("applied", &format!("{} by {}", record.applied_at, record.applied_by)),
        ("payload", &state),
    ]);
    if let Some(what) = misfit(record) {
        text += &words("misfit", &what);
    }
    text
}
