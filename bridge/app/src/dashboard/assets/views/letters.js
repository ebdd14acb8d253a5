// Dead letters by reason: what each means, its runbook, and the command that brings them over.

import { attribute, h, keyed, text } from "../dom.js";
import { count } from "../format.js";

export function letters(table, none, say) {
  return ({ letters: rows, report }) => {
    table.hidden = rows.length === 0;
    none.hidden = rows.length > 0;
    const unknown = report.sites.filter((site) => site.dead_letters === null).map((site) => site.site);
    table.closest("section").hidden = rows.length === 0 && unknown.length === 0;
    text(none, `Unknown: the dead letters of ${unknown.join(", ")} cannot be seen.`);
    keyed(table.tBodies[0], rows, (row) => `${row.site} ${row.reason} ${row.wait_for} ${row.by_themselves}`, (row) => make(row, say), (node, row) => {
      const data = node.querySelector("data");
      text(data, count(row.messages));
      attribute(data, "value", String(row.messages));
    });
  };
}

function make(row, say) {
  // Lines break between words only: an option that is cut in two is hard to read.
  const words = row.command.split(" ").flatMap((word) => [h("span", {}, word), " "]);
  const command = h("code", { class: "command" }, ...words.slice(0, -1));
  const button = h("button", { type: "button", "aria-label": `Copy the command for ${row.reason} at ${row.site}` }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await copy(command);
    text(button, copied ? "Copied" : "Marked");
    say(copied ? "The command is copied." : "The command is selected: copy it with the keyboard.");
    setTimeout(() => text(button, "Copy"), 2000);
  });
  const away = row.wait_for.join(" and ");
  const answer = row.wait_for.length === 1 ? "answers" : "answer";
  const wait = (words) => h("p", { class: "wait" }, words);
  const offer = h("div", { class: "copy" }, command, button);
  const atOnce = () => (row.by_themselves ? [wait("The workers bring them over by themselves; to do so at once:"), offer] : [offer]);
  const later = row.by_themselves ? `Nothing: once ${away} ${answer}, the workers bring them over.` : `Wait until ${away} ${answer}: the command stands here then.`;
  const todo = away ? [wait(later)] : atOnce();
  return h(
    "tr",
    {},
    h("th", { scope: "row", "data-label": "Site" }, row.site),
    h("td", { "data-label": "Reason" }, h("code", {}, row.reason)),
    h("td", { "data-label": "Messages", class: "number" }, h("data")),
    h(
      "td",
      { "data-label": "What to do" },
      h("p", {}, row.meaning, " ", h("a", { href: `/runbooks/${row.runbook}` }, "Runbook dead-letters")),
      // A command that cannot succeed is not offered.
      ...todo,
    ),
  );
}

/** Copies an element's text; where a page may not (plain http elsewhere than on loopback), it selects it. */
async function copy(node) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(node);
    return false;
  }
}
