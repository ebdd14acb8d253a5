//! What applications write at both sites while all goes wrong: few keys at a time, ties, late ones, deletes, repeats, and flawed ones.
//!
//! A send that failed may have happened, so it is sent again until it is confirmed, as a producer must.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bridge_adapters::clock::SystemClock;
use bridge_core::port::Clock;
use bridge_tests::cloud::runtime;
use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};
use fastrand::Rng;
use serde::Serialize;

use super::{AWS, AZURE};
use crate::replay::sites::Site;

/// From one look at what is to be sent to the next, and the new events of each.
const TICK: Duration = Duration::from_millis(100);
const EVENTS_A_TICK: usize = 3;

/// Keys of one second; all are written at both sites in it, and only late ones come after it. So what is lost is not
/// hidden by later writes.
const KEYS_A_SECOND: u64 = 6;

/// How long before now the run's stamps begin: far from the fence against stamps from the future.
const AGE: TimeDelta = TimeDelta::hours(1);

/// A message that was made, and will have been sent.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    pub(super) site: &'static str,
    pub(super) body: String,
    /// The reason that its letter must have, if it is flawed.
    pub(super) flaw: Option<&'static str>,
}

/// What both writers and those who watch them share.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Nothing new is to be made.
    pub(super) over: AtomicBool,
    /// Sends that were confirmed.
    pub(super) confirmed: AtomicU64,
    /// Sends that failed, or whose answer was lost.
    pub(super) failed: AtomicU64,
}

/// Writes at `sites[home]` until the signal; returns when all is confirmed, with what was sent.
pub(super) fn write(sites: &[Site; 2], home: usize, seed: u64, signals: &Signals) -> Vec<Sent> {
    let mut writer = Writer::new(home, seed);
    let (mut sent, mut waiting, mut later) = (Vec::new(), [Vec::new(), Vec::new()], Vec::new());
    loop {
        let over = signals.over.load(Ordering::Relaxed);
        if !over {
            for _ in 0..EVENTS_A_TICK {
                let made = writer.event();
                waiting[home].push(made.body.clone());
                if writer.rng.u8(0..6) == 0 {
                    // Again, some to the other site, which must not take them for its own.
                    let to = if made.flaw.is_none() && writer.rng.u8(0..4) == 0 { 1 - home } else { home };
                    let due = Instant::now() + Duration::from_millis(writer.rng.u64(0..8_000));
                    later.push((due, to, made.body.clone()));
                }
                sent.push(made);
            }
        }
        for (_, to, body) in later.extract_if(.., |(due, ..)| over || *due <= Instant::now()) {
            waiting[to].push(body);
        }
        for (site, waiting) in sites.iter().zip(&mut waiting) {
            send(site, waiting, signals);
        }
        if over && waiting.iter().all(Vec::is_empty) {
            return sent;
        }
        std::thread::sleep(TICK);
    }
}

/// Sends what waits, and keeps what was not confirmed.
fn send(site: &Site, waiting: &mut Vec<String>, signals: &Signals) {
    if waiting.is_empty() {
        return;
    }
    let messages: Vec<_> = waiting.iter().map(|body| bridge_tests::message(body.as_bytes())).collect();
    let mut answers = runtime().block_on(site.queue.send(&messages)).into_iter();
    let before = waiting.len() as u64;
    waiting.retain(|_| answers.next().is_none_or(|answer| answer.is_err()));
    signals.failed.fetch_add(waiting.len() as u64, Ordering::Relaxed);
    signals.confirmed.fetch_add(before - waiting.len() as u64, Ordering::Relaxed);
}

struct Writer {
    rng: Rng,
    site: &'static str,
    seed: u64,
    begin: DateTime<Utc>,
    number: u64,
}

impl Writer {
    fn new(home: usize, seed: u64) -> Self {
        let begin = SystemClock.now();
        // Both sites have the same half seconds, so ties between them are common.
        let begin = DateTime::from_timestamp(begin.timestamp(), 0).unwrap();
        let rng = Rng::with_seed(seed.wrapping_mul(2) + home as u64);
        Self { rng, site: [AWS, AZURE][home], seed, begin, number: 0 }
    }

    fn event(&mut self) -> Sent {
        self.number += 1;
        let elapsed = (SystemClock.now() - self.begin).to_std().unwrap_or_default();
        let (mut second, mut half) = (elapsed.as_secs(), u64::from(elapsed.subsec_millis() / 500));
        if self.rng.u8(0..6) == 0 {
            // Late: a key of earlier, stamped at its time or before.
            second = self.rng.u64(0..=second);
            half = 0;
        }
        let stamp = self.begin - AGE + TimeDelta::milliseconds((second * 1_000 + half * 500).cast_signed());
        let key = format!("chaos-{}-{second}-{}", self.seed, self.rng.u64(0..KEYS_A_SECOND));
        let id = uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid();
        let op = ["create", "update", "upsert", "delete"][self.rng.usize(0..4)];
        let (site, number, stamp) = (self.site, self.number, self.spelled(stamp));
        let body = |site: &str, op: &str, more: &str, stamp: &str| {
            format!(
                r#"{{"event_id":"{id}","source_region":"{site}","op_type":"{op}","payload":{{"id":"{key}","number":{number}{more}}},"timestamp":"{stamp}"}}"#
            )
        };
        let good = body(site, op, "", &stamp);
        let (body, flaw) = match self.rng.u8(0..120) {
            0 => (good[..good.len() - 1].to_owned(), Some("not_json")),
            1 => (body(site, op, r#","number":0"#, &stamp), Some("duplicate_member")),
            2 => (body(site, "merge", "", &stamp), Some("invalid_event")),
            3 => (body(site, "upsert", r#","total":9007199254740993"#, &stamp), Some("not_portable")),
            // These two would win for ever, and be known at one site only, if they were let in.
            4 => (body(site, op, "", "2099-01-01T00:00:00Z"), Some("clock_skew")),
            5 => (body("aws:eu-nowhere-9", op, "", &stamp), Some("unknown_origin")),
            _ => (good, None),
        };
        Sent { site, body, flaw }
    }

    /// One of the ways to write an instant; as texts they compare in another order.
    fn spelled(&mut self, stamp: DateTime<Utc>) -> String {
        let format = [SecondsFormat::AutoSi, SecondsFormat::Millis, SecondsFormat::Nanos][self.rng.usize(0..3)];
        match [0, 0, 2, -8][self.rng.usize(0..4)] {
            0 => stamp.to_rfc3339_opts(format, true),
            hours => {
                let offset = FixedOffset::east_opt(hours * 3_600).unwrap();
                stamp.with_timezone(&offset).to_rfc3339_opts(format, false)
            }
        }
    }
}
