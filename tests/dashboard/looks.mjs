// Looks for the stand-in: three sites, of which one is dark, one has trouble, and nothing is left out; and two sites in each state that an
// operator meets.

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
        site: AWS, unreachable: false, trouble: [], backlog_messages: 12, in_flight_messages: 3, backing_off_messages: null, delayed_messages: 0, oldest_age_seconds: 1.2,
        dead_letters: { messages: 1205, by_reason: { peer_unavailable: 1203, not_portable: 2 }, owed_by_reason: { peer_unavailable: 1203 }, unread: 0 },
        worker: worker([AZURE, TOKYO]), recovery_point: { events: 1217, seconds: 612.4 },
      },
      {
        site: AZURE, unreachable: true, trouble: ["Service Bus bridge-events: unavailable: connection refused", "Cosmos DB records: get failed: unavailable: connection refused"],
        backlog_messages: null, in_flight_messages: null, backing_off_messages: null, delayed_messages: null, oldest_age_seconds: null, dead_letters: null,
        worker: null, recovery_point: { events: null, seconds: 609.1 },
      },
      {
        site: TOKYO, unreachable: false, trouble: [], backlog_messages: 0, in_flight_messages: 0, backing_off_messages: 0, delayed_messages: 0, oldest_age_seconds: null,
        dead_letters: { messages: 0, by_reason: {}, unread: 0 }, worker: worker([AWS, AZURE], { age_seconds: 140, clock_skew_seconds: -3.4 }), recovery_point: { events: 0, seconds: 0.0 },
      },
    ],
    lag,
    conflicts: [conflict(1, "order-7", "100350"), conflict(2, "customer/0815/address", "900000"), conflict(3, "order-7", "100000"), { ...conflict(4, "order-8", "100000"), kind: "two_contents" }],
  };
  report.owed = owedIn(report);
  const rest = { site: AZURE, since: null, detail: null, next: "bridge doctor", consequences: [] };
  report.findings = [
    { ...rest, level: "bad", place: `reach/${AZURE}`, text: `${AZURE} cannot be reached`, detail: report.sites[1].trouble.join("; "), runbook: "azure-down", next: `bridge doctor --site ${AZURE}` },
    { ...rest, level: "bad", place: `lag/${AZURE}/${AWS}`, text: `nothing of ${AZURE} has come to ${AWS} for 10 min 12 s`, runbook: "azure-down" },
    { ...rest, level: "bad", place: `dead_letters/${AWS}`, text: `1205 dead letters at ${AWS}`, runbook: "dead-letters" },
    { ...rest, level: "warn", place: `lag/${AZURE}/${TOKYO}`, text: `the heartbeat of ${AZURE} is late at ${TOKYO}` },
    { ...rest, level: "warn", place: `worker/${TOKYO}`, text: `the worker of ${TOKYO} was last heard 2 min 20 s ago`, runbook: "halted" },
  ];
  return {
    report,
    letters: [
      { site: AWS, reason: "peer_unavailable", messages: 1203, meaning: "Applied here, but a peer could not be reached.", runbook: "dead-letters#peer_unavailable", wait_for: [AZURE], command: `bridge replay --from ${AWS}/dlq --to owed --reason peer_unavailable` },
      { site: AWS, reason: "not_portable", messages: 2, meaning: "The payload holds what one of the stores cannot hold exactly: a number, too deep a nesting, or a member name that is empty or too long.", runbook: "dead-letters#not_portable", wait_for: [], command: `bridge replay --from ${AWS}/dlq --to owed --reason not_portable --dry-run` },
    ],
    rates: { [AWS]: { applied: 42.1, superseded: 0.4, duplicate: 0.005, dead_letter: 3.2, retried: 0 }, [AZURE]: null, [TOKYO]: { applied: 41.7, superseded: 0, duplicate: 0, dead_letter: 0, retried: 0 } },
    point: history().points.at(-1),
    age_seconds: 0.1,
    stale_after_seconds: 10,
  };
}

