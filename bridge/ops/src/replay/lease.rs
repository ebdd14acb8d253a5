//! The lease of the automatic replay: a record in the site's own store that names the worker which brings what is owed.
//!
//! Two workers that hold it for a moment do no harm: they share the letters, and a second copy of an event changes nothing. So the record needs
//! no more than the stores' one conditional write, and clocks that are right within seconds.

use std::time::Duration;

use bridge_core::{
    event::SiteId,
    failure::PortError,
    port::{Clock, Store},
    property::rfc3339,
    record::Record,
    reserved,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

/// How long a worker holds it without a word. Ours: after a kill another worker goes on within this, and one that lives writes a few records a minute.
pub(super) const LIFE: Duration = Duration::from_secs(10);

/// How often its holder writes it anew.
const RENEWAL: Duration = Duration::from_secs(3);

/// The lease of a site, for one worker.
pub(super) struct Lease<'a> {
    pub(super) site: &'a SiteId,
    pub(super) store: &'a dyn Store,
    pub(super) clock: &'a dyn Clock,
    /// Names the worker's process.
    pub(super) holder: Uuid,
}

/// What the record says.
#[derive(Deserialize)]
struct Held {
    holder: String,
    /// RFC 3339.
    until: String,
}

impl Held {
    fn read(record: &Record) -> Option<Self> {
        serde_json::from_str(record.payload.as_ref()?.as_str()).ok()
    }

    /// One that claims more than a whole life was written by a clock that is ahead, and counts as ended.
    fn holds(&self, now: DateTime<Utc>) -> bool {
        let until = self.until.parse().unwrap_or(now);
        let left = (until - now).to_std().unwrap_or_default();
        !left.is_zero() && left <= LIFE
    }
}

impl Lease<'_> {
    /// Takes the lease, or goes on holding it, for [`LIFE`] from now; false if another worker holds it.
    ///
    /// # Errors
    /// The store fails; it is not known who holds it.
    pub(super) async fn take(&self) -> Result<bool, PortError> {
        let key = reserved::auto_replay(self.site);
        let record = self.store.get(&key).await?;
        let now = self.clock.now();
        let held = record.as_ref().and_then(Held::read);
        if held.is_some_and(|held| !self.is_held_by_us(&held) && held.holds(now)) {
            return Ok(false);
        }
        self.store.put_if_newer(&self.record(record.as_ref(), LIFE)).await?;
        let back = self.store.get(&key).await?;
        Ok(back.as_ref().and_then(Held::read).is_some_and(|held| self.is_held_by_us(&held)))
    }

    /// Ends when the lease is lost: another worker has it, or the store has not taken a renewal for a whole [`LIFE`].
    pub(super) async fn keep(&self) {
        let mut renewed = self.clock.now();
        loop {
            self.clock.sleep(RENEWAL).await;
            match self.take().await {
                Ok(true) => renewed = self.clock.now(),
                Ok(false) => return,
                Err(_) if (self.clock.now() - renewed).to_std().is_ok_and(|passed| passed >= LIFE) => return,
                Err(_) => {}
            }
        }
    }

    /// Gives it up, so that nobody waits for its end. What goes wrong with that costs others the wait.
    pub(super) async fn give_up(&self) {
        let Ok(record) = self.store.get(&reserved::auto_replay(self.site)).await else { return };
        if record.as_ref().and_then(Held::read).is_some_and(|held| self.is_held_by_us(&held)) {
            let _ = self.store.put_if_newer(&self.record(record.as_ref(), Duration::ZERO)).await;
        }
    }

    fn is_held_by_us(&self, held: &Held) -> bool {
        held.holder == self.holder.to_string()
    }

    /// The record that follows `before`, whatever the clock says: its version is greater.
    fn record(&self, before: Option<&Record>, life: Duration) -> Record {
        let now = self.clock.now();
        let next = before.map(|before| before.version.timestamp() + TimeDelta::milliseconds(1));
        let at = next.map_or(now, |next| next.max(now));
        let until = now + TimeDelta::from_std(life).unwrap_or_default();
        let entry = json!({ "holder": self.holder.to_string(), "until": rfc3339(until) });
        Record::own(self.site, reserved::auto_replay(self.site), self.holder, at, now, &entry)
    }
}
