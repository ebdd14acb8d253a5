// The lag matrix: a row for each site that writes, a column for each site that receives.

import { cell, fill, h, keyed, siteName } from "../dom.js";
import { ago, seconds } from "../format.js";

/** What a cell says, by the state of its way. Silence is shown as silence. */
function shown({ state, from, to, seconds: lag, age_seconds: age }) {
  switch (state) {
    case "heard":
      return { figure: seconds(lag), value: lag, beneath: `heard ${ago(age)}` };
    case "late":
      return { figure: `at least ${seconds(lag)}`, value: lag, beneath: "the next heartbeat is overdue" };
    case "silent":
      return { figure: "silent", beneath: `last heard ${ago(age)}` };
    case "never":
      return { figure: "never heard", beneath: `no heartbeat of ${from} is there` };
    default:
      return { figure: "unknown", beneath: `the store of ${to} cannot be read` };
  }
}

const LEVEL_OF_STATE = { heard: "ok", late: "warn", silent: "bad", never: "unknown", unknown: "unknown" };

export function matrix(table) {
  return ({ report }, levelOf) => {
    const sites = report.sites.map((site) => site.site);
    const ways = new Map(report.lag.map((way) => [`${way.from} ${way.to}`, way]));
    keyed(table.tHead, ["head"], String, () => h("tr"), (row) =>
      keyed(row, ["", ...sites], (site) => `to ${site}`, (site) =>
        site === "" ? h("th", { scope: "col" }, "from ↓ to →") : h("th", { scope: "col" }, ...siteName(site))),
    );
    keyed(table.tBodies[0], sites, String, (site) => h("tr", {}, h("th", { scope: "row", "data-key": "from" }, ...siteName(site))), (row, from) => {
      const cells = [null, ...sites];
      keyed(row, cells, (to) => (to === null ? "from" : to), () => cell("td", { class: "way" }), (node, to) => {
        if (to === null) {
          return;
        }
        const way = ways.get(`${from} ${to}`);
        if (way) {
          fill(node, { ...shown(way), level: levelOf(`lag/${from}/${to}`, LEVEL_OF_STATE[way.state] ?? "unknown") });
        } else {
          fill(node, { level: "none", figure: from === to ? "itself" : "unknown", beneath: "" });
        }
      });
    });
  };
}
