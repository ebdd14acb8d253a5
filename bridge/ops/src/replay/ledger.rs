//! What is planned, and how far it has come: some 40 bytes for each message.

use std::collections::{BTreeMap, HashMap};

use super::{
    effect::Effect,
    errand::{Errand, Errands},
    fingerprint::Fingerprint,
    journal::{Outcome, Receipt},
    plan::Entry,
    route::Source,
};

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not seen by this run.
    Waiting,
    /// In this run's hands.
    Taken,
    /// Every errand is confirmed, and it may leave its source.
    Paid,
    /// It has left its source.
    Removed,
    /// It was seen and stays: not every errand was confirmed, or somebody else is owed.
    Stays,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Errands that are confirmed, by their number.
    confirmed: u64,
    /// Errands there are: those of the plan, and once this run has read the message those that it found.
    errands: u64,
    reason: u16,
    queue: u8,
    effect: Effect,
    outcome: Option<Outcome>,
    phase: Phase,
    /// Whether it leaves its source once all errands are confirmed; found like these.
    leaves: bool,
    /// Whether it leaves its source without any errand; found like these.
    dropped: bool,
}

impl Slot {
    /// Whether all of its errands are confirmed.
    fn is_paid(&self) -> bool {
        self.errands != 0 && self.confirmed & self.errands == self.errands
    }
}

/// What came of the messages of one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages of the plan.
    pub planned: u64,
    /// What was predicted.
    pub predicted: BTreeMap<Effect, u64>,
    /// What was confirmed, by its outcome; a message for several sites counts once.
    pub done: BTreeMap<Outcome, u64>,
    /// Messages that have left their source, or came no more after all had confirmed them: an earlier run removed them, or another consumer
    /// holds them.
    pub removed: u64,
    /// Confirmed by the target, and kept in the source for the sites that are owed the event beside it.
    pub kept: u64,
    /// Brought, and still in the source as far as is known: they could not be removed.
    pub unremoved: u64,
    /// Messages that stay unconfirmed: refused, or not every site took them.
    pub left: u64,
    /// Messages that did not come to a run that ended by itself: another consumer has taken them.
    pub unseen: u64,
    /// Messages that a run which ended early did not get to.
    pub untried: u64,
}

/// All messages of a plan.
#[derive(Debug, Default)]
pub struct Ledger {
    slots: HashMap<Fingerprint, Slot>,
    reasons: Vec<String>,
    places: Vec<Errand>,
    /// Messages that this run still waits for, by queue.
    waiting: Vec<usize>,
    /// Whether nothing ever leaves the source.
    keeps: bool,
    /// Whether the run ended before all was tried.
    early: bool,
}

impl Ledger {
    /// Nothing planned yet; from a file nothing is ever removed.
    pub fn of(source: &Source) -> Self {
        Self { keeps: matches!(source, Source::File(_)), ..Self::default() }
    }

    /// Takes in an entry of the plan, which has passed its [`Reader`](super::plan::Reader). Two that are one message count
    /// once: the later stands.
    pub fn plan(&mut self, entry: &Entry) {
        let errands: Vec<Errand> = entry.errands.iter().filter_map(super::plan::Prediction::errand).collect();
        let errands = self.bits(&errands);
        let reason = self.reasons.iter().position(|reason| *reason == entry.reason).unwrap_or_else(|| {
            self.reasons.push(entry.reason.clone());
            self.reasons.len() - 1
        });
        let dropped = entry.effect() == Effect::Dropped;
        let actionable = dropped || errands != 0 && entry.refused.is_none();
        let slot = Slot {
            confirmed: 0,
            errands,
            reason: u16::try_from(reason).unwrap_or(u16::MAX),
            queue: u8::try_from(entry.queue).unwrap_or(u8::MAX),
            effect: entry.effect(),
            outcome: None,
            phase: if actionable { Phase::Waiting } else { Phase::Stays },
            leaves: entry.unpaid.is_empty() && !self.keeps,
            dropped,
        };
        if self.waiting.len() <= entry.queue {
            self.waiting.resize(entry.queue + 1, 0);
        }
        let before = self.slots.insert(entry.message, slot);
        if let Some(before) = before.filter(|before| before.phase == Phase::Waiting) {
            self.waiting[usize::from(before.queue)] -= 1;
        }
        if actionable {
            self.waiting[entry.queue] += 1;
        }
    }

