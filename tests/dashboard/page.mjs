// Reads the page as a person would, back into numbers.

/** The lag matrix: `{ "from to": { figure, value, level } }`. */
export const matrix = (page) =>
  page.evaluate(() => {
    const table = document.getElementById("lag");
    const columns = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
    const ways = {};
    for (const row of table.tBodies[0].rows) {
      [...row.cells].slice(1).forEach((cell, index) => {
        const data = cell.querySelector("data");
        const value = data.getAttribute("value");
        ways[`${row.cells[0].textContent} ${columns[index]}`] = {
          figure: data.textContent,
          value: value === null ? null : Number(value),
          level: cell.dataset.level,
          icon: cell.querySelector(".icon").textContent,
        };
      });
    }
    return ways;
  });

/** The table of sites: `{ site: { measure: { figure, value, level } } }`. */
export const sites = (page) =>
  page.evaluate(() => {
    const table = document.getElementById("sites");
    const columns = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
    const of = Object.fromEntries(columns.map((site) => [site, {}]));
    for (const cell of table.querySelectorAll("td[data-measure]")) {
      const data = cell.querySelector("data");
      const value = data.getAttribute("value");
      of[columns[cell.cellIndex - 1]][cell.dataset.measure] = {
        figure: data.textContent,
        value: value === null ? null : Number(value),
        level: cell.dataset.level,
      };
    }
    return of;
  });

/** The rows of a table: the text that `of` names in each cell, by the cell's label. */
const rows = (page, id, of) =>
  page.evaluate(
    ([table, within]) =>
      [...document.getElementById(table).tBodies[0].rows].map((row) =>
        Object.fromEntries([...row.cells].map((cell) => [cell.dataset.label, (cell.querySelector(within) ?? cell).textContent])),
      ),
    [id, of],
  );

export const letters = (page) => rows(page, "letters", "code");
export const conflicts = (page) => rows(page, "conflicts", "code, time");

/** Verdict and findings. */
export const verdict = (page) =>
  page.evaluate(() => ({
    level: document.getElementById("headline").dataset.level,
    words: document.getElementById("verdict-text").textContent,
    fresh: document.body.dataset.fresh,
    findings: [...document.querySelectorAll("#findings > li")].map((item) => `${item.dataset.level}: ${item.querySelector(".what").textContent}`),
  }));
