//! Where values come from: the file's text, and the environment over it. Flat, by dotted key, with the origin of each.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The text; typed later, where the key is known.
    pub(crate) text: String,
    /// Where it was given: `FILE:LINE`, the variable's name, or `default`.
    pub(crate) origin: String,
    /// What it was there.
    pub(crate) form: Form,
}

/// What a value was where it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A text of TOML.
    Text,
    /// A number of TOML.
    Number,
    /// `true` or `false`.
    Flag,
    /// A variable or a default, which knows texts alone.
    Untyped,
}

/// All values given, by dotted key: `worker.attempts_max`, `sites.aws:us-east-1.queue_url`.
pub(crate) type Values = BTreeMap<String, Given>;

/// A file, flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// The file's name, or the variable that holds the text.
    pub(crate) name: String,
    /// Its values.
    pub(crate) values: Values,
    /// Its sections, each with the place of its head.
    pub(crate) sections: BTreeMap<String, String>,
}

/// Flattens a TOML text.
///
/// # Errors
/// Not TOML (with line and column), or a value that is no text, number or boolean.
pub(crate) fn from_toml(text: &str, name: &str) -> Result<File, Vec<String>> {
    let table = DeTable::parse(text).map_err(|error| vec![not_toml(text, name, &error)])?;
    let mut file = File { name: name.to_owned(), ..File::default() };
    let mut errors = Vec::new();
    flatten("", table.get_ref(), text, &mut file, &mut errors);
    if errors.is_empty() { Ok(file) } else { Err(errors) }
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// Where and what, in words of our own: the library's show the line itself, and a secret may stand in it.
fn not_toml(text: &str, name: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or_default();
    let line = line_of(text, at);
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let unquoted =
        text.lines().nth(line - 1).is_some_and(|line| line.trim_start().starts_with("[sites.") && !line.contains('"'));
    let hint = if unquoted { "; a site stands in quotes: [sites.\"aws:us-east-1\"]" } else { "" };
    format!("{name}:{line}: is not TOML, at column {column}: {}{hint}", error.message())
}

fn flatten(prefix: &str, table: &DeTable<'_>, text: &str, file: &mut File, errors: &mut Vec<String>) {
    for (key, value) in table {
        let origin = format!("{}:{}", file.name, line_of(text, key.span().start));
        let key = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let (text_given, form) = match value.get_ref() {
            DeValue::Table(inner) => {
                file.sections.insert(key.clone(), origin);
                flatten(&key, inner, text, file, errors);
                continue;
            }
            DeValue::String(given) => (given.to_string(), Form::Text),
            DeValue::Integer(number) => (integer(value, number, text), Form::Number),
            DeValue::Float(number) => (number.as_str().to_owned(), Form::Number),
            DeValue::Boolean(flag) => (flag.to_string(), Form::Flag),
            other @ (DeValue::Array(_) | DeValue::Datetime(_)) => {
                let what = if other.is_array() { "list" } else { "date" };
                errors.push(format!("{origin}: {key}: found a {what}; allowed is one text or number"));
                continue;
            }
        };
        file.values.insert(key, Given { text: text_given, origin, form });
    }
}

/// In decimal digits, however it was written.
fn integer(value: &Spanned<DeValue<'_>>, number: &toml::de::DeInteger<'_>, text: &str) -> String {
    let read = i128::from_str_radix(number.as_str(), number.radix());
    read.map_or_else(|_| text.get(value.span()).unwrap_or_default().to_owned(), |number| number.to_string())
}

/// The environment variable that overrides a key: `BRIDGE_` and the key in capitals, all other characters as `_`.
pub(crate) fn variable(key: &str) -> String {
    let name = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    std::iter::once("BRIDGE_").map(str::to_owned).chain(name.map(String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_flattened_with_its_origin() {
        let text = "[sites.\"aws:us-east-1\"]\ntable = \"t\"\n\n[worker]\nattempts_max = 0x1F\n";
        let file = from_toml(text, "file").unwrap();
        let values = file.values.iter();
        let texts: Vec<_> =
            values.map(|(key, given)| (key.as_str(), given.text.as_str(), given.origin.as_str())).collect();
        assert_eq!(texts, [("sites.aws:us-east-1.table", "t", "file:2"), ("worker.attempts_max", "31", "file:5")]);
        assert_eq!(file.sections["sites.aws:us-east-1"], "file:1");
    }

    #[test]
    fn what_is_no_value_is_named() {
        assert!(from_toml("\na = [1]", "file").unwrap_err()[0].starts_with("file:2: a: found a list;"));
        assert!(from_toml("a = ", "x.toml").unwrap_err()[0].starts_with("x.toml:1: is not TOML, at column 5: "));
        let unquoted = &from_toml("[sites.aws:us-east-1]\n", "x.toml").unwrap_err()[0];
        assert!(unquoted.ends_with("a site stands in quotes: [sites.\"aws:us-east-1\"]"), "{unquoted}");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_not_shown() {
        for text in ["\ncosmos_key = \"5ecre7", "a = 1\nsecret_access_key = 5ecre7", "[s]\nk = '5ecre7' 5ecre7"] {
            let error = &from_toml(text, "x.toml").unwrap_err()[0];
            assert!(error.starts_with("x.toml:2: ") && !error.contains("5ecre7"), "{error}");
        }
    }

    #[test]
    fn variables_are_named_after_keys() {
        assert_eq!(variable("sites.aws:us-east-1.queue_url"), "BRIDGE_SITES_AWS_US_EAST_1_QUEUE_URL");
    }
}
