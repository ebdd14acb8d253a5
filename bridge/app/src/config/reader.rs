//! Reads typed values of one section by its table of keys, and gathers every error instead of stopping at the first. Every error says
//! where (file and line, or variable), which key, what was found and what is allowed, with an example.

use std::{collections::BTreeSet, fmt::Display, str::FromStr, time::Duration};

use bridge_adapters::{aws::fifo, endpoint, names};
use url::Url;

use super::{
    Entry,
    keys::{KeySpec, Kind},
    layers::{self, File, Form, Given},
    masked::masked,
    nearest,
    secret::Secret,
};

/// Reads one configuration; errors and the list of entries grow as it goes.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a File,
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

/// One section of the configuration.
pub(crate) struct Section<'r, 'a> {
    pub(crate) reader: &'r mut Reader<'a>,
    pub(crate) prefix: String,
    pub(crate) keys: &'static [KeySpec],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a File) -> Self {
        Self { file, errors: Vec::new(), warnings: Vec::new(), entries: Vec::new() }
    }

    /// Where a key was given; else where its section begins; else the file.
    pub(crate) fn place(&self, key: &str) -> &str {
        let given = self.file.values.get(key).map(|given| given.origin.as_str());
        let section = || {
            let section = key.rsplit_once('.').map_or(key, |(section, _)| section);
            self.file.sections.get(section).map(String::as_str)
        };
        given.or_else(section).unwrap_or(&self.file.name)
    }

    /// An error of `key`, which may be a section.
    pub(crate) fn error(&mut self, key: &str, what: impl Display) {
        let place = if self.file.sections.contains_key(key) { &self.file.sections[key] } else { self.place(key) };
        let error = format!("{place}: {key}: {what}");
        self.errors.push(error);
    }
}

impl Section<'_, '_> {
    fn spec(&self, name: &str) -> &'static KeySpec {
        self.keys.iter().find(|spec| spec.name == name).expect("every key that is read stands in its section's table")
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// The value given or its default, noted as an entry; none if it is no value at all, with an error.
    fn given(&mut self, name: &str) -> Option<Given> {
        let spec = self.spec(name);
        let key = self.key(name);
        let given = self.reader.file.values.get(&key).cloned();
        let default = || {
            spec.default.map(|text| Given { text: text.to_owned(), origin: "default".to_owned(), form: Form::Untyped })
        };
        let mut given = given.or_else(default);
        if let Some(given) = &mut given {
            // What a shell, an editor or a secret store leaves around a value is no part of it.
            given.text = given.text.trim().to_owned();
        }
        let shown = |given: &Given| if spec.secret { "***".to_owned() } else { masked(&given.text).into_owned() };
        let value = given.as_ref().map(shown);
        let origin = given.as_ref().map_or("not set".to_owned(), |given| given.origin.clone());
        self.reader.entries.push(Entry { key, value, unit: spec.unit, origin, help: spec.help });
        let given = given?;
        match unfit(spec, &given) {
            Some(found) => {
                self.error(name, format!("found {found}; allowed is {}", spec.allowed()));
                None
            }
            None => Some(given),
        }
    }

    /// An error of a key, with an example of it.
    pub(crate) fn error(&mut self, name: &str, what: impl Display) {
        let example = self.spec(name).line().map_or(String::new(), |line| format!(", as in {line}"));
        self.reader.error(&self.key(name), format!("{what}{example}"));
    }

    /// An error by another key's value, with a value that would be right.
    pub(crate) fn error_beside(&mut self, name: &str, what: impl Display, right: impl Display) {
        self.reader.error(&self.key(name), format!("{what}, as in {name} = {right}"));
    }

    /// An error of the section.
    pub(crate) fn section_error(&mut self, what: impl Display) {
        self.reader.error(&self.prefix.clone(), what);
    }

