// What is owed in all: messages that lie anywhere, whether they grow or shrink, and until when at that rate.

import { text } from "../dom.js";
import { clock, count, rate, seconds, things } from "../format.js";

/** Looks of this many seconds make a rate; fewer than the least make none. */
const WINDOW = 60;
const LEAST = 12;

/** Messages at all sites by state, as far as they are known. */
function sums({ sites }) {
  const sum = (of) => sites.reduce((all, site) => all + (of(site) ?? 0), 0);
  return {
    waiting: sum((site) => site.backlog_messages),
    "in flight": sum((site) => site.in_flight_messages),
    "backing off": sum((site) => site.backing_off_messages),
    scheduled: sum((site) => site.delayed_messages),
    "set aside": sum(({ dead_letters: letters }) => letters && owedLetters(letters)),
  };
}

/** Dead letters that some site may lack: those that say so, those of a broker that say nothing, and those that were not read. */
function owedLetters({ by_reason: reasons, owed_by_reason: says = {}, unread }) {
  const brokers = Object.entries(reasons).filter(([reason]) => reason.startsWith("broker:"));
  return [...Object.values(says), ...brokers.map(([, messages]) => messages), unread].reduce((all, one) => all + one, 0);
}

/** Sites of which a queue cannot be counted. */
const uncounted = ({ sites }) => sites.filter((site) => site.backlog_messages === null || site.dead_letters === null).map(({ site }) => site);

export function owed(line) {
  let seen = []; // [seconds, messages]
  return ({ report }) => {
    const states = sums(report);
    const unknown = uncounted(report);
    const known = unknown.length === 0;
    const all = Object.values(states).reduce((sum, value) => sum + value, 0);
    const now = Date.parse(report.at) / 1000;
    // A site that is not counted for a while would look like messages that are gone.
    seen = known ? [...seen.filter(([at]) => at > now - WINDOW && at < now), [now, all]] : [];
    line.hidden = known && all === 0;
    const parts = Object.entries(states).filter(([, value]) => value !== 0).map(([name, value]) => `${count(value)} ${name}`);
    const detail = parts.length ? ` (${parts.join(", ")})` : "";
    const rest = known ? trend(seen, all, now) : `; what lies at ${unknown.join(", ")} is not known`;
    text(line, `Owed in all: ${known ? "" : "at least "}${things(all, "message")}${detail}${rest}`);
  };
}

function trend(seen, all, now) {
  const [at, before] = seen[0] ?? [now, all];
  if (now - at < LEAST) return "";
  const change = (all - before) / (now - at);
  if (Math.abs(change) < 0.05) return "; steady";
  if (change > 0) return `; growing by ${rate(change)}`;
  const left = all / -change;
  return `; shrinking by ${rate(-change)}: none left in ${seconds(left)}, at ${clock(now + left)}, at this rate`;
}
