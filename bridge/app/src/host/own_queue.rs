//! Whether the host that started this process is the site's own: its cloud, its region, its queue.
//!
//! A function that served another queue would take that queue's events away, and write them into a store that they are
//! not for.

use std::path::PathBuf;

use bridge_adapters::{aws::QueueIdentity, azure::service_bus::ServiceBusConnection};
use bridge_core::event::SiteId;
use serde_json::Value;
use url::Url;

use super::Function;
use crate::{
    config::{
        Config, SiteConfig,
        site::{AzureSite, ServiceBusAccess},
    },
    exit::Misuse,
};

/// The app settings that the packaged function's trigger names.
const QUEUE_SETTING: &str = "BRIDGE_QUEUE";
const CONNECTION_SETTING: &str = "BRIDGE_SERVICE_BUS";

/// The queues that a Lambda function may be handed messages of: one, and one that is named in the refusal.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    site: SiteId,
    queue_url: String,
    queue: QueueIdentity,
    dead_letters: QueueIdentity,
}

impl Trigger {
    /// The queue of `site`, and that of its letters.
    pub(crate) fn new(site: &SiteId, queue_url: &Url, dead_letter_queue_url: &Url) -> Result<Self, Misuse> {
        let identity =
            |url| QueueIdentity::of_url(url, site.region()).map_err(|error| Misuse(format!("sites.{site}: {error}")));
        Ok(Self {
            site: site.clone(),
            queue_url: queue_url.to_string(),
            queue: identity(queue_url)?,
            dead_letters: identity(dead_letter_queue_url)?,
        })
    }

    /// Refuses a batch with a record that is not from the site's queue; `sources` are the records' `eventSourceARN`s.
    pub(crate) fn check<'a>(&self, sources: impl IntoIterator<Item = Option<&'a str>>) -> Result<(), String> {
        let is_own = |source: Option<&str>| source.is_some_and(|arn| self.queue.is_source(arn));
        let Some(source) = sources.into_iter().find(|source| !is_own(*source)) else { return Ok(()) };
        let Self { site, queue_url, .. } = self;
        let ours = format!("this function serves {site}, whose queue is {queue_url}");
        let mend = "the batch stays where it is: point the function's event source mapping at the site's queue, or mend queue_url";
        Err(match source {
            None => format!("a record does not say which queue it is from (eventSourceARN); {ours}; {mend}"),
            Some(arn) if self.dead_letters.is_source(arn) => format!(
                "a record is from {arn}, the dead-letter queue of {site}: remove that event source mapping, and bring \
                 letters back with `bridge replay`"
            ),
            Some(arn) => format!("a record is from {arn}; {ours}; {mend}"),
        })
    }
}

/// The file that says what triggers the packaged function of Azure; none where it cannot be read.
pub(crate) fn function_file() -> Option<String> {
    // The host starts the handler in the app's folder, and names it besides.
    let folder = std::env::var_os("FUNCTIONS_APP_ROOT_PATH").map(PathBuf::from).unwrap_or_default();
    std::fs::read_to_string(folder.join("Replicate").join("function.json")).ok()
}

/// Refuses a host of another cloud or region, and a trigger on another queue; `variable` reads the environment, `file`
/// is the [function's file](function_file).
pub(crate) fn check(
    function: Function,
    config: &Config,
    variable: impl Fn(&str) -> Option<String>,
    file: Option<&str>,
) -> Result<(), Misuse> {
    let id = config.own_site().map_err(|errors| Misuse(errors.to_string()))?;
    let other_cloud = |host: &str, cloud: &str| {
        Misuse(format!(
            "this process was started by {host}, and its site is {id}: set BRIDGE_SITE to the site of {cloud} whose queue \
             triggers it"
        ))
    };
    match (function, &config.sites[id]) {
        (Function::Lambda, SiteConfig::Azure(_)) => Err(other_cloud("AWS Lambda", "AWS")),
        (Function::Azure { .. }, SiteConfig::Aws(_)) => Err(other_cloud("Azure Functions", "Azure")),
        (Function::Lambda, SiteConfig::Aws(_)) => match variable("AWS_REGION") {
            Some(region) if region != id.region() => Err(Misuse(format!(
                "this function runs in {region} (AWS_REGION), and its site is {id}: deploy it in {}, or set BRIDGE_SITE to \
                 the site of {region}",
                id.region()
            ))),
            _ => Ok(()),
        },
        (Function::Azure { .. }, SiteConfig::Azure(site)) => check_trigger(id, site, &variable, file),
    }
}

