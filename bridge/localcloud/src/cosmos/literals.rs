//! Strings of a query as the engine reads them. The service takes both quotes and JSON's escapes; the engine takes single
//! quotes alone, doubles one inside, and would read a name in double quotes, which no item has.

use serde_json::Value;

use super::gateway::{self, Message};

/// Rewrites the query of a request, if it has one.
pub(super) fn rewrite(message: &mut Message) {
    let Some(mut body) = gateway::parse(&message.body) else { return };
    let Some(query) = body.get("query").and_then(Value::as_str) else { return };
    let rewritten = single(query);
    if rewritten != query {
        body["query"] = rewritten.into();
        message.body = body.to_string().into();
    }
}

/// The query with each of its strings in single quotes. One that does not end stays as it is: the engine says so.
///
/// # Source
/// "Constants" of the query language of Azure Cosmos DB, string literals and escape sequences, read 2026-11.
pub(super) fn single(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = char::from(rest.as_bytes()[at]);
        let Some((content, length)) = literal(&rest[at + 1..], quote) else { break };
        out += &rest[..at];
        out.push('\'');
        out += &content.replace('\'', "''");
        out.push('\'');
        rest = &rest[at + 1 + length..];
    }
    out + rest
}

/// What a string stands for, and its bytes with the quote at its end.
fn literal(text: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                let (_, escaped) = characters.next()?;
                content.push(match escaped {
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let digits = text.get(at + 2..at + 6)?;
                        let code = u32::from_str_radix(digits, 16).ok()?;
                        characters.nth(3)?;
                        char::from_u32(code)?
                    }
                    other => other,
                });
            }
            _ if character == quote && quote == '\'' && text[at + 1..].starts_with('\'') => {
                content.push('\'');
                characters.next();
            }
            _ if character == quote => return Some((content, at + 1)),
            other => content.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_in_single_quotes_whatever_they_came_in() {
        for (query, expected) in [
            (r#"SELECT * FROM c WHERE c.id = "a""#, "SELECT * FROM c WHERE c.id = 'a'"),
            (r#"SELECT c["id"] FROM c"#, "SELECT c['id'] FROM c"),
            (r#"c.a = "it's" AND c.b = 'say "x"'"#, r#"c.a = 'it''s' AND c.b = 'say "x"'"#),
            (r#"c.a = "\"\\\u0041\n""#, "c.a = '\"\\A\n'"),
            (r"c.a = 'it\'s'", "c.a = 'it''s'"),
            ("c.a = 'it''s'", "c.a = 'it''s'"),
            (r#"c.a = "ends not"#, r#"c.a = "ends not"#),
            ("SELECT VALUE COUNT(1) FROM c", "SELECT VALUE COUNT(1) FROM c"),
        ] {
            assert_eq!(single(query), expected, "{query}");
        }
    }
}
