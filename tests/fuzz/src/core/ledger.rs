//! A plan's entries and a journal's lines, folded into the ledger of a replay.

use bridge_core::replay::{
    journal::Receipt,
    ledger::{Claim, Ledger},
    plan::{Line, Reader},
};

use crate::text;

/// Entries and receipts in any order, as files that somebody has changed have them: what is removed is never taken again,
/// nobody waits for more than was planned, and memory grows with what is there.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (mut reader, mut ledger, mut messages) = (Reader::default(), Ledger::default(), Vec::new());
    for line in text.lines() {
        if let Ok(parsed) = reader.line(line) {
            if let Line::Entry(entry) = parsed {
                messages.push((entry.message, entry.queue));
                ledger.plan(&entry);
            }
        } else if let Ok(receipt) = serde_json::from_str::<Receipt>(line) {
            assert_eq!(serde_json::from_str::<Receipt>(&serde_json::to_string(&receipt).unwrap()).unwrap(), receipt);
            ledger.receipt(&receipt);
            if let Receipt::Removed { message } = receipt {
                assert!(!matches!(ledger.claim(message), Claim::Take(_)), "taken again once it is gone");
            }
        }
    }
    for (message, queue) in messages {
        let waiting = ledger.waiting(queue);
        if let Claim::Take(message) = ledger.claim(message) {
            assert_eq!(ledger.waiting(queue) + 1, waiting);
            ledger.put_back(&message);
            assert_eq!(ledger.waiting(queue), waiting);
            ledger.claim(message);
            ledger.conclude(&message);
        }
        assert!(!matches!(ledger.claim(message), Claim::Take(_)), "taken twice");
    }
    let planned: u64 = ledger.tallies().values().map(|tally| tally.planned).sum();
    assert_eq!(planned, ledger.len() as u64);
}
