// The page: each look of the server goes to every view. Start reading here; `stream.js` is where looks come from, `views/`
// where they go. What is good and what is bad is decided by the server, and comes with the report as findings.

import { attribute, text } from "./dom.js";
import { follow } from "./stream.js";
import { charts } from "./views/charts.js";
import { conflicts } from "./views/conflicts.js";
import { freshness, headline } from "./views/headline.js";
import { letters } from "./views/letters.js";
import { matrix } from "./views/matrix.js";
import { owed } from "./views/owed.js";
import { sites } from "./views/sites.js";

const byId = (id) => document.getElementById(id);

/** Says something to those who listen instead of looking. */
export function say(words) {
  text(byId("said"), words);
}

const views = [
  headline(byId("headline")),
  owed(byId("owed")),
  matrix(byId("lag")),
  sites(byId("sites"), byId("sites-fold")),
  letters(byId("letters"), byId("letters-none"), say),
  conflicts(byId("conflicts"), byId("conflicts-more")),
];
const plots = charts(byId("charts"));
const showFreshness = freshness(byId("freshness"), byId("headline"));

follow({
  onHistory(history) {
    text(byId("version"), `bridge ${history.version}`);
    plots.start(history);
  },
  onLook(look) {
    const levels = new Map();
    const note = ({ place, level, consequences }) => {
      // The worst comes first.
      if (!levels.has(place)) {
        levels.set(place, level);
      }
      consequences.forEach(note);
    };
    look.report.findings.forEach(note);
    const levelOf = (place, otherwise = "ok") => levels.get(place) ?? otherwise;
    for (const update of views) {
      update(look, levelOf);
    }
    plots.add(look.point);
    document.body.classList.toggle("few", look.report.sites.length <= 2);
    attribute(document.body, "data-looked-at", look.report.at);
  },
  onFresh(fresh) {
    attribute(document.body, "data-fresh", fresh.state);
    showFreshness(fresh);
  },
});
