// The sites side by side: a column for each, a row for each measure.

import { cell, fill, h, keyed } from "../dom.js";
import { ago, count, rate, seconds, things, UNKNOWN } from "../format.js";

const OUTCOMES = [
  ["applied", "Applied"],
  ["superseded", "Superseded"],
  ["duplicate", "Duplicate"],
  ["retried", "Retried"],
  ["dead_letter", "Dead-lettered"],
];

const known = (value) => value !== null && value !== undefined;

/** A number; not knowing it is a level of its own, unless something worse was found. */
const counted = (value, beneath = "", show = count) => (known(value) ? { figure: show(value), value, beneath } : { figure: UNKNOWN, otherwise: "unknown" });

const period = (value) => (Number.isInteger(value) && value < 60 ? `${value} s` : seconds(value));

/** Groups of rows: `[id of the measure, its name, what a site's cell shows]`. */
const GROUPS = [
  [
    "State",
    [
      ["reach", "Seen", ({ unreachable, trouble }) => (unreachable ? { figure: "cannot be reached", otherwise: "bad" } : trouble.length ? { figure: "in part", beneath: things(trouble.length, "question", "questions") + " unanswered", otherwise: "warn" } : { figure: "all of it" })],
      ["worker", "Worker", ({ worker }) => (worker ? { figure: `heard ${ago(worker.age_seconds)}`, value: worker.age_seconds, beneath: `beats every ${period(worker.every_seconds)}` } : { figure: UNKNOWN, beneath: "never heard of", otherwise: "unknown" })],
      ["circuits", "Ways to peers", ({ worker }) => circuits(worker?.circuits)],
      ["clock", "Its clock is off by", ({ worker }) => counted(worker?.clock_skew_seconds, "", seconds))],
    ],
  ],
  [
    "What waits",
    [
      ["backlog", "Backlog", (site) => counted(site.backlog_messages, "messages")],
      ["oldest_age", "Oldest waits for", (site) => (site.backlog_messages === 0 ? { figure: "nothing waits" } : counted(site.oldest_age_seconds, "", seconds))],
      ["in_flight", "In hand", (site) => (!known(site.in_flight_messages) && known(site.backlog_messages) ? { figure: "in the backlog", beneath: "this broker counts them there" } : counted(site.in_flight_messages, "being worked on"))],
      ["delayed", "For later", (site) => counted(site.delayed_messages, "scheduled again")],
      ["dead_letters", "Dead letters", (site) => counted(site.dead_letters?.messages)],
    ],
  ],
  [
    "If this site vanished now",
    [
      ["lost_events", "Only it would have", ({ recovery_point: point }) => counted(point.events, "events at most"))],
      ["lost_seconds", "Written in the last", ({ recovery_point: point }) => counted(point.seconds, "", seconds))],
    ],
  ],
  ["Throughput, by outcome", OUTCOMES.map(([id, name]) => [`rate_${id}`, name, (site, rates) => counted(rates?.[id], "", rate)])],
];

function circuits(states) {
  const all = Object.entries(states ?? {});
  if (!states) {
    return { figure: UNKNOWN, otherwise: "unknown" };
  }
  const open = all.filter(([, state]) => state !== "closed");
  return open.length
    ? { figure: open.map(([peer, state]) => `${peer}: ${state === "open" ? "broken" : "being tried"}`).join(", "), otherwise: "warn" }
    : { figure: all.length === 1 ? "works" : `all ${all.length} work` };
}

/** Rows that have no verdict of their own: a number, with no icon before it. */
const PLAIN = /^(rate_|in_flight|delayed|lost_)/;

export function sites(table) {
  return ({ report, rates }, levelOf) => {
    keyed(table.tHead, ["head"], String, () => h("tr"), (row) =>
      keyed(row, [null, ...report.sites], (site) => `of ${site?.site ?? ""}`, (site) =>
        site === null ? h("td") : h("th", { scope: "col" }, site.site)));
    const tables = [...table.tBodies];
    GROUPS.forEach(([title, measures], index) => {
      const body = tables[index] ?? table.appendChild(h("tbody"));
      const rows = [{ id: "title" }, ...measures.map(([id, name, show]) => ({ id, name, show }))];
      keyed(body, rows, ({ id }) => id, ({ id, name }) => (id === "title" ? heading(title) : h("tr", {}, h("th", { scope: "row", "data-key": "name" }, name))), (row, { id, show }) => {
        if (id === "title") {
          row.firstElementChild.colSpan = report.sites.length + 1;
          return;
        }
        keyed(row, [null, ...report.sites], (site) => site?.site ?? "name", () => cell("td", { "data-measure": id }), (node, site) => {
          if (site === null) {
            return;
          }
          const { otherwise = "ok", ...shown } = show(site, rates[site.site]);
          const found = levelOf(`${id}/${site.site}`, otherwise);
          fill(node, { ...shown, level: PLAIN.test(id) && found === "ok" ? "none" : found });
        });
      });
    });
  };
}

const heading = (title) => h("tr", { class: "group" }, h("th", { scope: "rowgroup" }, title));