    pub(crate) fn optional<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let given = self.given(name)?;
        let read = given.text.parse().ok();
        if read.is_none() {
            self.error(name, format!("found {}; allowed is {}", shown(&given), self.spec(name).allowed()));
        }
        read
    }

    pub(crate) fn required<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let errors = self.reader.errors.len();
        let value = self.optional(name);
        if value.is_none() && self.reader.errors.len() == errors && !self.is_meant(name) {
            let variable = layers::variable(&self.key(name));
            let spec = self.spec(name);
            self.error(name, format!("is missing: {}; set it here or as {variable}", spec.help));
        }
        value
    }

    /// Whether something stands in the file that is meant for the key, and was told of: a table, or a name with a typo.
    fn is_meant(&self, name: &str) -> bool {
        let File { values, sections, .. } = self.reader.file;
        let known = || self.keys.iter().map(|spec| spec.name);
        let given = values.keys().filter_map(|key| key.strip_prefix(&self.prefix)?.strip_prefix('.'));
        let mut unknown = given.filter(|given| known().all(|name| name != *given));
        sections.contains_key(&self.key(name)) || unknown.any(|given| nearest::of(given, known()) == Some(name))
    }

    /// One of the key's own words; its default where it is wrong, so that reading goes on.
    pub(crate) fn word(&mut self, name: &str) -> &'static str {
        let spec = self.spec(name);
        let Kind::OneOf(words) = spec.kind else { unreachable!("{name} is no key of words") };
        let Some(given) = self.given(name) else { return words[0] };
        let word = words.iter().find(|word| **word == given.text);
        if word.is_none() {
            self.error(name, format!("found {}; allowed is {}", shown(&given), spec.allowed()));
        }
        word.copied().unwrap_or(words[0])
    }

    /// Some of the key's own names.
    pub(crate) fn names(&mut self, name: &str) -> BTreeSet<&'static str> {
        let spec = self.spec(name);
        let Kind::Names(known) = spec.kind else { unreachable!("{name} is no key of names") };
        let text = self.given(name).map(|given| given.text).unwrap_or_default();
        let (mut names, mut unknown) = (BTreeSet::new(), Vec::new());
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            match known.iter().find(|known| **known == one) {
                Some(known) => drop(names.insert(*known)),
                None => unknown.push(one),
            }
        }
        for one in unknown {
            self.error(name, format!("found {one:?}; allowed is {}", spec.allowed()));
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

    /// A whole number within the key's bounds; the least where it is wrong, so that reading goes on.
    pub(crate) fn number(&mut self, name: &str) -> u64 {
        let spec = self.spec(name);
        let Kind::Number(least, most) = spec.kind else { unreachable!("{name} is no key of numbers") };
        let Some(given) = self.given(name) else { return least };
        match given.text.parse().ok().filter(|number| (least..=most).contains(number)) {
            Some(number) => number,
            None => {
                self.error(name, format!("found {}; allowed is {}", shown(&given), spec.allowed()));
                least
            }
        }
    }

    pub(crate) fn milliseconds(&mut self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    pub(crate) fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(self.number(name))
    }

    pub(crate) fn days(&mut self, name: &str) -> Duration {
        Duration::from_hours(24 * self.number(name))
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
        let given = self.reader.file.values.get(&self.key(name));
        if given.is_some_and(|given| given.text.contains("AccountEndpoint=")) {
            self.given(name);
            self.error(name, "found a connection string; allowed is what stands behind its AccountEndpoint=, and its AccountKey as cosmos_key");
            return None;
        }
        let url: Url = if required { self.required(name) } else { self.optional(name) }?;
        if let Some(instead) = names::arn_of_queue(url.as_str()) {
            self.error(name, format!("found the ARN {url}; allowed is the queue's URL: {instead}"));
            return None;
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.error(name, "found a user or a password in the address; allowed is one without");
            return None;
        }
        self.checked(name, endpoint::check(&url)).map(|()| url)
    }
}

/// What was found, where it is not of the key's form: a number in quotes, nothing at all, or what no header carries.
fn unfit(spec: &KeySpec, given: &Given) -> Option<String> {
    let text = &given.text;
    let control = text.chars().enumerate().find(|(_, c)| c.is_control());
    match (spec.kind, given.form) {
        (Kind::Names(_), Form::Text | Form::Untyped) if text.is_empty() => None,
        (_, Form::Text | Form::Untyped) if text.is_empty() => {
            Some("an empty value; leave the key out instead".to_owned())
        }
        // The value stays out: it may be half of a secret.
        _ if let Some((at, c)) = control => {
            Some(format!("the control character U+{:04X} at character {}", u32::from(c), at + 1))
        }
        (kind, Form::Text) if kind.is_bare() => Some(format!("the text {text:?}; take the quotes away")),
        (Kind::TextOrNumber, Form::Number) => None,
        (kind, Form::Number) if !kind.is_bare() => Some(if spec.secret { "a number".to_owned() } else { text.clone() }),
        (_, Form::Flag) => Some(text.clone()),
        _ => None,
    }
}

/// A value as an error shows it.
fn shown(given: &Given) -> String {
    if given.form == Form::Number { given.text.clone() } else { format!("{:?}", given.text) }
}
