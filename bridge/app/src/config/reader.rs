//! Reads typed values of one section by its table of keys, and gathers every error instead of stopping at the first.

use std::{collections::BTreeSet, fmt::Display, str::FromStr, time::Duration};

use bridge_adapters::{aws::fifo, endpoint, names};
use url::Url;

use super::{
    Entry,
    keys::KeySpec,
    layers::{Given, Values},
    secret::Secret,
};

/// Reads one configuration; errors and the list of entries grow as it goes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) errors: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

/// One section of the configuration.
pub(crate) struct Section<'a> {
    pub(crate) reader: &'a mut Reader,
    pub(crate) values: &'a Values,
    pub(crate) prefix: String,
    pub(crate) keys: &'static [KeySpec],
}

impl Section<'_> {
    fn spec(&self, name: &str) -> &'static KeySpec {
        self.keys.iter().find(|spec| spec.name == name).expect("every key that is read stands in its section's table")
    }

    /// The value given or its default, noted as an entry.
    fn given(&mut self, name: &str) -> Option<Given> {
        let spec = self.spec(name);
        let key = format!("{}.{name}", self.prefix);
        let given = self.values.get(&key).cloned();
        let default = || spec.default.map(|text| Given { text: text.to_owned(), origin: "default".to_owned() });
        let given = given.or_else(default);
        let value = given.as_ref().map(|given| if spec.secret { "***".to_owned() } else { given.text.clone() });
        let origin = given.as_ref().map_or("not set".to_owned(), |given| given.origin.clone());
        self.reader.entries.push(Entry { key, value, unit: spec.unit, origin, help: spec.help });
        given
    }

    fn error(&mut self, name: &str, what: impl Display) {
        let key = format!("{}.{name}", self.prefix);
        self.reader.errors.push(format!("{key}: {what}"));
    }

    pub(crate) fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let given = self.given(name)?;
        match given.text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let unit = self.spec(name).unit;
                self.error(name, format!("{:?} from {} is not {unit}: {error}", given.text, given.origin));
                None
            }
        }
    }

    pub(crate) fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let errors = self.reader.errors.len();
        let value = self.optional(name);
        if value.is_none() && self.reader.errors.len() == errors {
            let variable = super::layers::variable(&format!("{}.{name}", self.prefix));
            let spec = self.spec(name);
            self.error(name, format!("is missing: {} ({}); set it in the file or as {variable}", spec.help, spec.unit));
        }
        value
    }

    /// Some of the names that are `known`, separated by commas.
    pub(crate) fn names(&mut self, name: &str, known: &[&'static str]) -> BTreeSet<&'static str> {
        let text = self.given(name).map(|given| given.text).unwrap_or_default();
        let (mut names, mut unknown) = (BTreeSet::new(), Vec::new());
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            match known.iter().find(|known| **known == one) {
                Some(known) => drop(names.insert(*known)),
                None => unknown.push(one),
            }
        }
        for one in unknown {
            self.error(name, format!("{one:?} is none of its names; these are: {}", known.join(", ")));
        }
        names
    }

    /// A name that its service takes.
    pub(crate) fn name(&mut self, name: &str, check: fn(&str) -> Result<(), String>) -> Option<String> {
        let value: String = self.required(name)?;
        self.checked(name, check(&value)).map(|()| value)
    }

    /// What was checked, or an error of this key.
    pub(crate) fn checked<T>(&mut self, name: &str, checked: Result<T, impl Display>) -> Option<T> {
        checked.map_err(|error| self.error(name, error)).ok()
    }

    pub(crate) fn secret(&mut self, name: &str) -> Option<Secret> {
        self.given(name).map(|given| Secret::new(given.text))
    }

    /// A whole number within bounds; the least where it is wrong, so that reading goes on.
    pub(crate) fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<u64>) -> u64 {
        let value: u64 = self.required(name).unwrap_or(*bounds.start());
        if !bounds.contains(&value) {
            self.error(name, format!("{value} is not within {} to {}", bounds.start(), bounds.end()));
            return *bounds.start();
        }
        value
    }

    pub(crate) fn milliseconds(&mut self, name: &str, bounds: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(name, bounds))
    }

    pub(crate) fn seconds(&mut self, name: &str, bounds: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(name, bounds))
    }

    pub(crate) fn days(&mut self, name: &str, bounds: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_hours(24 * self.number(name, bounds))
    }

    /// The address of an SQS queue that the bridge can work with.
    pub(crate) fn queue_url(&mut self, name: &str) -> Option<Url> {
        let url = self.url(name, true)?;
        self.checked(name, names::queue_url(&url))?;
        self.checked(name, fifo::refuse(url.path()))?;
        Some(url)
    }

    /// A URL that is encrypted, or stays on this machine.
    pub(crate) fn url(&mut self, name: &str, required: bool) -> Option<Url> {
        let url: Url = if required { self.required(name) } else { self.optional(name) }?;
        self.checked(name, endpoint::check(&url)).map(|()| url)
    }
}