    /// Takes in what an earlier run did, or this one.
    pub fn receipt(&mut self, receipt: &Receipt) {
        match receipt {
            Receipt::Begin { .. } => {}
            Receipt::Confirmed { message, by, outcome } => {
                let bit = by.parse().map_or(0, |errand| self.bits(&[errand]) & !UNCOUNTED);
                if let Some(slot) = self.slots.get_mut(message) {
                    slot.confirmed |= bit;
                    slot.outcome = slot.outcome.max(Some(*outcome));
                    if slot.is_paid() && !slot.leaves {
                        let before = std::mem::replace(&mut slot.phase, Phase::Stays);
                        if before == Phase::Waiting {
                            self.waiting[usize::from(slot.queue)] -= 1;
                        }
                    }
                }
            }
            Receipt::Removed { message } | Receipt::Gone { message } => {
                if let Some(slot) = self.slots.get_mut(message) {
                    let before = std::mem::replace(&mut slot.phase, Phase::Removed);
                    if before == Phase::Waiting {
                        self.waiting[usize::from(slot.queue)] -= 1;
                    }
                }
            }
        }
    }

    /// Takes a delivery of `message` in hand; false if it is not of the plan, is in hand already, or stays.
    pub fn claim(&mut self, message: &Fingerprint) -> bool {
        let Some(slot) = self.slots.get_mut(message) else { return false };
        match slot.phase {
            Phase::Taken | Phase::Stays => return false,
            Phase::Waiting => self.waiting[usize::from(slot.queue)] -= 1,
            // Delivered twice, or its removal was not written down: it is read anew like any other.
            Phase::Paid | Phase::Removed => {}
        }
        slot.phase = Phase::Taken;
        true
    }

    /// Takes in what this run found `message` to owe, whatever the plan says: it is paid when all of that is confirmed.
    /// Answers the errands that are not.
    pub fn owe(&mut self, message: &Fingerprint, owed: Errands) -> Vec<Errand> {
        let errands = self.bits(&owed.run);
        let Some(slot) = self.slots.get_mut(message) else { return Vec::new() };
        slot.errands = errands;
        slot.leaves = owed.unpaid.is_empty() && !self.keeps;
        slot.dropped = owed.dropped;
        let confirmed = slot.confirmed;
        owed.run.into_iter().filter(|errand| self.bits(std::slice::from_ref(errand)) & !confirmed != 0).collect()
    }

    /// Whether every errand of `message` is confirmed.
    pub fn is_brought(&self, message: &Fingerprint) -> bool {
        self.slots.get(message).is_some_and(Slot::is_paid)
    }

    /// Ends the work on `message`: whether it may be removed now.
    pub fn conclude(&mut self, message: &Fingerprint) -> bool {
        let Some(slot) = self.slots.get_mut(message) else { return false };
        let paid = (slot.is_paid() || slot.dropped) && slot.leaves;
        slot.phase = if paid { Phase::Paid } else { Phase::Stays };
        paid
    }

    /// Gives `message` back untried, or paid and not removed: it may come again.
    pub fn put_back(&mut self, message: &Fingerprint) {
        let in_hand = |slot: &&mut Slot| matches!(slot.phase, Phase::Taken | Phase::Paid);
        if let Some(slot) = self.slots.get_mut(message).filter(in_hand) {
            slot.phase = Phase::Waiting;
            self.waiting[usize::from(slot.queue)] += 1;
        }
    }

    /// Messages of `queue` that have not come yet.
    pub fn waiting(&self, queue: usize) -> usize {
        self.waiting.get(queue).copied().unwrap_or_default()
    }

    /// Messages of all queues that have not come yet.
    pub fn open(&self) -> usize {
        self.waiting.iter().sum()
    }

    /// The messages of `queue` that everybody has and that did not come: once the queue gives nothing more, nothing is left to do for them.
    pub fn gone(&self, queue: usize) -> Vec<Fingerprint> {
        let gone = |slot: &Slot| usize::from(slot.queue) == queue && slot.phase == Phase::Waiting && slot.is_paid();
        self.slots.iter().filter(|(_, slot)| gone(slot)).map(|(message, _)| *message).collect()
    }

    /// Notes that the run ended before all was tried: what it did not come across is not missing.
    pub fn end_early(&mut self) {
        self.early = true;
    }

    /// Messages of the plan that every site of it has confirmed.
    pub fn brought(&self) -> usize {
        self.slots.values().filter(|slot| slot.is_paid()).count()
    }

    /// Every errand that some message of the plan has.
    pub fn places(&self) -> &[Errand] {
        &self.places
    }