/** What is owed in all, as the server adds it up; `course` is how it goes. */
function owedIn({ sites }, course = null) {
  const sum = (of) => sites.reduce((all, site) => all + (of(site) ?? 0), 0);
  const owed = {
    waiting: sum((site) => site.backlog_messages), in_flight: sum((site) => site.in_flight_messages), backing_off: sum((site) => site.backing_off_messages),
    scheduled: sum((site) => site.delayed_messages), set_aside: sum(({ dead_letters: letters }) => (letters ? letters.unread + (letters.by_reason.peer_unavailable ?? 0) : 0)),
  };
  const messages = Object.values(owed).reduce((all, one) => all + one, 0);
  const uncounted = sites.filter((site) => site.backlog_messages === null || site.dead_letters === null).map(({ site }) => site);
  return { messages, ...owed, uncounted, course };
}

const said = (name, rest = {}) => ({
  state: name, since: "2026-11-21T01:00:33.000Z", for_seconds: 90.1, detail: null, looks_in_seconds: null, peers_away: {}, auto_replay: true, bringing: null,
  told_at: AT, age_seconds: 1.1, again_seconds: 2, instance: "one", ...rest,
});

/** Two sites with which all is well; `change` makes another state of it. */
function two(change = () => {}) {
  const pair = [AWS, AZURE];
  const site = (name, peer) => ({
    site: name, unreachable: false, trouble: [], backlog_messages: 0, in_flight_messages: name === AWS ? 0 : null, backing_off_messages: 0, delayed_messages: 0,
    oldest_age_seconds: null, dead_letters: { messages: 0, by_reason: {}, unread: 0 }, worker: { ...worker([peer]), circuits: { [peer]: "closed" } },
    state: said("working"), recovery_point: { events: 0, seconds: 0.0 },
  });
  const report = {
    at: AT,
    sites: [site(AWS, AZURE), site(AZURE, AWS)],
    lag: pair.map((from) => ({ from, to: from === AWS ? AZURE : AWS, state: "heard", seconds: 0.041, heard_at: AT, age_seconds: 3.1 })),
    conflicts: [],
    findings: [],
  };
  const rate = { applied: 42.1, superseded: 0, duplicate: 0, dead_letter: 0, retried: 0 };
  const point = { at: Math.floor(Date.parse(AT) / 5000) * 5, lag: [0.041, 0.041], backlog: [0, 0], oldest_age: [0, 0], rates: [42, 0, 0, 0, 0] };
  const look = { report, letters: [], rates: { [AWS]: rate, [AZURE]: rate }, point, age_seconds: 0.1, stale_after_seconds: 30 };
  change(look, ...report.sites);
  report.owed ??= owedIn(report);
  return look;
}

export function historyOfTwo() {
  const points = history().points.map(({ at }) => ({ at, lag: [0.04, 0.05], backlog: [0, 0], oldest_age: [0, 0], rates: [42, 0, 0, 0, 0] }));
  return { version: "0.1.0", sites: [AWS, AZURE], ways: [[AWS, AZURE], [AZURE, AWS]], outcomes: OUTCOMES, points };
}

const found = (level, place, site, words, rest = {}) => ({ level, place, site, text: words, detail: null, next: `bridge doctor --site ${site}`, runbook: "lag", since: null, consequences: [], ...rest });

/** A backlog at AWS, and what follows from it. */
function stalled(look, here) {
  Object.assign(here, { backlog_messages: 2504, oldest_age_seconds: null, recovery_point: { events: 2504, seconds: 88.2 } });
  Object.assign(here.worker, { age_seconds: 92.4 });
  for (const way of look.report.lag) {
    Object.assign(way, { state: "late", seconds: 62.4, age_seconds: 92.4 });
  }
  return look.report.lag.map(({ from, to }) => found("warn", `lag/${from}/${to}`, to, `a heartbeat of ${from} is overdue at ${to}: it is at least 1 min 02 s behind`));
}

