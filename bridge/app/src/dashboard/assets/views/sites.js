// The sites side by side: a column for each, a row for each measure.

import { attribute, cell, fill, h, keyed, siteName, text } from "../dom.js";
import { ago, count, rate, seconds, things, UNKNOWN } from "../format.js";

const known = (value) => value !== null && value !== undefined;

/** A number; not knowing it is a level of its own, unless something worse was found. */
const number = (value, beneath = "", show = count) =>
  known(value) ? { figure: show(value), value, beneath } : { figure: UNKNOWN, otherwise: "unknown" };

const period = (value) => (Number.isInteger(value) && value < 60 ? `${value} s` : seconds(value));

function reach({ unreachable, trouble }) {
  if (unreachable) return { figure: "cannot be reached", otherwise: "bad" };
  if (trouble.length) return { figure: "in part", beneath: `${things(trouble.length, "question")} unanswered`, otherwise: "warn" };
  return { figure: "all of it", quiet: true };
}

/** Where the worker speaks for itself, nothing is judged by its heartbeat. */
function worker({ worker: one, state: told, trouble }) {
  if (!one) return { figure: UNKNOWN, beneath: trouble.length ? "" : "never heard of", otherwise: "unknown" };
  return { figure: `heard ${ago(one.age_seconds)}`, value: one.age_seconds, beneath: `every ${period(one.every_seconds)}`, otherwise: told ? "none" : "ok" };
}

/** What the worker says of itself. It says so past the queue, so it is younger than a heartbeat. */
const STATES = { working: "works", halted: "halted", store_away: "its store is away", stopped: "stopped" };

function state({ state: told }, _, found) {
  if (told?.state === "working" && found) return { figure: "silent", beneath: `for ${seconds(told.age_seconds)}` };
  if (!told) return { figure: "not told", otherwise: "none" };
  const { state: name, for_seconds: since, age_seconds: age, looks_in_seconds: look, bringing } = told;
  if (name === "working" && bringing) return { figure: "brings letters", beneath: `${count(bringing.letters)} in ${seconds(bringing.for_seconds)}` };
  const lasts = known(look) ? `for ${seconds(since)}, looks again in ${seconds(look)}` : `for ${seconds(since)}`;
  return { figure: STATES[name] ?? name, beneath: name === "working" ? `said ${ago(age)}` : lasts, quiet: name === "working" };
}

function circuits({ worker: one, state: told }) {
  const away = Object.keys(told?.peers_away ?? {});
  if (away.length) return { figure: away.length === 1 ? "away" : `${away.length} away`, beneath: away.join(", "), otherwise: "warn" };
  if (told) return { figure: "all work", quiet: true };
  if (!one) return { figure: UNKNOWN, otherwise: "unknown" };
  const all = Object.entries(one.circuits);
  const broken = all.filter(([, state]) => state !== "closed");
  const words = broken.map(([peer, state]) => `${peer}: ${state === "open" ? "broken" : "being tried"}`);
  if (broken.length) return { figure: words.join(", "), otherwise: "warn" };
  return { figure: all.length === 1 ? "works" : `all ${all.length} work`, quiet: true };
}

function oldest({ backlog_messages: backlog, oldest_age_seconds: age }) {
  if (backlog === 0) return { figure: "nothing waits", quiet: true };
  if (known(backlog) && !known(age)) return { figure: "not told", beneath: "by this broker", otherwise: "none", quiet: true };
  return number(age, "", seconds);
}

function inFlight({ backlog_messages: backlog, in_flight_messages: messages }) {
  if (known(backlog) && !known(messages)) return { figure: "in the backlog", beneath: "as this broker counts", quiet: true };
  return number(messages, "being worked on");
}

function backingOff({ backlog_messages: backlog, backing_off_messages: messages }) {
  if (known(backlog) && !known(messages)) return { figure: "not told", beneath: "by its worker", otherwise: "none", quiet: true };
  return number(messages, "for a retry");
}

/** A clock that is off by less than this is right for all who look. */
const CLOCK_QUIET = 1;

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
    ["state", "Worker", state],
    ["worker", "Heartbeat", worker],
    ["circuits", "Ways to peers", circuits],
    ["clock", "Clock is off by", (site) => ({ ...number(site.worker?.clock_skew_seconds, "", seconds), quiet: Math.abs(site.worker?.clock_skew_seconds ?? 9) < CLOCK_QUIET })],
  ]],
  ["What waits", [
    ["backlog", "Backlog", (site) => number(site.backlog_messages, "messages")],
    ["oldest_age", "Oldest waits for", oldest],
    ["in_flight", "In flight", inFlight],
    ["backing_off", "Backing off", backingOff],
    ["delayed", "Scheduled", (site) => number(site.delayed_messages, "for a later time")],
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
const PLAIN = /^(rate_|backlog|oldest_age|in_flight|backing_off|delayed|dead_letters|lost_)/;

/** The measure that a finding names. Findings about a worker go by what it says of itself, and by its heartbeat where it says nothing. */
const placeOf = (id, { state: told }) => (id === "state" ? "worker" : id === "worker" && told ? "heartbeat" : id);

/** What a site's worker said: old words once the site cannot be reached. */
const WORDS = new Set(["state", "worker", "circuits", "clock"]);

/** Seconds for which a row stays after its last figure that was not quiet, so that the table does not jump. */
const LINGER = 15;

const rowsOf = (title, measures) => [
  { id: "title", make: () => h("tr", { class: "group" }, h("th", { scope: "rowgroup" }, title)) },
  ...measures.map(([id, name, show]) => ({ id, show, make: () => h("tr", {}, h("th", { scope: "row", "data-key": "name" }, name)) })),
];

/** Whether a figure tells nothing: zero, or all as it should be. */
const isQuiet = ({ quiet, value }, level) => (level === "ok" || level === "none") && (quiet || value === 0);

export function sites(table, button) {
  const loud = new Map(); // When a row last had something to tell, by its id.
  let open = false;
  const fold = () => {
    table.classList.toggle("folded", !open);
    attribute(button, "aria-expanded", String(open));
    const hidden = table.querySelectorAll("tr.quiet:not(.group)").length;
    text(button, open ? "Show only what is not zero or as usual" : `Show ${hidden} more that are zero or as usual`);
    button.hidden = hidden === 0;
  };
  button.addEventListener("click", () => {
    open = !open;
    fold();
  });
  return ({ report, rates }, levelOf) => {
    const columns = [null, ...report.sites];
    const now = Date.parse(report.at) / 1000;
    const head = (site) => (site === null ? h("td") : h("th", { scope: "col" }, ...siteName(site.site)));
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
          const place = `${placeOf(id, site)}/${site.site}`;
          const { otherwise = "ok", ...shown } = show(site, rates[site.site], levelOf(place, null));
          const found = levelOf(place, otherwise);
          const level = PLAIN.test(id) && found === "ok" ? "none" : found;
          const old = site.unreachable && WORDS.has(id) && known(site.state ?? site.worker);
          if (!isQuiet(shown, level) || old) {
            loud.set(id, now);
          }
          const age = Math.min(site.state?.age_seconds ?? Infinity, site.worker?.age_seconds ?? Infinity);
          fill(node, { ...shown, level: old ? "none" : level, beneath: old ? `as of ${ago(age)}` : shown.beneath });
          node.classList.toggle("old", Boolean(old));
        });
        row.classList.toggle("quiet", !(now - (loud.get(id) ?? -Infinity) < LINGER));
      });
      const rows = [...body.rows].slice(1);
      body.rows[0].classList.toggle("quiet", rows.every((row) => row.classList.contains("quiet")));
    });
    fold();
  };
}
