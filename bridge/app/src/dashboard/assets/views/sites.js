// The sites side by side: a column for each, a row for each measure.

import { cell, fill, h, keyed } from "../dom.js";
import { ago, count, rate, seconds, things, UNKNOWN } from "../format.js";

const known = (value) => value !== null && value !== undefined;

/** A number; not knowing it is a level of its own, unless something worse was found. */
const number = (value, beneath = "", show = count) =>
  known(value) ? { figure: show(value), value, beneath } : { figure: UNKNOWN, otherwise: "unknown" };

const period = (value) => (Number.isInteger(value) && value < 60 ? `${value} s` : seconds(value));

function reach({ unreachable, trouble }) {
  if (unreachable) return { figure: "cannot be reached", otherwise: "bad" };
  if (trouble.length) return { figure: "in part", beneath: `${things(trouble.length, "question")} unanswered`, otherwise: "warn" };
  return { figure: "all of it" };
}

function worker({ worker: one }) {
  if (!one) return { figure: UNKNOWN, beneath: "never heard of", otherwise: "unknown" };
  return { figure: `heard ${ago(one.age_seconds)}`, value: one.age_seconds, beneath: `every ${period(one.every_seconds)}` };
}

function circuits({ worker: one }) {
  if (!one) return { figure: UNKNOWN, otherwise: "unknown" };
  const all = Object.entries(one.circuits);
  const broken = all.filter(([, state]) => state !== "closed");
  const words = broken.map(([peer, state]) => `${peer}: ${state === "open" ? "broken" : "being tried"}`);
  if (broken.length) return { figure: words.join(", "), otherwise: "warn" };
  return { figure: all.length === 1 ? "works" : `all ${all.length} work` };
}

function oldest({ backlog_messages: backlog, oldest_age_seconds: age }) {
  if (backlog === 0) return { figure: "nothing waits" };
  if (known(backlog) && !known(age)) return { figure: "not told", beneath: "by this broker", otherwise: "none" };
  return number(age, "", seconds);
}

function inFlight({ backlog_messages: backlog, in_flight_messages: messages }) {
  if (known(backlog) && !known(messages)) return { figure: "in the backlog", beneath: "as this broker counts" };
  return number(messages, "being worked on");
}

const OUTCOMES = {
  applied: "Applied",
  superseded: "Superseded",
  duplicate: "Duplicate",
  retried: "Retried",
  dead_letter: "Dead-lettered",
};

/** Groups of rows. Of a row: the measure's id, which findings name too, its name, and what a site's cell shows. */
const GROUPS = [
  ["State", [
    ["reach", "Seen", reach],
    ["worker", "Worker", worker],
    ["circuits", "Ways to peers", circuits],
    ["clock", "Its clock is off by", (site) => number(site.worker?.clock_skew_seconds, "", seconds)],
  ]],
  ["What waits", [
    ["backlog", "Backlog", (site) => number(site.backlog_messages, "messages")],
    ["oldest_age", "Oldest waits for", oldest],
    ["in_flight", "In hand", inFlight],
    ["delayed", "For later", (site) => number(site.delayed_messages, "scheduled again")],
    ["dead_letters", "Dead letters", (site) => number(site.dead_letters?.messages)],
  ]],
  ["If this site vanished now", [
    ["lost_events", "Only it would have", (site) => number(site.recovery_point.events, "events at most")],
    ["lost_seconds", "Written in the last", (site) => number(site.recovery_point.seconds, "", seconds)],
  ]],
  ["Throughput, by outcome",
    Object.entries(OUTCOMES).map(([id, name]) => [`rate_${id}`, name, (_, rates) => number(rates?.[id], "", rate)]),
  ],
];

/** Rows that have no verdict of their own: a number, with no icon before it. */
const PLAIN = /^(rate_|in_flight|delayed|lost_)/;

const rowsOf = (title, measures) => [
  { id: "title", make: () => h("tr", { class: "group" }, h("th", { scope: "rowgroup" }, title)) },
  ...measures.map(([id, name, show]) => ({ id, show, make: () => h("tr", {}, h("th", { scope: "row", "data-key": "name" }, name)) })),
];

export function sites(table) {
  return ({ report, rates }, levelOf) => {
    const columns = [null, ...report.sites];
    const head = (site) => (site === null ? h("td") : h("th", { scope: "col" }, site.site));
    keyed(table.tHead, ["head"], String, () => h("tr"), (row) => keyed(row, columns, (site) => `of ${site?.site ?? ""}`, head));
    GROUPS.forEach(([title, measures], index) => {
      const body = table.tBodies[index] ?? table.appendChild(h("tbody"));
      keyed(body, rowsOf(title, measures), ({ id }) => id, ({ make }) => make(), (row, { id, show }) => {
        if (id === "title") {
          row.firstElementChild.colSpan = columns.length;
          return;
        }
        keyed(row, columns, (site) => site?.site ?? "name", () => cell("td", { "data-measure": id }), (node, site) => {
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
