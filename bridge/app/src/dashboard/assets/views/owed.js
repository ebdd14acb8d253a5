// What is owed in all: messages that lie anywhere, whether they grow or shrink, and until when at that rate.

import { text } from "../dom.js";
import { clock, count, rate, seconds, things } from "../format.js";

const STATES = [["waiting", "waiting"], ["in_flight", "in flight"], ["backing_off", "backing off"], ["scheduled", "scheduled"], ["set_aside", "set aside"]];

export function owed(line) {
  return ({ report: { owed: all } }) => {
    const known = all.uncounted.length === 0;
    line.hidden = known && all.messages === 0;
    const parts = STATES.filter(([state]) => all[state] !== 0).map(([state, name]) => `${count(all[state])} ${name}`);
    const detail = parts.length ? ` (${parts.join(", ")})` : "";
    const unknown = known ? "" : `; what lies at ${all.uncounted.join(", ")} is not known`;
    text(line, `Owed in all: ${known ? "" : "at least "}${things(all.messages, "message")}${detail}${unknown}${all.course ? course(all.course) : ""}`);
  };
}

function course({ since, per_second: change, none_left_at: at, none_left_in_seconds: left }) {
  const from = `; since ${clock(since)}`;
  if (change === null) return from;
  if (change === 0) return `; steady${from}`;
  if (change > 0) return `; growing by ${rate(change)}${from}`;
  return `; shrinking by ${rate(-change)}: none left in ${seconds(left)}, at ${clock(at)}, at this rate${from}`;
}
