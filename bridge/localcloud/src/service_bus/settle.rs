//! Settlements over a link: what a disposition asks of the queue, and the answer that the clients accept as "done".

use fe2o3_amqp_types::definitions::{Error, Role};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Modified, Rejected, Released};
use fe2o3_amqp_types::performatives::Disposition;
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;

use super::connection::Connection;
use super::message::Changes;
use super::problem::{self, LOCK_LOST, LOCK_LOST_TEXT, Trouble, custom, problem};
use super::queue::{LockLost, Verdict};
use super::session::{Unsettled, put_settled};
use super::transfer::Late;
use crate::fault;

/// One delivery that the peer wants settled.
pub(super) struct Settlement {
    channel: u16,
    id: u32,
    delivery: Unsettled,
    verdict: Verdict,
    /// The state that confirms it.
    echo: DeliveryState,
    /// Whether the peer waits for the confirmation.
    awaited: bool,
}

impl Connection {
    pub(super) fn on_disposition(&mut self, channel: u16, disposition: Disposition) -> Result<(), Trouble> {
        // From a sender it concerns messages to us, which we settled at once.
        let (Role::Receiver, Some(state)) = (disposition.role, disposition.state) else { return Ok(()) };
        let Some((verdict, echo)) = verdict(&state) else { return Ok(()) };
        let Some(session) = self.session(channel)? else { return Ok(()) };
        let first = disposition.first;
        // A range that ends before it begins stands for its beginning alone.
        let last = disposition.last.unwrap_or(first).max(first);
        let ids: Vec<u32> = session.unsettled.range(first..=last).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(Some(session)) = self.sessions.get_mut(&channel) else { break };
            let Some(delivery) = session.unsettled.remove(&id) else { continue };
            let settlement = Settlement {
                channel,
                id,
                delivery,
                verdict: verdict.clone(),
                echo: echo.clone(),
                awaited: !disposition.settled,
            };
            let verdict = self.broker.faults.judge("settle");
            if verdict.delay.is_zero() {
                self.settle(settlement, verdict)?;
            } else {
                self.hold_back(verdict.delay, Late::Settle { settlement: Box::new(settlement), verdict });
            }
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, settlement: Settlement, fate: fault::Verdict) -> Result<(), Trouble> {
        self.drip = self.drip.max(fate.drip);
        let Settlement { channel, id, delivery: Unsettled { place, token, .. }, verdict, echo, awaited } = settlement;
        let settled = match fate.before {
            Some(failure) => Err(self.fail("settle", failure)?),
            None => self
                .broker
                .with(&place.cell, |queue, now| queue.settle(now, place.part, token, verdict))
                .map_err(|LockLost| problem(custom(LOCK_LOST), LOCK_LOST_TEXT)),
        };
        let outcome: Result<(), Error> = match fate.after {
            Some(failure) => Err(self.fail("settle", failure)?),
            None => settled,
        };
        let status = outcome.as_ref().map_or_else(problem::name, |()| "ok".to_owned());
        self.broker.faults.record("settle", &status);
        if awaited && matches!(self.sessions.get(&channel), Some(Some(_))) {
            let answer = match outcome {
                Ok(()) => echo,
                Err(error) => DeliveryState::Rejected(Rejected { error: Some(error) }),
            };
            put_settled(&mut self.out, channel, Role::Sender, id, answer)?;
        }
        Ok(())
    }
}

/// What a settlement asks for, and the state that confirms it: the same outcome *without* its error, since the clients read
/// an error in the confirmation as "the settlement failed".
fn verdict(state: &DeliveryState) -> Option<(Verdict, DeliveryState)> {
    match state {
        DeliveryState::Accepted(_) => Some((Verdict::Complete, DeliveryState::Accepted(Accepted {}))),
        DeliveryState::Released(_) => {
            let verdict = Verdict::Return { failed: false, changes: Changes::new() };
            Some((verdict, DeliveryState::Released(Released {})))
        }
        DeliveryState::Rejected(rejected) => {
            let info = rejected.error.as_ref().and_then(|error| error.info.as_deref());
            let text = |key: &str| match info?.get(&Symbol::from(key))? {
                Value::String(text) => Some(text.clone()),
                _ => None,
            };
            let verdict = Verdict::DeadLetter {
                reason: text("DeadLetterReason"),
                description: text("DeadLetterErrorDescription"),
                changes: info.into_iter().flat_map(|info| changes(info.iter())).collect(),
            };
            Some((verdict, DeliveryState::Rejected(Rejected { error: None })))
        }
        DeliveryState::Modified(modified) => {
            let changes = modified.message_annotations.iter().flat_map(|added| changes(added.iter())).collect();
            let defer = modified.undeliverable_here == Some(true);
            let verdict = if defer { Verdict::Defer { changes } } else { Verdict::Return { failed: true, changes } };
            let echo = Modified { message_annotations: None, ..modified.clone() };
            Some((verdict, DeliveryState::Modified(echo)))
        }
        DeliveryState::Received(_) => None,
    }
}

fn changes<'a>(pairs: impl Iterator<Item = (&'a Symbol, &'a Value)>) -> Changes {
    pairs.filter_map(|(key, value)| change(key.as_str(), value)).collect()
}

/// Application properties hold simple values only; anything else that a receiver sends along is left out.
pub(super) fn change(name: &str, value: &Value) -> Option<(String, bytes::Bytes)> {
    let compound = matches!(value, Value::Described(_) | Value::List(_) | Value::Map(_) | Value::Array(_));
    if compound {
        return None;
    }
    Some((name.to_owned(), serde_amqp::to_vec(value).ok()?.into()))
}
