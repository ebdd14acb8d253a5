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
            "worker": section(keys::WORKER, &[], json!({})),
            "sites": {
                "type": "object",
                "description": "One section for each site, named cloud:region",
                "minProperties": 1,
                "additionalProperties": false,
                "patternProperties": {
                    "^aws:[a-z0-9][a-z0-9-]*$": section(keys::AWS, &["queue_url", "dead_letter_queue_url", "table"], json!({
                        "dependentRequired": {
                            "access_key_id": ["secret_access_key"],
                            "secret_access_key": ["access_key_id"],
                            "from_azure_role_arn": ["from_azure_audience"],
                            "from_azure_audience": ["from_azure_role_arn"],
                        },
                    })),
                    "^azure:[a-z0-9][a-z0-9-]*$": section(
                        keys::AZURE,
                        &["queue", "dead_letter_queue", "cosmos_endpoint", "database", "container"],
                        json!({
                            "oneOf": [
                                { "required": ["service_bus_namespace"] },
                                { "required": ["service_bus_connection_string"] },
                            ],
                            "dependentRequired": {
                                "from_aws_client_id": ["from_aws_tenant_id"],
                                "from_aws_tenant_id": ["from_aws_client_id"],
                            },
                        }),
                    ),
                },
            },
        },
    });
    format!("{schema:#}\n")
}

/// What a variable may set need not stand in the file; all the same an editor should ask for it.
/// `together` says which keys go together.
fn section(specs: &[KeySpec], required: &[&str], mut together: Value) -> Value {
    let properties: serde_json::Map<String, Value> =
        specs.iter().map(|spec| (spec.name.to_owned(), property(spec))).collect();
    together["type"] = json!("object");
    together["additionalProperties"] = json!(false);
    together["required"] = json!(required);
    together["properties"] = properties.into();
    together
}

/// A text with something in it, and no control character.
const TEXT: &str = r"^\s*[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?\s*$";

/// An address that is encrypted or of this machine, without a user.
const ADDRESS: &str =
    r"^\s*(https://[^/?#@\s]+|http://(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?)([/?#][^\s]*)?\s*$";

/// Some of `names`, separated by commas.
fn names(names: &[&str]) -> String {
    let one = format!(r"\s*({})?\s*", names.join("|").replace('.', r"\."));
    format!("^({one},)*{one}$")
}

fn property(spec: &KeySpec) -> Value {
    let mut property = match spec.kind {
        Kind::Text => json!({ "type": "string", "pattern": TEXT }),
        Kind::Names(known) => json!({ "type": "string", "pattern": names(known) }),
        Kind::Address => json!({ "type": "string", "pattern": ADDRESS }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Signed => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        Kind::Part => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::TextOrNumber => json!({ "type": ["string", "integer"], "minimum": 0, "maximum": u16::MAX }),
    };
    if let Some(pattern) = spec.pattern {
        property["pattern"] = json!(pattern);
    }
    property["description"] = json!(format!("{} ({})", spec.help, spec.unit));
    if let Some(default) = spec.default {
        let value = if spec.kind.is_bare() { serde_json::from_str(default).ok() } else { None };
        property["default"] = value.unwrap_or_else(|| json!(default));
    }
    property
}
