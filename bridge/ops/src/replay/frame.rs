//! What a plan was made for: the configured sites, and what is common to them. Whom a message is owed to depends on it, so a
//! plan is run for the same or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The configuration as far as a plan depends on it. No secret stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// JSON pointer of the key in a payload.
    pub key_pointer: String,
    /// Every site.
    pub sites: BTreeMap<String, At>,
}

/// Where a site's things are, by address and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Its queue.
    pub queue: String,
    /// Its dead-letter queue.
    pub dead_letter_queue: String,
    /// Its store.
    pub store: String,
}

impl Frame {
    /// How `now` differs from this, in words; nothing if it does not.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let differ =
            |what: &str, was: &str, is: &str| (was != is).then(|| format!("{what} is {is} now, and was {was}"));
        let mut found: Vec<String> = differ("key_pointer", &self.key_pointer, &now.key_pointer).into_iter().collect();
        for (site, was) in &self.sites {
            let Some(is) = now.sites.get(site) else {
                found.push(format!("{site} is configured no more"));
                continue;
            };
            found.extend(differ(&format!("the queue of {site}"), &was.queue, &is.queue));
            let name = format!("the dead-letter queue of {site}");
            found.extend(differ(&name, &was.dead_letter_queue, &is.dead_letter_queue));
            found.extend(differ(&format!("the store of {site}"), &was.store, &is.store));
        }
        let new = now.sites.keys().filter(|site| !self.sites.contains_key(*site));
        found.extend(new.map(|site| format!("{site} is configured now, and was not")));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sites: &[&str]) -> Frame {
        let at = |site: &str| At {
            queue: format!("{site} queue"),
            dead_letter_queue: format!("{site} dead"),
            store: format!("{site} store"),
        };
        let sites = sites.iter().map(|site| ((*site).to_owned(), at(site))).collect();
        Frame { key_pointer: "/id".to_owned(), sites }
    }

    #[test]
    fn whatever_a_plan_depends_on_is_named_where_it_differs() {
        let was = frame(&["a:a", "b:b"]);
        assert!(was.differences(&was).is_empty());
        assert_eq!(was.differences(&frame(&["a:a", "b:b", "c:c"])), ["c:c is configured now, and was not"]);
        assert_eq!(was.differences(&frame(&["a:a"])), ["b:b is configured no more"]);
        let renamed = was.differences(&frame(&["a:a", "c:c"]));
        assert_eq!(renamed, ["b:b is configured no more", "c:c is configured now, and was not"]);
        let changed = |change: fn(&mut Frame)| {
            let mut now = was.clone();
            change(&mut now);
            was.differences(&now)
        };
        assert_eq!(changed(|now| now.key_pointer = "/key".to_owned()), ["key_pointer is /key now, and was /id"]);
        assert_eq!(
            changed(|now| now.sites.get_mut("b:b").unwrap().queue = "x".to_owned()),
            ["the queue of b:b is x now, and was b:b queue"]
        );
        assert_eq!(
            changed(|now| now.sites.get_mut("b:b").unwrap().dead_letter_queue = "x".to_owned()),
            ["the dead-letter queue of b:b is x now, and was b:b dead"]
        );
        assert_eq!(
            changed(|now| now.sites.get_mut("a:a").unwrap().store = "x".to_owned()),
            ["the store of a:a is x now, and was a:a store"]
        );
    }
}
