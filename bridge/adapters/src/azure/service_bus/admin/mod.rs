//! What a namespace says of its queues, over its management interface: "Service Bus resource manager REST (ATOM)", read
//! 2026-11. Reading needs the claim `Manage`, or the role Azure Service Bus Data Owner, which no worker has to have.

pub(super) mod atom;

use std::{sync::OnceLock, time::Duration};

use bridge_core::failure::FailureKind;
use bridge_ops::doctor::{Look, QueueFacts, Redrive};
use reqwest::{Client, Url, header::AUTHORIZATION};

use super::{ServiceBusConnection, Timeouts, amqp::connection, sas};
use crate::{
    azure::tls,
    endpoint,
    failure::Failure,
    look::{LOOK, look},
};

const API_VERSION: &str = "2021-05";

/// A message's bytes where a queue does not say. "Service Bus quotas", read 2026-11: 256 KB in Standard.
const STANDARD_MESSAGE_BYTES: u64 = 256 * 1024;

/// Characters of the service's own words that are kept.
const DETAIL_CHARS_MAX: usize = 512;

/// Reads the descriptions of a namespace's queues.
#[derive(Debug)]
pub struct ServiceBusDescriptions {
    target: ServiceBusConnection,
    http_endpoint: Option<Url>,
    timeouts: Timeouts,
    client: OnceLock<Client>,
}

impl ServiceBusDescriptions {
    /// Nothing is sent. `http_endpoint` as in [`ServiceBusOptions`](super::ServiceBusOptions).
    pub fn new(target: ServiceBusConnection, http_endpoint: Option<Url>) -> Self {
        Self { target, http_endpoint, timeouts: Timeouts::default(), client: OnceLock::new() }
    }

    /// Where the namespace answers HTTP; none if that cannot be known.
    pub fn endpoint(&self) -> Option<Url> {
        match &self.http_endpoint {
            Some(url) => Some(url.clone()),
            None if self.target.encrypted => Url::parse(&format!("https://{}/", self.target.host)).ok(),
            None => None,
        }
    }

    /// Looks at one queue, for `limit` at most.
    pub async fn queue(&self, name: &str, limit: Duration) -> Look<QueueFacts> {
        let at = format!("Service Bus queue {name}");
        let place = at.clone();
        let read = async {
            let seen = self.read(name).await.and_then(|xml| facts(name, &xml));
            seen.map_err(|failure| failure.at(&place, LOOK))
        };
        look(at, limit, read).await
    }

    /// The description as it stands.
    pub(crate) async fn read(&self, queue: &str) -> Result<String, Failure> {
        let missing = |detail: String| Failure::new(FailureKind::Missing, detail);
        let mut url = self.endpoint().ok_or_else(|| missing("service_bus_http_endpoint is not set".to_owned()))?;
        endpoint::check(&url).map_err(|insecure| Failure::new(FailureKind::Missing, insecure))?;
        url.path_segments_mut().map_err(|()| missing("no address".to_owned()))?.pop_if_empty().extend(queue.split('/'));
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        let token = sas::token(&self.target.credential, &format!("https://{}/{queue}", self.target.host)).await?;
        let request = self.client(&url)?.get(url).header(AUTHORIZATION, token.header());
        let failed = Failure::of_transport;
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if status.is_success() {
            return Ok(text);
        }
        let words = atom::text(&text, "Detail").unwrap_or(text);
        let detail: String = format!("HTTP {} {words}", status.as_u16()).chars().take(DETAIL_CHARS_MAX).collect();
        Err(sas::of_refusal(Failure::new(tls::refusal(status), detail.trim_end())))
    }

