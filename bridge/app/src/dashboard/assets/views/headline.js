// What to know first: whether all is well, what is not, and whether what the page shows is still true.

import { h, keyed, level, text } from "../dom.js";
import { ago, clock, things } from "../format.js";

const WORST_FIRST = ["bad", "warn", "unknown"];

/** The verdict in one line, also for the tab's title. */
export function verdict(findings) {
  const of = (name) => findings.filter((finding) => finding.level === name).length;
  const [bad, warn, unknown] = WORST_FIRST.map(of);
  const parts = [];
  if (bad) parts.push(things(bad, "trouble"));
  if (warn) parts.push(things(warn, "warning"));
  if (unknown) parts.push(`${unknown} unknown`);
  return {
    level: bad ? "bad" : warn ? "warn" : unknown ? "unknown" : "ok",
    words: parts.length ? parts.join(", ") : "All is well",
  };
}

const TITLE_ICONS = { bad: "✖", warn: "▲", unknown: "?", ok: "✓" };

/** Characters of a detail that stands there at once; what a service answers can be long, and is for later. */
const SHORT = 160;

export function headline(section) {
  const line = section.querySelector("#verdict");
  const words = section.querySelector("#verdict-text");
  const list = section.querySelector("#findings");
  return ({ report }) => {
    const said = verdict(report.findings);
    section.dataset.says = said.words;
    section.dataset.at = report.at;
    section.dataset.found = said.level;
    level(line, said.level);
    level(section, said.level);
    text(words, said.words);
    document.title = `${TITLE_ICONS[said.level]} ${said.words} · bridge`;
    keyed(list, report.findings, (finding) => `${finding.place} ${finding.level}`, make, update);
  };
}

function make(finding) {
  const below = h("details", { class: "below" }, h("summary", {}), h("ul", {}));
  const answered = h("details", { class: "answered" }, h("summary", {}, "What was answered"), h("p", { class: "detail" }));
  const step = h("p", { class: "next" }, h("span", {}));
  if (finding.runbook) {
    step.append(" ", h("a", { href: `/runbooks/${finding.runbook}` }, `Runbook ${finding.runbook}`));
  }
  const body = h("div", {}, h("p", { class: "what" }), h("p", { class: "since" }), h("p", { class: "detail" }), answered, step, below);
  return h("li", {}, h("span", { class: "icon", "aria-hidden": "true" }), body);
}

/** A finding and all that follows from it, the deeper ones too. */
const flat = ({ consequences }) => consequences.flatMap((one) => [one, ...flat(one)]);

function update(item, finding) {
  level(item, finding.level);
  text(item.querySelector(".what"), finding.text);
  text(item.querySelector(".since"), finding.since ? `since ${clock(finding.since)}` : "");
  const detail = finding.detail ?? "";
  const long = detail.length > SHORT;
  const [short, hidden] = item.querySelectorAll(".detail");
  text(short, long ? "" : detail);
  text(hidden, long ? detail : "");
  item.querySelector(".answered").hidden = !long;
  text(item.querySelector(".next span"), finding.next ? `Next: ${finding.next}` : "");
  const follow = flat(finding);
  const below = item.querySelector(".below");
  below.hidden = follow.length === 0;
  text(below.querySelector("summary"), `${things(follow.length, "consequence")}`);
  keyed(below.querySelector("ul"), follow, (one) => one.place, () => h("li", {}), (node, one) => text(node, one.text));
}

/** The line that says how old everything is. A page that is no longer told anything must not look alive. */
export function freshness(line, section) {
  const words = line.querySelector("#freshness-text");
  const title = section.querySelector("#verdict-text");
  return ({ state, age, why }) => {
    const at = section.dataset.at;
    const since = at ? `; what you see is from ${clock(at)}, ${ago(age)}` : "";
    if (state === "live") {
      level(line, "ok");
      text(words, `live · looked at ${clock(at)}`);
      level(section, section.dataset.found);
      level(section.querySelector("#verdict"), section.dataset.found);
      text(title, section.dataset.says);
      return;
    }
    if (state === "waiting") {
      level(line, "none");
      text(words, "connected · waiting for the first look");
      return;
    }
    // The header and the verdict say the same.
    level(line, "unknown");
    const problem = state === "stale" ? "Stale: no look has ended lately" : `Dead: the dashboard's server does not answer${why ? ` (${why})` : ""}`;
    text(words, `${state === "stale" ? "stale" : "dead"}${since}`);
    level(section, "unknown");
    level(section.querySelector("#verdict"), "unknown");
    text(title, problem);
    document.title = `? ${state === "stale" ? "Stale" : "Dead"} · bridge`;
  };
}