/// Compares the trigger of the function app, as far as it is known, with the queue of the site.
fn check_trigger(
    id: &SiteId,
    site: &AzureSite,
    variable: &impl Fn(&str) -> Option<String>,
    file: Option<&str>,
) -> Result<(), Misuse> {
    let binding = file.and_then(service_bus_trigger);
    let member = |name: &str| binding.as_ref().and_then(|binding| binding.get(name)?.as_str());
    if let Some(topic) = member("topicName") {
        return Err(Misuse(format!(
            "Replicate/function.json is triggered by the topic {topic}, and {id} has the queue {}: name that as queueName",
            site.queue
        )));
    }
    let template = member("queueName").map_or_else(|| format!("%{QUEUE_SETTING}%"), str::to_owned);
    let queue = resolved(&template, variable).map_err(|setting| {
        Misuse(format!(
            "the app setting {setting}, which names the queue of the trigger, is not set: set it to {}",
            site.queue
        ))
    })?;
    // "Azure resource naming rules", Microsoft.ServiceBus, read 2026-11: names of queues are compared without their case.
    if !queue.eq_ignore_ascii_case(&site.queue) {
        return Err(Misuse(format!(
            "the trigger reads the queue {queue} ({template} in Replicate/function.json), and the queue of {id} is {}: \
             set {QUEUE_SETTING} to that",
            site.queue
        )));
    }
    let setting = member("connection").unwrap_or(CONNECTION_SETTING);
    match (trigger_namespace(setting, variable), site_namespace(site)) {
        (Some(theirs), Some(ours)) if !theirs.eq_ignore_ascii_case(&ours) => Err(Misuse(format!(
            "the trigger reads from the namespace {theirs} (app setting {setting}), and {id} is in {ours}: let both name \
             the same one"
        ))),
        _ => Ok(()),
    }
}

fn service_bus_trigger(text: &str) -> Option<Value> {
    let mut function: Value = serde_json::from_str(text).ok()?;
    let bindings = function.get_mut("bindings")?.as_array_mut()?;
    let is_trigger = |binding: &Value| {
        binding.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("serviceBusTrigger"))
    };
    bindings.drain(..).find(is_trigger)
}

/// `text` with each `%NAME%` replaced by that app setting; or the setting that is missing.
fn resolved(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut parts = text.split('%');
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    while let Some(name) = parts.next() {
        let Some(after) = parts.next() else {
            resolved.extend(["%", name]);
            break;
        };
        resolved.push_str(&variable(name).filter(|value| !value.is_empty()).ok_or(name)?);
        resolved.push_str(after);
    }
    Ok(resolved)
}

/// The namespace that the trigger connects to: a connection string, or with an identity the name beside it.
fn trigger_namespace(setting: &str, variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = || variable(&format!("{setting}__fullyQualifiedNamespace"));
    let connection = || variable(setting)?.parse::<ServiceBusConnection>().ok().map(|found| found.host().to_owned());
    connection().or_else(named)
}

