//! A plan's entries and a journal's lines, folded into the ledger of a replay.

use bridge_ops::replay::{
    errand::Errands,
    journal::Receipt,
    ledger::Ledger,
    plan::{Line, Reader},
};

use crate::text;

/// Entries and receipts in any order, as files that somebody has changed have them: nothing is in two hands,
/// nobody waits for more than was planned, and memory grows with what is there.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (mut reader, mut ledger, mut messages) = (Reader::default(), Ledger::default(), Vec::new());
    for line in text.lines() {
        if let Ok(parsed) = reader.line(line) {
            if let Line::Entry(entry) = parsed {
                messages.push(entry.message);
                ledger.plan(&entry);
            }
        } else if let Ok(receipt) = serde_json::from_str::<Receipt>(line) {
            assert_eq!(serde_json::from_str::<Receipt>(&serde_json::to_string(&receipt).unwrap()).unwrap(), receipt);
            ledger.receipt(&receipt);
        }
    }
    for message in messages {
        let waiting = ledger.open();
        if ledger.claim(&message) {
            let rest = ledger.open();
            assert!(rest == waiting || rest + 1 == waiting, "it is one message");
            assert!(!ledger.claim(&message), "taken twice");
            ledger.put_back(&message);
            assert_eq!(ledger.open(), rest + 1);
            assert!(ledger.claim(&message) && ledger.open() == rest, "given back and taken again");
            ledger.owe(&message, Errands::default());
            assert!(!ledger.conclude(&message) && !ledger.claim(&message), "owed to nobody that is known: it stays");
        }
    }
    let planned: u64 = ledger.tallies().values().map(|tally| tally.planned).sum();
    assert_eq!(planned, ledger.len() as u64);
}