    /// Messages of the plan.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the plan has no message.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What came of the messages, by reason.
    pub fn tallies(&self) -> BTreeMap<&str, Tally> {
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        for slot in self.slots.values() {
            let reason = self.reasons.get(usize::from(slot.reason)).map_or("?", String::as_str);
            let tally = tallies.entry(reason).or_default();
            tally.planned += 1;
            *tally.predicted.entry(slot.effect).or_default() += 1;
            if let Some(outcome) = slot.outcome.filter(|_| slot.is_paid()) {
                *tally.done.entry(outcome).or_default() += 1;
            }
            match slot.phase {
                Phase::Removed => tally.removed += 1,
                Phase::Paid => tally.unremoved += 1,
                Phase::Waiting | Phase::Taken if slot.is_paid() => tally.unremoved += 1,
                Phase::Stays if slot.is_paid() => tally.kept += 1,
                Phase::Waiting if self.early => tally.untried += 1,
                Phase::Waiting => tally.unseen += 1,
                Phase::Stays | Phase::Taken => tally.left += 1,
            }
        }
        tallies
    }

    /// The bits of these errands.
    fn bits(&mut self, errands: &[Errand]) -> u64 {
        let bit = |errand: &Errand| {
            let number = self.places.iter().position(|place| place == errand).unwrap_or_else(|| {
                self.places.push(errand.clone());
                self.places.len() - 1
            });
            u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number)).unwrap_or(UNCOUNTED)
        };
        errands.iter().map(bit).fold(0, std::ops::BitOr::bitor)
    }
}

