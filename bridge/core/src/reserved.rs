//! Keys of the bridge's own.

use crate::event::{Key, SiteId};

/// What every reserved key begins with: an event of a producer there is refused.
pub const RESERVED: &str = "_bridge/";

/// The key of a site's heartbeat.
pub fn heartbeat(site: &SiteId) -> Key {
    format!("{RESERVED}heartbeat/{site}").parse().expect("short, and of letters that every store takes")
}

/// The key of the record that says which worker of a site brings what its letters owe.
pub fn auto_replay(site: &SiteId) -> Key {
    format!("{RESERVED}auto-replay/{site}").parse().expect("short, and of letters that every store takes")
}

/// The key of what a site's worker says of its state.
pub fn state(site: &SiteId) -> Key {
    format!("{RESERVED}state/{site}").parse().expect("short, and of letters that every store takes")
}

/// Whether an event of `origin` under `key` is that site's heartbeat. Asked of every event, so nothing is put together for it.
pub fn is_heartbeat(key: &Key, origin: &SiteId) -> bool {
    key.as_str().strip_prefix(RESERVED).and_then(|rest| rest.strip_prefix("heartbeat/")) == Some(origin.as_str())
}

/// Whether it is what that site's worker says of its state.
pub fn is_state(key: &Key, origin: &SiteId) -> bool {
    key.as_str().strip_prefix(RESERVED).and_then(|rest| rest.strip_prefix("state/")) == Some(origin.as_str())
}

/// Whether it is either: the next one says more, so nobody is owed one that did not get through.
pub fn is_own_word(key: &Key, origin: &SiteId) -> bool {
    is_heartbeat(key, origin) || is_state(key, origin)
}
