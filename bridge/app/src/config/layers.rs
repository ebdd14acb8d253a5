//! Where values come from: the file's text, and the environment over it. Flat, by dotted key, with the origin of each.

use std::collections::BTreeMap;

/// One value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The text; typed later, where the key is known.
    pub(crate) text: String,
    /// Where it was given: `file`, or the variable's name.
    pub(crate) origin: String,
}

/// All values given, by dotted key: `worker.attempts_max`, `sites.aws:us-east-1.queue_url`.
pub(crate) type Values = BTreeMap<String, Given>;

/// Flattens a TOML text.
///
/// # Errors
/// Not TOML (with line and column), or a value that is no text, number or boolean.
pub(crate) fn from_toml(text: &str, origin: &str) -> Result<Values, Vec<String>> {
    let table: toml::Table = text.parse().map_err(|error| vec![not_toml(text, origin, &error)])?;
    let (mut values, mut errors) = (Values::new(), Vec::new());
    flatten("", &table, origin, &mut values, &mut errors);
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// Where and what, in words of our own: the library's show the line itself, and a secret may stand in it.
fn not_toml(text: &str, origin: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("{origin} is not TOML: line {line}, column {column}: {}", error.message())
}

fn flatten(prefix: &str, table: &toml::Table, origin: &str, values: &mut Values, errors: &mut Vec<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let text = match value {
            toml::Value::Table(inner) => {
                flatten(&key, inner, origin, values, errors);
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Array(_) | toml::Value::Datetime(_) => {
                errors.push(format!("{key}: a {} where one value is expected", value.type_str()));
                continue;
            }
        };
        values.insert(key, Given { text, origin: origin.to_owned() });
    }
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
        let values =
            from_toml("[sites.\"aws:us-east-1\"]\ntable = \"t\"\n[worker]\nattempts_max = 3\n", "file").unwrap();
        let texts: Vec<_> = values.iter().map(|(key, given)| (key.as_str(), given.text.as_str())).collect();
        assert_eq!(texts, [("sites.aws:us-east-1.table", "t"), ("worker.attempts_max", "3")]);
    }

    #[test]
    fn what_is_no_value_is_named() {
        assert!(from_toml("a = [1]", "file").unwrap_err()[0].contains("a: a array"));
        assert!(from_toml("a = ", "x.toml").unwrap_err()[0].contains("x.toml is not TOML: line 1, column 5: "));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_not_shown() {
        for text in ["\ncosmos_key = \"5ecre7", "a = 1\nsecret_access_key = 5ecre7", "[s]\nk = '5ecre7' 5ecre7"] {
            let error = &from_toml(text, "x.toml").unwrap_err()[0];
            assert!(error.contains("line 2, column ") && !error.contains("5ecre7"), "{error}");
        }
    }

    #[test]
    fn variables_are_named_after_keys() {
        assert_eq!(variable("sites.aws:us-east-1.queue_url"), "BRIDGE_SITES_AWS_US_EAST_1_QUEUE_URL");
    }
}