/// The bit of every errand for which there is no bit of its own: it is never confirmed, so its message stays. A plan has
/// an errand for each site, and 63 sites are more than anybody has.
const UNCOUNTED: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replay::plan::{Prediction, Refused};

    const PLACES: [&str; 2] = ["aws:us-east-1/store", "azure:westeurope/queue"];

    fn name(number: usize) -> Fingerprint {
        Fingerprint::of(0, &number.to_string(), b"")
    }

    /// Message 0 is refused, 1 goes to one site, 2 to two, 3 to one and is owed to another beside it.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        (0..4).for_each(|number| ledger.plan(&entry(number)));
        ledger
    }

    fn entry(number: usize) -> Entry {
        let to = |place: &&str| Prediction { to: (*place).to_owned(), effect: Effect::Apply };
        let refused = || Refused { reason: "not_json".to_owned(), detail: String::new(), effect: Effect::Invalid };
        Entry {
            message: name(number),
            queue: 0,
            message_id: number.to_string(),
            reason: "peer_unavailable".to_owned(),
            first_seen: None,
            detail: None,
            replaces_later: false,
            dropped: false,
            bytes: 0,
            event_id: None,
            key: None,
            version: None,
            source_region: None,
            errands: PLACES[..[0, 1, 2, 1][number]].iter().map(to).collect(),
            unpaid: if number == 3 { vec!["gcp:x".to_owned()] } else { Vec::new() },
            refused: (number == 0).then(refused),
        }
    }

    fn confirmed(number: usize, place: usize) -> Receipt {
        Receipt::Confirmed { message: name(number), by: PLACES[place].to_owned(), outcome: Outcome::Sent }
    }

    /// What this run finds `number` to owe: to these places, and to `unpaid` beside them.
    fn owes(places: &[&str], unpaid: &[&str]) -> Errands {
        Errands {
            run: places.iter().map(|place| place.parse().unwrap()).collect(),
            unpaid: unpaid.iter().map(|site| site.parse().unwrap()).collect(),
            dropped: false,
        }
    }

    #[test]
    fn a_message_is_taken_once_and_leaves_when_all_have_confirmed() {
        let mut ledger = ledger();
        assert_eq!(ledger.waiting(0), 3);
        assert!(!ledger.claim(&name(9)), "not of the plan");
        assert!(!ledger.claim(&name(0)), "refused");
        assert!(ledger.claim(&name(2)));
        assert!(!ledger.claim(&name(2)), "it is in our hands");
        ledger.put_back(&name(2));
        assert_eq!((ledger.waiting(0), ledger.claim(&name(2))), (3, true));
        ledger.receipt(&confirmed(2, 0));
        assert!(!ledger.conclude(&name(2)), "one site of two");
        ledger.receipt(&confirmed(2, 1));
        assert!(ledger.conclude(&name(2)));
        assert!(ledger.claim(&name(2)), "delivered again, and read again");
        assert!(ledger.owe(&name(2), owes(&PLACES, &[])).is_empty() && ledger.conclude(&name(2)));
        assert!(ledger.claim(&name(3)));
        ledger.receipt(&confirmed(3, 0));
        assert!(!ledger.conclude(&name(3)), "somebody else is owed it");
        assert_eq!(ledger.waiting(0), 1);
        let tally = &ledger.tallies()["peer_unavailable"];
        let counted =
            |tally: &Tally| [tally.removed, tally.unremoved, tally.kept, tally.left, tally.unseen, tally.untried];
        assert_eq!(counted(tally), [0, 1, 1, 1, 1, 0], "the removal of one was not written down");
        ledger.receipt(&Receipt::Removed { message: name(2) });
        ledger.end_early();
        assert_eq!(counted(&ledger.tallies()["peer_unavailable"]), [1, 0, 1, 1, 0, 1]);
    }

    /// A plan that knows fewer sites than there are now, and a journal in which all of those have confirmed.
    #[test]
    fn paid_is_paid_to_all_whom_this_run_found() {
        let (aws, azure) = (PLACES[0], PLACES[1]);
        let errands = |places: &[&str]| -> Vec<Errand> { places.iter().map(|place| place.parse().unwrap()).collect() };
        let mut ledger = ledger();
        ledger.receipt(&confirmed(1, 0));
        assert!(ledger.claim(&name(1)), "what the journal has paid is read anew");
        assert_eq!(
            ledger.owe(&name(1), owes(&[aws, azure, "azure:northeurope/queue"], &[])),
            errands(&[azure, "azure:northeurope/queue"])
        );
        assert!(!ledger.is_brought(&name(1)) && !ledger.conclude(&name(1)));
        let tally = &ledger.tallies()["peer_unavailable"];
        assert_eq!((tally.left, tally.kept, tally.unremoved), (2, 0, 0), "it and the refused one");
        // Fewer are enough too, and what is owed to nobody who is known stays.
        assert!(ledger.claim(&name(2)));
        ledger.receipt(&confirmed(2, 1));
        assert!(ledger.owe(&name(2), owes(&[azure], &[])).is_empty() && ledger.conclude(&name(2)));
        assert!(ledger.claim(&name(3)));
        ledger.receipt(&confirmed(3, 0));
        assert!(ledger.owe(&name(3), owes(&[aws], &["gcp:x"])).is_empty() && !ledger.conclude(&name(3)));
        assert_eq!(ledger.owe(&name(9), owes(&[aws], &[])), [], "not of the plan");
        let mut refused = self::ledger();
        refused.receipt(&confirmed(1, 0));
        assert!(refused.claim(&name(1)) && refused.owe(&name(1), Errands::default()).is_empty());
        assert!(!refused.conclude(&name(1)), "no site takes it any more: nobody knows whom it was owed to");
    }

    /// More places than there are bits: what has none of its own is never confirmed, and its message stays.
    #[test]
    fn of_too_many_places_none_is_forgotten() {
        let mut ledger = ledger();
        let places: Vec<String> = (0..70).map(|number| format!("aws:r-{number}/queue")).collect();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        assert!(ledger.claim(&name(1)));
        assert_eq!(ledger.owe(&name(1), owes(&places, &[])).len(), 70);
        for place in places {
            assert!(!ledger.conclude(&name(1)));
            ledger.receipt(&Receipt::Confirmed { message: name(1), by: place.to_owned(), outcome: Outcome::Sent });
        }
        assert!(!ledger.is_brought(&name(1)) && !ledger.conclude(&name(1)));
    }

    /// What everybody has and nobody removed is waited for, and is gone if it does not come.
    #[test]
    fn what_was_brought_and_not_removed_is_waited_for_once() {
        let mut ledger = ledger();
        ledger.receipt(&confirmed(1, 0));
        assert_eq!((ledger.brought(), ledger.waiting(0)), (1, 3));
        assert_eq!(ledger.tallies()["peer_unavailable"].unremoved, 1);
        assert!(ledger.claim(&name(1)));
        assert_eq!((ledger.waiting(0), ledger.gone(0)), (2, Vec::new()), "in hand");
        ledger.put_back(&name(1));
        assert_eq!((ledger.waiting(0), ledger.gone(0), ledger.gone(1)), (3, vec![name(1)], Vec::new()));
        ledger.receipt(&Receipt::Gone { message: name(1) });
        assert_eq!((ledger.waiting(0), ledger.gone(0)), (2, Vec::new()));
        assert_eq!(ledger.tallies()["peer_unavailable"].removed, 1);
    }

    #[test]
    fn nothing_leaves_a_file() {
        let mut ledger = Ledger::of(&"letters.jsonl".parse().unwrap());
        ledger.plan(&entry(1));
        assert!(ledger.claim(&name(1)) && ledger.owe(&name(1), owes(&PLACES[..1], &[])).len() == 1);
        ledger.receipt(&confirmed(1, 0));
        assert!(!ledger.conclude(&name(1)));
        let tally = &ledger.tallies()["peer_unavailable"];
        assert_eq!((tally.kept, tally.removed, tally.unremoved), (1, 0, 0));
    }

    #[test]
    fn nothing_is_waited_for_that_cannot_be_brought_or_has_been() {
        let waiting = |entry: &Entry| {
            let mut ledger = Ledger::default();
            ledger.plan(entry);
            ledger.waiting(0)
        };
        assert_eq!(waiting(&entry(1)), 1);
        assert_eq!(waiting(&Entry { refused: entry(0).refused, ..entry(1) }), 0, "refused, whomever it is for");
        assert_eq!(waiting(&Entry { refused: None, ..entry(0) }), 0, "for nobody");
        let mut resumed = ledger();
        resumed.receipt(&confirmed(3, 0));
        assert_eq!(resumed.waiting(0), 2, "an earlier run has done what can be done for it");
    }

    #[test]
    fn messages_places_and_effects_are_counted() {
        let ledger = ledger();
        assert_eq!((ledger.len(), ledger.is_empty()), (4, false));
        assert_eq!((Ledger::default().len(), Ledger::default().is_empty()), (0, true));
        let places: Vec<String> = ledger.places().iter().map(ToString::to_string).collect();
        assert_eq!(places, PLACES);
        let predicted = &ledger.tallies()["peer_unavailable"].predicted;
        assert_eq!(*predicted, [(Effect::Apply, 3), (Effect::Invalid, 1)].into());
    }

    /// A message that was looked at twice may have been refused at first, by a clock that was behind.
    #[test]
    fn of_two_entries_that_are_one_message_the_later_counts() {
        let refused = Entry { message: name(1), ..entry(0) };
        for (entries, waiting) in [
            ([&refused, &entry(1)], [1, 0]),
            ([&entry(1), &refused], [0, 0]),
            ([&entry(1), &Entry { queue: 1, ..entry(1) }], [0, 1]),
        ] {
            let mut ledger = Ledger::default();
            for entry in entries {
                ledger.plan(entry);
            }
            assert_eq!([ledger.waiting(0), ledger.waiting(1)], waiting);
            assert_eq!(ledger.claim(&name(1)), waiting != [0, 0]);
            assert_eq!((ledger.len(), ledger.waiting(0) + ledger.waiting(1)), (1, 0));
        }
    }

    proptest! {
        /// Whatever a journal holds, in whatever order and however often: what stands there is done, and nothing is counted
        /// twice or lost.
        #[test]
        fn a_journal_read_twice_says_the_same(lines in prop::collection::vec((0..4_usize, 0..4_usize), 0..20)) {
            let receipts: Vec<Receipt> = lines
                .into_iter()
                .map(|(number, what)| match what {
                    2 => Receipt::Removed { message: name(number) },
                    3 => Receipt::Gone { message: name(number) },
                    place => confirmed(number, place),
                })
                .collect();
            let (mut once, mut twice) = (ledger(), ledger());
            for receipt in &receipts {
                once.receipt(receipt);
            }
            for receipt in receipts.iter().chain(&receipts) {
                twice.receipt(receipt);
            }
            prop_assert_eq!(once.tallies(), twice.tallies());
            prop_assert_eq!(once.waiting(0), twice.waiting(0));
            let tallies = once.tallies();
            let tally = &tallies["peer_unavailable"];
            let known = tally.removed + tally.unremoved + tally.kept + tally.left;
            prop_assert_eq!(known + tally.unseen + tally.untried, tally.planned);
            let waiting = (0..4).filter(|number| once.claim(&name(*number))).count();
            prop_assert!(once.waiting(0) == 0 && waiting <= 4);
        }
    }

    #[test]
    fn it_says_how_far_a_plan_has_come() {
        let mut ledger = ledger();
        let confirmed = |number: usize| Receipt::Confirmed {
            message: name(number),
            by: PLACES[0].to_owned(),
            outcome: Outcome::Applied,
        };
        assert_eq!((ledger.open(), ledger.brought()), (3, 0), "one is refused");
        ledger.receipt(&confirmed(1));
        ledger.receipt(&confirmed(2));
        assert!(ledger.is_brought(&name(1)) && !ledger.is_brought(&name(2)), "one of two sites is not all");
        assert_eq!((ledger.open(), ledger.brought()), (3, 1), "and it has not left its source");
        ledger.receipt(&Receipt::Removed { message: name(1) });
        ledger.receipt(&confirmed(3));
        assert_eq!((ledger.open(), ledger.brought()), (1, 2), "the last one stays for another site");
    }
}
