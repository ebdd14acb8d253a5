//! The condition of a conditional patch, which the gateway would ignore: a false pass for whoever relies on it.

use serde_json::{Value, json};

use super::answer::Answer;
use super::gateway::{self, Gateway, Message};
use super::literals;
use super::operation::Target;

/// Evaluates `condition` (`FROM alias WHERE ...`) on the item, and takes it out of the body that the gateway will see.
///
/// The caller holds the lock on writes, so nothing comes between the condition and the patch.
pub(super) async fn check(gateway: &Gateway, target: &Target, message: &mut Message) -> Result<(), Answer> {
    let Some(mut body) = gateway::parse(&message.body) else { return Ok(()) };
    let Some(condition) = body.as_object_mut().and_then(|body| body.remove("condition")) else { return Ok(()) };
    let Some(query) = condition.as_str().and_then(|condition| query(&literals::single(condition), &target.item)) else {
        return Err(Answer::bad_request("The condition of a patch must have the form `FROM c WHERE ...`."));
    };
    let current = gateway.call(&Message::read(message)).await;
    if !current.status.is_success() {
        return Err(current);
    }
    let (database, container) = (gateway::encode(&target.database), gateway::encode(&target.container));
    let found = gateway.call(&Message::query(message, &format!("/dbs/{database}/colls/{container}"), &query)).await;
    if !found.status.is_success() {
        return Err(found);
    }
    if found.json()["Documents"].as_array().is_none_or(Vec::is_empty) {
        return Err(Answer::condition_not_met());
    }
    message.body = body.to_string().into();
    Ok(())
}

/// The condition as a query that finds the item, if the condition holds for it.
fn query(condition: &str, id: &str) -> Option<Value> {
    let rest = strip_word(condition.trim_start(), "from")?;
    let alias: String = rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let predicate = strip_word(rest.trim_start().get(alias.len()..)?.trim_start(), "where")?;
    if alias.is_empty() {
        return None;
    }
    Some(json!({
        "query": format!("SELECT * FROM {alias} WHERE ({predicate}) AND {alias}.id = @item_id"),
        "parameters": [{ "name": "@item_id", "value": id }],
    }))
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = (text.get(..word.len())?, text.get(word.len()..)?);
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_becomes_a_query_for_one_item() {
        let query = query("from item  Where item.a = 1 OR item.b", "x").unwrap();
        assert_eq!(query["query"], "SELECT * FROM item WHERE ( item.a = 1 OR item.b) AND item.id = @item_id");
        for bad in ["", "c.a = 1", "FROM", "FROM c", "FROM c HAVING x", "FROM WHERE x", "FROM c WHEREx"] {
            assert_eq!(super::query(bad, "x"), None, "{bad}");
        }
    }
}
