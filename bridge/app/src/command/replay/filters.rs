//! The flags that choose messages.

use bridge_core::{envelope, reason::Reason};
use bridge_ops::replay::filter::Filter;
use chrono::{DateTime, Utc};

use super::options::Faults;

#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only messages with this id, as a plan lists them; may be repeated, as all filters may
    #[arg(long, value_name = "ID")]
    pub(super) message_id: Vec<String>,
    /// Only letters with this reason; `waiting` is the reason of a message that nobody has set aside
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    reason: Vec<String>,
    /// Only events of this key
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// Only this event
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    event_id: Vec<String>,
    /// Only events that were written at this site
    #[arg(long, value_name = "SITE", value_delimiter = ',')]
    source_region: Vec<String>,
    /// Only events that did this: create, update, upsert or delete
    #[arg(long, value_name = "OP", value_delimiter = ',')]
    op: Vec<String>,
    /// Only events from this instant on (RFC 3339), by their timestamp. Where it cannot be read, the time counts at which the message
    /// was first seen
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events before this instant, by the same time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many messages
    #[arg(long, value_name = "COUNT")]
    pub(super) limit: Option<u64>,
}

impl FilterArgs {
    pub(super) fn read(&self, faults: &mut Faults) -> Filter {
        Filter {
            message_ids: self.message_id.clone(),
            reasons: faults.all("--reason", &self.reason, reason),
            keys: faults.all("--key", &self.key, str::parse),
            event_ids: faults.all("--event-id", &self.event_id, str::parse),
            origins: faults.all("--source-region", &self.source_region, str::parse),
            ops: faults.all("--op", &self.op, str::parse),
            since: self.since.as_deref().and_then(|text| faults.read("--since", instant(text))),
            until: self.until.as_deref().and_then(|text| faults.read("--until", instant(text))),
        }
    }

    /// The filters as a person would write them, for the plan's head.
    pub(super) fn words(&self) -> Vec<String> {
        let lists = [
            ("message-id", &self.message_id),
            ("reason", &self.reason),
            ("key", &self.key),
            ("event-id", &self.event_id),
            ("source-region", &self.source_region),
            ("op", &self.op),
        ];
        let lists = lists.into_iter().flat_map(|(name, texts)| texts.iter().map(move |text| format!("{name}={text}")));
        let single = [("since", self.since.clone()), ("until", self.until.clone())];
        let single = single.into_iter().chain([("limit", self.limit.map(|limit| limit.to_string()))]);
        lists.chain(single.filter_map(|(name, text)| Some(format!("{name}={}", text?)))).collect()
    }
}

fn reason(text: &str) -> Result<String, String> {
    let known = Reason::ALL.map(Reason::as_str);
    if known.contains(&text) || text == "waiting" || text.starts_with("broker:") {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no reason; there are {}, waiting, and broker:... for the broker's own", known.join(", ")))
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    envelope::parse_timestamp(text).map(|timestamp| timestamp.utc)
}