/** The states that an operator meets, by name: one look each, of `recovering` two with some seconds between them. */
export const states = {
  calm: [two()],
  "store-away": [
    two((look, here) => {
      here.state = said("store_away", { detail: "dynamodb bridge-records: put failed: unavailable: connection refused" });
      here.backing_off_messages = 3;
      const consequences = [...stalled(look, here), found("warn", `backing_off/${AWS}`, AWS, `3 messages wait at ${AWS} for a retry`)];
      look.report.findings = [found("bad", `worker/${AWS}`, AWS, `the store of ${AWS} has not answered its worker for 1 min 30 s`, { detail: here.state.detail, since: here.state.since, runbook: "aws-down", consequences })];
    }),
  ],
  "peer-away": [
    two((look, here, there) => {
      here.state = said("working", { peers_away: { [AZURE]: "2026-11-21T01:00:33.000Z" } });
      here.dead_letters = { messages: 6171, by_reason: { peer_unavailable: 6171 }, owed_by_reason: { peer_unavailable: 6171 }, unread: 0 };
      here.recovery_point = { events: 6171, seconds: null };
      Object.assign(there, { unreachable: true, trouble: ["service-bus bridge-events: timed out"], backlog_messages: null, backing_off_messages: null, delayed_messages: null, dead_letters: null, recovery_point: { events: null, seconds: 92.4 } });
      Object.assign(there.state, { age_seconds: 92.4 });
      Object.assign(there.worker, { age_seconds: 92.4 });
      Object.assign(look.report.lag[0], { state: "unknown", seconds: null, heard_at: null, age_seconds: null });
      Object.assign(look.report.lag[1], { state: "late", seconds: 62.4, age_seconds: 92.4 });
      const letters = found("bad", `dead_letters/${AWS}`, AWS, `6171 dead letters at ${AWS}`);
      const consequences = [letters, found("warn", `circuits/${AWS}`, AWS, `${AWS} cannot reach ${AZURE}: what it writes is set aside for ${AZURE}`)];
      look.report.findings = [found("bad", `reach/${AZURE}`, AZURE, `${AZURE} cannot be reached`, { detail: there.trouble[0], runbook: "azure-down", consequences })];
      look.letters = [{ site: AWS, reason: "peer_unavailable", messages: 6171, meaning: "The event is applied at the site, but a peer could not be reached.", runbook: "dead-letters#peer_unavailable", command: `bridge replay --from ${AWS}/dlq --to owed --reason peer_unavailable`, wait_for: [AZURE], by_themselves: true }];
    }),
  ],
  halted: [
    two((look, here) => {
      here.state = said("halted", { looks_in_seconds: 42.1, detail: "dynamodb bridge-records: put failed: not authorized: no identity-based policy allows the dynamodb:PutItem action" });
      look.report.findings = [found("bad", `worker/${AWS}`, AWS, `the worker of ${AWS} has been halted for 1 min 30 s; it looks in 42.1 s whether it may go on`, { detail: here.state.detail, since: here.state.since, runbook: "halted", consequences: stalled(look, here) })];
    }),
  ],
  "worker-dead": [
    two((look, here) => {
      here.state = said("working", { age_seconds: 92.4 });
      here.backing_off_messages = null;
      look.report.findings = [found("bad", `worker/${AWS}`, AWS, `the worker of ${AWS} has said nothing for 1 min 32 s: it is dead, or cut off`, { since: here.state.told_at, runbook: "halted", next: `see whether the worker of ${AWS} runs, and its log; then: bridge doctor --site ${AWS}`, consequences: stalled(look, here) })];
    }),
  ],
  recovering: [1500, 700].map((backlog, index) =>
    two((look, here) => {
      look.report.at = new Date(Date.parse(AT) + index * 20_000).toISOString();
      look.point.at += index * 20;
      Object.assign(here, { backlog_messages: backlog, in_flight_messages: 64, recovery_point: { events: backlog + 64, seconds: 34.2 } });
      here.dead_letters = { messages: 300, by_reason: { peer_unavailable: 300 }, owed_by_reason: { peer_unavailable: 300 }, unread: 0 };
      here.state = said("working", { bringing: { since: "2026-11-21T01:02:00.000Z", for_seconds: 12.0, letters: 1200 } });
      const course = { since: "2026-11-21T01:00:33.000Z", per_second: index ? -40 : null, none_left_at: index ? "2026-11-21T01:02:49.723Z" : null, none_left_in_seconds: index ? 26.6 : null };
      look.report.owed = owedIn(look.report, course);
      Object.assign(look.report.lag[0], { state: "late", seconds: 34.2, age_seconds: 64.2 });
      look.report.findings = [found("bad", `lag/${AWS}/${AZURE}`, AZURE, `${AZURE} is 34.2 s behind ${AWS}: ${backlog} messages wait before the next heartbeat`, { next: "bridge doctor" })];
    }),
  ),
};
