// Looks for the stand-in: three sites, of which one is dark, one has trouble, and nothing is left out.

const AWS = "aws:us-east-1";
const AZURE = "azure:westeurope";
const TOKYO = "aws:ap-northeast-1";
const SITES = [AWS, AZURE, TOKYO];
const AT = "2026-11-21T01:02:03.123Z";
const OUTCOMES = ["applied", "superseded", "duplicate", "dead_letter", "retried"];

const ways = SITES.flatMap((from) => SITES.filter((to) => to !== from).map((to) => [from, to]));

/** An hour of points, with a time when nobody looked and a time of silence. */
export function history() {
  const end = Date.parse(AT) / 1000;
  const points = [];
  for (let at = Math.floor(end / 5) * 5 - 3590; at <= end; at += 5) {
    const age = end - at;
    if (age > 2400 && age < 2700) {
      continue;
    }
    const wave = 1 + Math.sin(age / 200) * 0.5;
    points.push({
      at,
      lag: ways.map(([from, to], index) => (from === AZURE && age < 600 ? null : to === AZURE && age < 600 ? null : 0.03 * wave * (index + 1) + (age > 1500 && age < 1560 ? 8 : 0))),
      backlog: [Math.round(12 * wave), age < 600 ? null : Math.round(30 * wave), 0],
      oldest_age: [1.2 * wave, age < 600 ? null : 2.5 * wave, 0],
      rates: [42 * wave, 0.4 * wave, 0.1, age < 600 ? 3 : 0, age < 600 ? 8 : 0.02],
    });
  }
  return { version: "0.1.0", sites: SITES, ways, outcomes: OUTCOMES, points };
}

const worker = (peers, rest = {}) => ({
  heard_at: AT,
  age_seconds: 3.1,
  every_seconds: 30,
  instance: "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11",
  clock_skew_seconds: 0.02,
  circuits: Object.fromEntries(peers.map((peer) => [peer, peer === AZURE ? "open" : "closed"])),
  events: { applied: 10, superseded: 1, duplicate: 0, dead_letter: 0, retried: 0 },
  conflicts: 1,
  ...rest,
});

const conflict = (number, key, behind) => ({
  site: number % 2 ? AZURE : AWS,
  kind: "two_sites",
  key,
  lost: { version: `lost-${number}`, origin: number % 2 ? AZURE : AWS, timestamp: `2026-11-21T01:01:${50 - number}.100000Z` },
  won: { version: `won-${number}`, origin: number % 2 ? AWS : AZURE, timestamp: `2026-11-21T01:01:${50 - number}.${behind}Z` },
  seen_at: `2026-11-21T01:01:${52 - number}.000Z`,
});

/** Azure is dark. Unknown is null. */
export function trouble() {
  const lag = ways.map(([from, to]) => {
    const way = { from, to, state: "heard", seconds: 0.041, heard_at: AT, age_seconds: 3.1 };
    if (to === AZURE) return { ...way, state: "unknown", seconds: null, heard_at: null, age_seconds: null };
    if (from === AZURE && to === AWS) return { ...way, state: "silent", seconds: null, age_seconds: 612.4 };
    if (from === AZURE) return { ...way, state: "late", seconds: 47.2, age_seconds: 47.2 };
    if (from === TOKYO) return { ...way, state: "never", seconds: null, heard_at: null, age_seconds: null };
    return way;
  });
  const report = {
    at: AT,
    sites: [
      {
        site: AWS, unreachable: false, trouble: [], backlog_messages: 12, in_flight_messages: 3, delayed_messages: 0, oldest_age_seconds: 1.2,
        dead_letters: { messages: 1205, by_reason: { peer_unavailable: 1203, not_portable: 2 }, unread: 0 },
        worker: worker([AZURE, TOKYO]), recovery_point: { events: 1217, seconds: 612.4 },
      },
      {
        site: AZURE, unreachable: true, trouble: ["Service Bus bridge-events: unavailable: connection refused", "Cosmos DB records: get failed: unavailable: connection refused"],
        backlog_messages: null, in_flight_messages: null, delayed_messages: null, oldest_age_seconds: null, dead_letters: null,
        worker: null, recovery_point: { events: null, seconds: 609.1 },
      },
      {
        site: TOKYO, unreachable: false, trouble: [], backlog_messages: 0, in_flight_messages: 0, delayed_messages: 0, oldest_age_seconds: null,
        dead_letters: { messages: 0, by_reason: {}, unread: 0 }, worker: worker([AWS, AZURE], { age_seconds: 140, clock_skew_seconds: -3.4 }), recovery_point: { events: 0, seconds: 0.0 },
      },
    ],
    lag,
    conflicts: [conflict(1, "order-7", "100350"), conflict(2, "customer/0815/address", "900000"), conflict(3, "order-7", "100000"), { ...conflict(4, "order-8", "100000"), kind: "two_contents" }],
  };
  report.findings = [
    { level: "bad", place: `reach/${AZURE}`, text: `${AZURE} cannot be reached`, detail: report.sites[1].trouble.join("; "), runbook: "azure-down" },
    { level: "bad", place: `lag/${AZURE}/${AWS}`, text: `nothing of ${AZURE} has come to ${AWS} for 10 min 12 s`, runbook: "azure-down" },
    { level: "bad", place: `dead_letters/${AWS}`, text: `1205 dead letters at ${AWS}`, runbook: "dead-letters" },
    { level: "warn", place: `lag/${AZURE}/${TOKYO}`, text: `the heartbeat of ${AZURE} is late at ${TOKYO}` },
    { level: "warn", place: `worker/${TOKYO}`, text: `the worker of ${TOKYO} was last heard 2 min 20 s ago`, runbook: "halted" },
  ];
  return {
    report,
    letters: [
      { site: AWS, reason: "peer_unavailable", messages: 1203, meaning: "Applied here, but a peer could not be reached.", runbook: "dead-letters#peer_unavailable", command: `bridge replay --from ${AWS}/dlq --to owed --reason peer_unavailable` },
      { site: AWS, reason: "not_portable", messages: 2, meaning: "The payload holds what one of the stores cannot hold exactly: a number, too deep a nesting, or a member name that is empty or too long.", runbook: "dead-letters#not_portable", command: `bridge replay --from ${AWS}/dlq --to owed --reason not_portable --dry-run` },
    ],
    rates: { [AWS]: { applied: 42.1, superseded: 0.4, duplicate: 0.005, dead_letter: 3.2, retried: 0 }, [AZURE]: null, [TOKYO]: { applied: 41.7, superseded: 0, duplicate: 0, dead_letter: 0, retried: 0 } },
    point: history().points.at(-1),
    age_seconds: 0.1,
    stale_after_seconds: 10,
  };
}
