// Which write lost to which: the last writer wins, and here one can see who that was. Of one event with two contents one is lost
// as well; its producer has to be mended (runbooks/two-contents.md).

import { h, keyed, text } from "../dom.js";
import { clock, seconds } from "../format.js";

const microseconds = (timestamp) => {
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? "";
  return Math.floor(Date.parse(timestamp) / 1000) * 1e6 + Number(fraction.padEnd(6, "0").slice(0, 6));
};

/** By how much the winner is the later one, in seconds; the tie-break decides between equals. */
function laterBy({ kind, won, lost }) {
  if (kind === "two_contents") {
    return "same event, two contents";
  }
  const difference = (microseconds(won.timestamp) - microseconds(lost.timestamp)) / 1e6;
  if (Number.isNaN(difference)) {
    return "unknown";
  }
  return difference === 0 ? "a tie" : difference < 0.001 ? `${Math.round(difference * 1e6)} µs` : seconds(difference);
}

/** Every site that sees a conflict tells of it: here it is one, the latest first. */
function united(conflicts) {
  const rows = new Map();
  for (const one of conflicts) {
    const name = `${one.key} ${one.lost.version} ${one.won.version}`;
    const row = rows.get(name) ?? { ...one, name, sites: [] };
    row.sites = [...new Set([...row.sites, one.site])].sort();
    rows.set(name, row);
  }
  return [...rows.values()];
}

/** As many as a person reads; the command has all. */
const SHOWN = 5;

export function conflicts(table, more) {
  return ({ report }) => {
    const all = united(report.conflicts.filter(({ key }) => !key.startsWith("_bridge/")));
    const rows = all.slice(0, SHOWN);
    table.closest("section").hidden = rows.length === 0;
    more.hidden = all.length <= SHOWN;
    text(more, `${all.length - rows.length} more: bridge lag --conflicts`);
    keyed(table.tBodies[0], rows, (row) => `${row.name} ${row.sites}`, make);
  };
}

const write = ({ origin, timestamp }) => [h("span", { class: "origin" }, origin), h("time", { datetime: timestamp }, timestamp)];

const make = (row) =>
  h(
    "tr",
    {},
    h("td", { "data-label": "Seen" }, h("time", { datetime: row.seen_at }, clock(row.seen_at))),
    h("td", { "data-label": "At" }, row.sites.join(", ")),
    h("th", { scope: "row", "data-label": "Key" }, h("code", {}, row.key)),
    h("td", { "data-label": "Won", class: "write" }, ...write(row.won)),
    h("td", { "data-label": "Lost", class: "write" }, ...write(row.lost)),
    h("td", { "data-label": "Later by", class: "number" }, laterBy(row)),
  );