    fn client(&self, at: &Url) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder =
            connection::http_client(at)?.connect_timeout(self.timeouts.connect).timeout(self.timeouts.operation);
        let client = builder.build().map_err(Failure::unavailable)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// The service answers 200 and an empty feed for a queue that is not there.
pub(crate) fn facts(name: &str, xml: &str) -> Result<QueueFacts, Failure> {
    if !xml.contains("QueueDescription") {
        return Err(Failure::new(FailureKind::Missing, format!("the namespace has no queue {name}")));
    }
    let strange = |element: &str| {
        let detail = format!("the description of {name} has no readable {element}");
        Failure::new(FailureKind::Rejected { detail: detail.clone() }, detail)
    };
    let duration = |element: &'static str| -> Result<Option<Duration>, Failure> {
        let text = atom::text(xml, element).ok_or_else(|| strange(element))?;
        atom::duration(&text).map_err(|_| strange(element))
    };
    let is = |element: &str| atom::text(xml, element).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let number = |element: &str| atom::text(xml, element).and_then(|text| text.parse::<u64>().ok());
    let deliveries = number("MaxDeliveryCount").ok_or_else(|| strange("MaxDeliveryCount"))?;
    Ok(QueueFacts {
        retention: duration("DefaultMessageTimeToLive")?,
        lease: duration("LockDuration")?,
        redrive: Some(Redrive {
            deliveries_max: u32::try_from(deliveries).unwrap_or(u32::MAX),
            target: format!("{name}/$DeadLetterQueue"),
        }),
        retries_count: false,
        message_bytes_max: number("MaxMessageSizeInKilobytes")
            .map_or(STANDARD_MESSAGE_BYTES, |kilobytes| kilobytes.saturating_mul(1024)),
        duplicate_detection: if is("RequiresDuplicateDetection") {
            duration("DuplicateDetectionHistoryTimeWindow")?
        } else {
            None
        },
        sessions: is("RequiresSession"),
        forwards_to: atom::text(xml, "ForwardTo").filter(|target| !target.is_empty()),
        idle_life: match atom::text(xml, "AutoDeleteOnIdle") {
            Some(text) => atom::duration(&text).map_err(|_| strange("AutoDeleteOnIdle"))?,
            None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "<entry><content><QueueDescription><LockDuration>PT30S</LockDuration>\
        <RequiresDuplicateDetection>true</RequiresDuplicateDetection><RequiresSession>false</RequiresSession>\
        <DefaultMessageTimeToLive>P14D</DefaultMessageTimeToLive>\
        <DuplicateDetectionHistoryTimeWindow>PT10M</DuplicateDetectionHistoryTimeWindow>\
        <MaxDeliveryCount>10</MaxDeliveryCount><MaxMessageSizeInKilobytes>256</MaxMessageSizeInKilobytes>\
        </QueueDescription></content></entry>";

    #[test]
    fn a_description_is_read() {
        let read = facts("q", QUEUE).unwrap();
        assert_eq!(read.retention, Some(Duration::from_hours(14 * 24)));
        assert_eq!(read.lease, Some(Duration::from_secs(30)));
        assert_eq!(read.redrive, Some(Redrive { deliveries_max: 10, target: "q/$DeadLetterQueue".to_owned() }));
        assert_eq!(read.message_bytes_max, 262_144);
        assert_eq!(read.duplicate_detection, Some(Duration::from_mins(10)));
        assert!(!read.sessions && !read.retries_count);
        assert_eq!((read.forwards_to, read.idle_life), (None, None));
        let endless = QUEUE.replace("256", &u64::MAX.to_string());
        assert_eq!(facts("q", &endless).unwrap().message_bytes_max, u64::MAX);
        let plain = QUEUE.replace("true", "false").replace("P14D", "P10675199DT2H48M5.4775807S");
        let plain = facts("q", &plain).unwrap();
        assert_eq!((plain.duplicate_detection, plain.retention), (None, None));
    }

    #[test]
    fn what_takes_messages_away_is_read() {
        let with = |elements: &str| facts("q", &QUEUE.replace("<MaxDel", &format!("{elements}<MaxDel"))).unwrap();
        let elements = "<ForwardTo>https://s.servicebus.windows.net/other</ForwardTo>\
            <AutoDeleteOnIdle>PT5M</AutoDeleteOnIdle>";
        let away = with(elements);
        assert_eq!(away.forwards_to.as_deref(), Some("https://s.servicebus.windows.net/other"));
        assert_eq!(away.idle_life, Some(Duration::from_mins(5)));
        let plain = with("<ForwardTo></ForwardTo><AutoDeleteOnIdle>P10675199DT2H48M5.4775807S</AutoDeleteOnIdle>");
        assert_eq!((plain.forwards_to, plain.idle_life), (None, None));
    }

    #[test]
    fn an_empty_feed_is_a_missing_queue_and_half_a_description_is_refused() {
        let empty = facts("q", "<feed><title>Publicly Listed Services</title></feed>").unwrap_err();
        assert_eq!(empty.kind, FailureKind::Missing);
        let half = facts("q", &QUEUE.replace("PT30S", "soon")).unwrap_err();
        assert!(matches!(half.kind, FailureKind::Rejected { .. }), "{half:?}");
    }
}