fn site_namespace(site: &AzureSite) -> Option<String> {
    match &site.service_bus {
        ServiceBusAccess::Identity { namespace } => Some(namespace.trim_end_matches('/').to_owned()),
        ServiceBusAccess::ConnectionString(text) => {
            text.reveal().parse::<ServiceBusConnection>().ok().map(|found| found.host().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, tests::GOOD};

    const AZURE: Function = Function::Azure { port: 1 };

    fn config(site: &str) -> Config {
        let sources = Sources { file: Some(GOOD.to_owned()), site: Some(site.to_owned()), ..Sources::default() };
        Config::load(&sources).unwrap()
    }

    fn checked(function: Function, site: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let find = |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
        check(function, &config(site), find, None).map_err(|misuse| misuse.to_string())
    }

    fn refused(function: Function, site: &str, variables: &[(&str, &str)], words: &str) {
        let error = checked(function, site, variables).unwrap_err();
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }

    #[test]
    fn a_host_of_another_cloud_or_region_is_refused() {
        let lambda = Function::Lambda;
        assert_eq!(checked(lambda, "aws:us-east-1", &[("AWS_REGION", "us-east-1")]), Ok(()));
        refused(lambda, "aws:us-east-1", &[("AWS_REGION", "eu-west-1")], "runs in eu-west-1");
        refused(
            lambda,
            "azure:westeurope",
            &[("AWS_REGION", "us-east-1")],
            "AWS Lambda, and its site is azure:westeurope",
        );
        refused(
            AZURE,
            "aws:us-east-1",
            &[("BRIDGE_QUEUE", "bridge-events")],
            "Azure Functions, and its site is aws:us-east-1",
        );
    }

    #[test]
    fn a_trigger_on_another_queue_is_refused() {
        let with = |binding: &str, variables: &[(&str, &str)]| {
            let file = format!(r#"{{"bindings":[{{"type":"serviceBusTrigger","connection":"BUS",{binding}}}]}}"#);
            let find =
                |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
            check(AZURE, &config("azure:westeurope"), find, Some(&file)).map_err(|misuse| misuse.to_string())
        };
        let queue = |name: &str| format!(r#""queueName":"{name}""#);
        let bus = |host| ("BUS__fullyQualifiedNamespace", host);
        let setting = ("BRIDGE_QUEUE", "bridge-events");
        for (binding, variables) in [
            (queue("%BRIDGE_QUEUE%"), &[setting][..]),
            (queue("%PREFIX%-events"), &[("PREFIX", "Bridge")]),
            (queue("bridge-events"), &[]),
            (queue("bridge-events"), &[bus("EXAMPLE.servicebus.windows.net")]),
        ] {
            assert_eq!(with(&binding, variables), Ok(()), "{binding}");
        }
        for (binding, variables, words) in [
            (queue("%BRIDGE_QUEUE%"), &[("BRIDGE_QUEUE", "other")][..], "reads the queue other"),
            (queue("%BRIDGE_QUEUE%"), &[("BRIDGE_QUEUE", "")], "BRIDGE_QUEUE, which names the queue"),
            (queue("%NOWHERE%"), &[setting], "NOWHERE, which names the queue"),
            (queue("bridge-events-dead"), &[setting], "reads the queue bridge-events-dead"),
            (queue("bridge-events/$deadletterqueue"), &[setting], "reads the queue bridge-events/$deadletterqueue"),
            (
                queue("bridge-events"),
                &[bus("other.servicebus.windows.net")],
                "the namespace other.servicebus.windows.net",
            ),
            (
                queue("bridge-events"),
                &[("BUS", "Endpoint=sb://else.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=hush")],
                "the namespace else.servicebus.windows.net",
            ),
            (r#""topicName":"t","subscriptionName":"s""#.to_owned(), &[setting], "the topic t"),
        ] {
            let error = with(&binding, variables).unwrap_err();
            assert!(error.contains(words) && !error.contains("hush"), "{words:?} is not in {error:?}");
        }
        refused(AZURE, "azure:westeurope", &[("BRIDGE_QUEUE", "other")], "reads the queue other");
        refused(AZURE, "azure:westeurope", &[], "BRIDGE_QUEUE, which names the queue of the trigger, is not set");
    }

    #[test]
    fn one_record_of_another_queue_spoils_the_batch() {
        let config = config("aws:us-east-1");
        let SiteConfig::Aws(site) = &config.sites[config.own_site().unwrap()] else { panic!("it is of AWS") };
        let trigger = Trigger::new(config.own_site().unwrap(), &site.queue_url, &site.dead_letter_queue_url).unwrap();
        let arn = |region: &str, account: &str, name: &str| format!("arn:aws:sqs:{region}:{account}:{name}");
        let own = arn("us-east-1", "123456789012", "bridge-events");
        let check = |sources: &[Option<&str>]| trigger.check(sources.iter().copied());
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[Some(&own), Some(&own)]), Ok(()));
        let foreign = arn("us-east-1", "210987654321", "bridge-events");
        let error = check(&[Some(&own), Some(&foreign)]).unwrap_err();
        for words in
            [foreign.as_str(), "https://sqs.us-east-1.amazonaws.com/123456789012/bridge-events", "aws:us-east-1"]
        {
            assert!(error.contains(words), "{words} is not in {error}");
        }
        assert!(check(&[None]).unwrap_err().contains("eventSourceARN"));
        let letters = arn("us-east-1", "123456789012", "bridge-events-dead");
        assert!(check(&[Some(&letters)]).unwrap_err().contains("the dead-letter queue of aws:us-east-1"));
    }
}
