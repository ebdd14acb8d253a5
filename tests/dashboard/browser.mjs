// A real browser, and what no page may do in it: complain in the console, or ask another host.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

// The packages lie where ./just installs them, or beside these scripts after an `npm ci`.
const require = createRequire(process.env.BRIDGE_BROWSER ? `${process.env.BRIDGE_BROWSER}/package.json` : import.meta.url);
const { chromium } = require("playwright-core");
const axe = require("axe-core");

// As root it needs --no-sandbox; the rest keeps it from calling home, which no page of ours has to do with.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

/** Chromium as `BRIDGE_CHROMIUM` or the PATH has it. */
function program() {
  const named = process.env.BRIDGE_CHROMIUM;
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const found = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
  const program = named ? [named] : found;
  const there = program.find((path) => existsSync(path));
  if (!there) {
    throw new Error("no Chromium: install it (Debian: apt-get install chromium) or name one with BRIDGE_CHROMIUM");
  }
  return there;
}

export const launch = () => chromium.launch({ executablePath: program(), args: FLAGS });

/** A window of its own, and what went wrong in it. */
export async function open(browser, address, { width = 1280, height = 900, theme = "light", ...more } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, ...more });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (new URL(request.url()).host !== new URL(address).host) {
      wrong.push(`another host: ${request.url()}`);
    }
  });
  await page.goto(address);
  return { page, wrong, close: () => context.close() };
}

/** What axe-core finds against the rules of WCAG 2.2 A and AA: names, roles, order of headings, contrast. */
export async function barriers(page) {
  await page.evaluate(axe.source);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations, passes } = await page.evaluate((values) => window.axe.run({ runOnly: { type: "tag", values } }), tags);
  const found = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 120)} ${node.failureSummary.replace(/\s+/g, " ").slice(0, 200)}`));
  return { found, rules: passes.length };
}
