//! ATOM as the management of queues speaks it: entries and feeds written, and the few elements that a description sets read.

use std::{borrow::Cow, fmt::Write as _};

use chrono::DateTime;
use quick_xml::{Reader, escape::unescape, events::Event};

use super::duration;
use crate::service_bus::settings::{Counts, QueueSettings};

const CONNECT: &str = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect";
const COUNTS: &str = "http://schemas.microsoft.com/netservices/2011/06/servicebus";

/// A queue as its entry shows it.
pub(super) struct Description {
    pub(super) name: String,
    pub(super) settings: QueueSettings,
    pub(super) counts: Counts,
    pub(super) size_bytes: u64,
    pub(super) max_message_bytes: usize,
    /// Milliseconds since 1970.
    pub(super) created: i64,
    pub(super) updated: i64,
}

pub(super) fn entry(base: &str, queue: &Description) -> String {
    format!(r#"<entry xmlns="http://www.w3.org/2005/Atom">{}</entry>"#, inner_entry(base, queue))
}

/// Entries in a feed inherit its namespace.
fn inner_entry(base: &str, queue: &Description) -> String {
    let name = escape(&queue.name);
    let (created, updated) = (time(queue.created), time(queue.updated));
    format!(
        r#"<id>{base}/{name}</id><title type="text">{name}</title><published>{created}</published><updated>{updated}</updated><author><name>localcloud</name></author><link rel="self" href="{base}/{name}"/><content type="application/xml">{}</content>"#,
        description(queue)
    )
}

fn description(queue: &Description) -> String {
    let settings = &queue.settings;
    let mut out =
        format!(r#"<QueueDescription xmlns="{CONNECT}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">"#);
    let mut put = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(out, "<{name}>{value}</{name}>");
    };
    let window = settings.duplicate_detection.unwrap_or(std::time::Duration::from_mins(10));
    let counts = &queue.counts;
    let total = counts.active + counts.dead_letter + counts.scheduled + counts.deferred;
    put("LockDuration", &duration::format(Some(settings.lock_duration)));
    put("MaxSizeInMegabytes", &(settings.max_size_bytes / (1024 * 1024)));
    put("RequiresDuplicateDetection", &settings.duplicate_detection.is_some());
    put("RequiresSession", &settings.sessions);
    put("DefaultMessageTimeToLive", &duration::format(settings.default_ttl));
    put("DeadLetteringOnMessageExpiration", &settings.dead_letter_on_expiry);
    put("DuplicateDetectionHistoryTimeWindow", &duration::format(Some(window)));
    put("MaxDeliveryCount", &settings.max_delivery_count);
    put("EnableBatchedOperations", &true);
    put("SizeInBytes", &queue.size_bytes);
    put("MessageCount", &total);
    put("IsAnonymousAccessible", &false);
    put("Status", &"Active");
    if let Some(target) = &settings.forward_to {
        put("ForwardTo", &escape(target));
    }
    put("CreatedAt", &time(queue.created));
    put("UpdatedAt", &time(queue.updated));
    put("AccessedAt", &time(queue.updated));
    put("SupportOrdering", &true);
    let details = [
        // The service has no count of deferred messages, and counts them as active: paolosalvatori/ServiceBusExplorer#662, read 2026-11.
        ("ActiveMessageCount", counts.active + counts.deferred),
        ("DeadLetterMessageCount", counts.dead_letter),
        ("ScheduledMessageCount", counts.scheduled),
        ("TransferMessageCount", 0),
        ("TransferDeadLetterMessageCount", 0),
    ];
    let details = details.iter().fold(String::new(), |mut out, (name, count)| {
        let _ = write!(out, "<d2p1:{name}>{count}</d2p1:{name}>");
        out
    });
    let _ = write!(out, r#"<CountDetails xmlns:d2p1="{COUNTS}">{details}</CountDetails>"#);
    let mut put = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(out, "<{name}>{value}</{name}>");
    };
    put("AutoDeleteOnIdle", &duration::format(settings.idle_life));
    put("EnablePartitioning", &false);
    put("EntityAvailabilityStatus", &"Available");
    put("EnableExpress", &false);
    put("MaxMessageSizeInKilobytes", &(queue.max_message_bytes / 1024));
    out.push_str("</QueueDescription>");
    out
}

/// `next` is the address of the next page. A feed without entries is also what the service says of a queue that is not there.
pub(super) fn feed(base: &str, title: &str, next: Option<&str>, now: i64, queues: &[Description]) -> String {
    let next = next.map(|next| format!(r#"<link rel="next" href="{}"/>"#, escape(next))).unwrap_or_default();
    let entries = queues.iter().fold(String::new(), |mut out, queue| {
        let _ = write!(out, "<entry>{}</entry>", inner_entry(base, queue));
        out
    });
    format!(
        r#"<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">{title}</title><id>{base}/</id><updated>{}</updated><link rel="self" href="{base}/"/>{next}{entries}</feed>"#,
        time(now)
    )
}

pub(super) fn namespace(base: &str, premium: bool, now: i64) -> String {
    let (sku, units) = if premium { ("Premium", 1) } else { ("Standard", 0) };
    let now = time(now);
    format!(
        r#"<entry xmlns="http://www.w3.org/2005/Atom"><id>{base}/$namespaceinfo</id><title type="text">localcloud</title><updated>{now}</updated><author><name>localcloud</name></author><link rel="self" href="{base}/$namespaceinfo"/><content type="application/xml"><NamespaceInfo xmlns="{CONNECT}"><CreatedTime>{now}</CreatedTime><MessagingSKU>{sku}</MessagingSKU><MessagingUnits>{units}</MessagingUnits><ModifiedTime>{now}</ModifiedTime><Name>localcloud</Name><NamespaceType>Messaging</NamespaceType></NamespaceInfo></content></entry>"#
    )
}

/// The text of the first element of that name, whatever its prefix; none if it is missing, empty or not XML.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if tag.local_name().as_ref() == name => {
                let text = reader.read_text(tag.name()).ok()?.into_inner();
                return unescape(text.trim()).ok().map(Cow::into_owned);
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Characters that XML cannot hold at all.
            control if control.is_control() && !matches!(control, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

fn time(milliseconds: i64) -> String {
    let at = DateTime::from_timestamp_millis(milliseconds).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_with_and_without_a_prefix() {
        let xml = r#"<?xml version="1.0"?><entry><a:content type="x"><ns0:QueueDescription xmlns:ns0="u"><ns0:LockDuration> PT5S </ns0:LockDuration><Empty/><MaxDeliveryCount i:x="1">3</MaxDeliveryCount></ns0:QueueDescription></a:content></entry>"#;
        assert_eq!(element(xml, "LockDuration").as_deref(), Some("PT5S"));
        assert_eq!(element(xml, "MaxDeliveryCount").as_deref(), Some("3"));
        assert_eq!(element(xml, "Empty"), None);
        assert_eq!(element("<<<", "x"), None);
        assert_eq!(element("<x", "x"), None);
    }

    #[test]
    fn names_cannot_break_out_of_their_element() {
        assert_eq!(escape("<a>&\"\u{1}"), "&lt;a&gt;&amp;&quot;\u{fffd}");
    }
}
