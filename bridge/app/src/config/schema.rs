//! The JSON Schema of the configuration's file, for editors: from the same table as everything else about keys.

use serde_json::{Value, json};

use super::keys::{self, KeySpec, Kind};

/// The schema, as a text.
pub(crate) fn text() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the bridge",
        "type": "object",
        "additionalProperties": false,
        "required": ["sites"],
        "properties": {
            "worker": section(keys::WORKER, &[]),
            "sites": {
                "type": "object",
                "description": "One section for each site, named cloud:region",
                "minProperties": 1,
                "additionalProperties": false,
                "patternProperties": {
                    "^aws:[a-z0-9-]+$": section(keys::AWS, &["queue_url", "dead_letter_queue_url", "table"]),
                    "^azure:[a-z0-9-]+$":
                        section(keys::AZURE, &["queue", "dead_letter_queue", "cosmos_endpoint", "database", "container"]),
                },
            },
        },
    });
    format!("{schema:#}\n")
}

/// What a variable may set need not stand in the file; all the same an editor should ask for it.
fn section(specs: &[KeySpec], required: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        specs.iter().map(|spec| (spec.name.to_owned(), property(spec))).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn property(spec: &KeySpec) -> Value {
    let mut property = match spec.kind {
        Kind::Text | Kind::Names(_) => json!({ "type": "string" }),
        Kind::Address => json!({ "type": "string", "format": "uri" }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Signed => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        Kind::Part => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::TextOrNumber => json!({ "type": ["string", "integer"] }),
    };
    property["description"] = json!(format!("{} ({})", spec.help, spec.unit));
    if let Some(default) = spec.default {
        let value = if spec.kind.is_bare() { serde_json::from_str(default).ok() } else { None };
        property["default"] = value.unwrap_or_else(|| json!(default));
    }
    property
}
