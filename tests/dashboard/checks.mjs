// The dashboard in a real browser, against the built binary and both clouds on this machine.
//
//     node checks.mjs READY_FILE BRIDGE SCREENSHOTS
//
// READY_FILE is that of a `bridge local` with letters and a conflict in it (tests/end_to_end/dashboard.rs brings them about),
// BRIDGE the program, SCREENSHOTS a folder. Prints each check as it passes; ends with 1 at the first that does not.

import assert from "node:assert/strict";
import { spawn, execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { barriers, launch, open } from "./browser.mjs";
import { history, historyOfTwo, states, trouble } from "./looks.mjs";
import { conflicts, letters, matrix, sites, verdict } from "./page.mjs";
import { standIn } from "./stand_in.mjs";

const [readyFile, bridge, screenshots] = process.argv.slice(2);
const ready = JSON.parse(await readFile(readyFile, "utf8"));
const { config, admin, dashboard } = ready;
const run = promisify(execFile);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const AWS = "aws:us-east-1";
const AZURE = "azure:westeurope";

/** Tries until it holds, at most so long; the last failure is what is told. */
async function within(ms, what) {
  const end = Date.now() + ms;
  for (;;) {
    try {
      return await what();
    } catch (error) {
      if (Date.now() > end) throw error;
      await sleep(100);
    }
  }
}

async function lag() {
  const { stdout } = await run(bridge, ["lag", "--json", "--conflicts", "--config", config], { timeout: 20_000 });
  return JSON.parse(stdout);
}

const fault = (method, body) => fetch(`${admin}/faults`, { method, body });

/** What the tables must show of a report; `settled`: without ages, which go on while one looks. */
function expected(report, settled) {
  const of = {};
  for (const site of report.sites) {
    of[site.site] = {
      backlog: site.backlog_messages,
      in_flight: site.in_flight_messages,
      delayed: site.delayed_messages,
      dead_letters: site.dead_letters?.messages ?? null,
      lost_events: site.recovery_point.events,
      clock: site.worker?.clock_skew_seconds ?? null,
      ...(settled ? {} : { worker: site.worker?.age_seconds ?? null, lost_seconds: site.recovery_point.seconds }),
    };
  }
  return of;
}

function shown(table, like) {
  return Object.fromEntries(
    Object.entries(like).map(([site, measures]) => [site, Object.fromEntries(Object.keys(measures).map((name) => [name, table[site]?.[name].value ?? null]))]),
  );
}

const lagsOf = (report) => Object.fromEntries(report.lag.map((way) => [`${way.from} ${way.to}`, way.seconds]));
const lagsShown = (ways) => Object.fromEntries(Object.entries(ways).filter(([way]) => new Set(way.split(" ")).size === 2).map(([way, { value }]) => [way, value]));

const browser = await launch();
await mkdir(screenshots, { recursive: true });
const picture = (page, name) => page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });

async function check(name, body) {
  const start = Date.now();
  await body();
  console.log(`ok  ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
}

/** Words that go on in another line, but behind a hyphen, a slash or the like. */
const broken = (page) =>
  page.evaluate(() => {
    const found = [];
    const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (!node.parentElement.checkVisibility() || node.parentElement.closest(".unseen, code, .detail")) continue;
      for (const match of node.textContent.matchAll(/[\p{L}\p{N}.]+/gu)) {
        const range = document.createRange();
        range.setStart(node, match.index);
        range.setEnd(node, match.index + match[0].length);
        if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) found.push(match[0]);
      }
    }
    return found;
  });

/** What the page of a state does not tell as it should. */
async function tells(page, name, width) {
  const missing = [];
  const { level, words } = await verdict(page);
  const see = async (selector) => page.locator(selector).first().isVisible();
  const text = async (selector) => (await page.locator(selector).first().textContent()).trim();
  if (name === "calm") {
    if (words !== "All is well" || level !== "ok") missing.push(words);
    for (const box of [".letters", "#conflicts", "#owed"]) if (await see(box)) missing.push(`${box} is empty, and there`);
    const charts = await page.evaluate(() => document.querySelector("#charts .canvas").getBoundingClientRect().bottom);
    if (width === 1280 && charts > 900) missing.push(`the first charts end at ${charts}`);
    return missing;
  }
  if (level !== "bad") missing.push(`the level is ${level}`);
  if (name !== "recovering") {
    if (words !== "1 trouble") missing.push(`one cause, not ${words}`);
    if (!/^\d consequences$/.test(await text("#findings .below summary"))) missing.push("the consequences");
    if (!(await see("#findings .next a"))) missing.push("the runbook");
  }
  if (!(await text("#owed")).startsWith("Owed in all: ")) missing.push("what is owed in all");
  if (name === "recovering" && !/shrinking by 40 \/s: none left in 26\.6 s, at 01:02:49 UTC, at this rate; since 01:00:33 UTC/.test(await text("#owed"))) missing.push(await text("#owed"));
  if (name === "recovering" && !/1\u202f200 in 12\.0 s/.test(await text("#sites td[data-measure=state]"))) missing.push("how far the replay is");
  if (name === "halted" && !/looks again in 42\.1 s/.test(await text("#sites td[data-measure=state]"))) missing.push("when it looks next");
  if (name === "worker-dead" && !(await text("#sites td[data-measure=state]")).includes("silent")) missing.push("the silence in the table");
  if (name === "peer-away") {
    if (await see("#letters .copy")) missing.push("a replay is offered whose target does not answer");
    if (!(await text("#letters .wait")).startsWith("Nothing: once azure:westeurope answers, the workers bring")) missing.push("what to wait for");
    if ((await page.locator("#sites .old").count()) === 0) missing.push("old words look new");
  }
  return missing;
}

const live = (page) => page.waitForFunction(() => document.body.dataset.fresh === "live", null, { timeout: 15_000 });

try {
  const view = await open(browser, dashboard);
  const { page } = view;

  await check("the page comes alive and hears every site", async () => {
    await live(page);
    await within(30_000, async () => {
      for (const [way, { level, figure }] of Object.entries(await matrix(page))) {
        if (new Set(way.split(" ")).size === 2) assert.equal(level, "ok", `${way} ${figure}`);
      }
    });
  });

  await check("its numbers are those of /api/report of the same look", async () => {
    await within(20_000, async () => {
      const report = await (await fetch(`${dashboard}/api/report`)).json();
      await page.waitForFunction((at) => document.body.dataset.lookedAt === at, report.at, { timeout: 2000 });
      const want = expected(report, false);
      assert.deepEqual(shown(await sites(page), want), want);
      assert.deepEqual(lagsShown(await matrix(page)), lagsOf(report));
    });
  });

  await check("its numbers are those of `bridge lag --json` at that moment", async () => {
    await within(30_000, async () => {
      const report = await lag();
      const want = expected(report, true);
      await within(2500, async () => {
        assert.deepEqual(shown(await sites(page), want), want);
        assert.deepEqual(lagsShown(await matrix(page)), lagsOf(report));
      });
      assert.ok(report.lag.every((way) => way.state === "heard" && way.seconds < 5), JSON.stringify(report.lag));
    });
  });

  await check("dead letters are there by reason, with their runbook and command", async () => {
    const report = await lag();
    const want = report.sites.flatMap(({ site, dead_letters: { by_reason } }) => Object.entries(by_reason).map(([reason, count]) => `${site} ${reason} ${count}`));
    assert.ok(want.length >= 2, "the test brought letters about");
    await within(20_000, async () => {
      const rows = await letters(page);
      assert.deepEqual(rows.map((row) => `${row.Site} ${row.Reason} ${row.Messages}`).sort(), want.sort());
    });
    const command = `bridge replay --from ${AWS}/dlq --to owed --reason not_json --dry-run`;
    const row = (await letters(page)).find(({ Reason }) => Reason === "not_json");
    assert.equal(row["What to do"], command);
    // The command is one that the program takes, as it was copied.
    const [, ...words] = command.split(" ");
    const { stdout } = await run(bridge, [...words, "--config", config], { timeout: 30_000 }).catch((error) => error);
    assert.match(stdout, /not_json/);
  });

  await check("a conflict is there, with who won", async () => {
    await within(20_000, async () => {
      const [row] = await conflicts(page);
      assert.equal(row.Key, "order-42");
      const text = await page.locator("#conflicts tbody tr").first().textContent();
      assert.match(text, /aws:us-east-1\d{4}-\d\d-\d\dT01:05:00.*azure:westeurope\d{4}-\d\d-\d\dT01:04:00/);
      assert.equal(row["Later by"], "1 min 00 s");
    });
  });

  await check("throughput is there once two heartbeats were heard", async () => {
    await within(30_000, async () => {
      const of = await sites(page);
      for (const site of [AWS, AZURE]) {
        assert.notEqual(of[site].rate_applied.value, null, `${site}: ${of[site].rate_applied.figure}`);
      }
    });
  });

  await check("no rule of WCAG 2.2 AA is broken, in either theme and on a phone", async () => {
    for (const [theme, width] of [["light", 1280], ["dark", 1280], ["light", 390], ["dark", 390]]) {
      const other = await open(browser, dashboard, { theme, width });
      await live(other.page);
      const { found, rules } = await barriers(other.page);
      assert.deepEqual(found, [], `${theme}, ${width} pixels`);
      assert.ok(rules > 25, `${rules} rules were applied`);
      await picture(other.page, `well-${theme}-${width}`);
      assert.deepEqual(other.wrong, []);
      await other.close();
    }
  });

  await check("everything can be done with the keyboard", async () => {
    const other = await open(browser, dashboard, { permissions: ["clipboard-read", "clipboard-write"] });
    const keys = other.page.keyboard;
    const focused = () => other.page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent.trim());
    await live(other.page);
    await within(10_000, async () => assert.ok((await letters(other.page)).length > 0));
    await keys.press("Tab");
    assert.equal(await focused(), "Skip to the state");
    await keys.press("Enter");
    assert.equal(await other.page.evaluate(() => document.activeElement.id), "main");
    await keys.press("Shift+Tab");
    assert.equal(await focused(), "Theme: system");
    const background = () => other.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await keys.press("Space");
    await keys.press("Space");
    assert.equal(await focused(), "Theme: dark");
    assert.notEqual(await background(), light);
    await other.page.reload();
    assert.notEqual(await background(), light, "it is remembered");
    await live(other.page);
    // Every control is reached in turn, and each one shows that it is.
    const reached = [];
    for (let presses = 0; presses < 60; presses += 1) {
      await keys.press("Tab");
      const at = await other.page.evaluate(() => {
        const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
        return { tag: document.activeElement.tagName, seen: outlineStyle !== "none" && outlineWidth !== "0px" };
      });
      if (at.tag === "BODY") break;
      assert.ok(at.seen, `${await focused()} does not show its focus`);
      reached.push(await focused());
    }
    const copy = `Copy the command for not_json at ${AWS}`;
    assert.ok(reached.includes(copy) && reached.some((name) => name.startsWith("Lag, the last 5 s:")), reached.join(" | "));
    await other.page.getByRole("button", { name: copy }).focus();
    await keys.press("Enter");
    await within(3000, async () => assert.equal(await other.page.locator("#said").textContent(), "The command is copied."));
    assert.equal(await other.page.evaluate(() => navigator.clipboard.readText()), `bridge replay --from ${AWS}/dlq --to owed --reason not_json --dry-run`);
    assert.deepEqual(other.wrong, []);
    await other.close();
  });

  await check("a look does not take the focus away", async () => {
    await page.getByRole("button", { name: "Copy" }).first().focus();
    const before = await page.evaluate(() => document.body.dataset.lookedAt);
    await page.waitForFunction((at) => document.body.dataset.lookedAt !== at, before, { timeout: 10_000 });
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "BUTTON");
  });

  await check("a phone of 390 pixels shows all of it without sideways scrolling", async () => {
    const other = await open(browser, dashboard, { width: 390, height: 844, theme: "dark", hasTouch: true, isMobile: true });
    await live(other.page);
    assert.equal(await other.page.evaluate(() => document.documentElement.scrollWidth), 390);
    const cut = await other.page.evaluate(() =>
      [...document.querySelectorAll("h1, .what, .figure, code, button, .way")]
        .filter((node) => node.offsetParent && !node.closest(".scroll") && node.getBoundingClientRect().right > innerWidth + 0.5)
        .map((node) => node.textContent),
    );
    assert.deepEqual(cut, []);
    const sideways = await other.page.evaluate(() => [...document.querySelectorAll(".scroll")].filter((node) => node.scrollWidth > node.clientWidth).map((node) => node.ariaLabel));
    assert.deepEqual(sideways, [], "two sites fit");
    const small = await other.page.evaluate(() => [...document.querySelectorAll("button")].filter((node) => node.getBoundingClientRect().height < 32).map((node) => node.textContent));
    assert.deepEqual(small, [], "too small for a finger");
    assert.deepEqual(other.wrong, []);
    await other.close();
  });

  await check("a runbook is a page of its own, and the links to it lead to the place", async () => {
    const other = await open(browser, dashboard);
    await live(other.page);
    await other.page.locator("#letters a", { hasText: "Runbook" }).first().click({ timeout: 10_000 });
    await other.page.waitForURL(/\/runbooks\/dead-letters#/);
    const anchor = new URL(other.page.url()).hash.slice(1);
    assert.equal(await other.page.locator(`[id="${anchor}"]`).count(), 1, anchor);
    assert.deepEqual((await barriers(other.page)).found, []);
    await picture(other.page, "runbook");
    assert.deepEqual(other.wrong, []);
    await other.close();
  });

  for (const [how, what] of [["goes dark", "dark"], ["hangs", "latency,fixed=60s"]]) {
    await check(`a cloud that ${how} is seen within 5 s, and so is its return`, async () => {
      const start = Date.now();
      await fault("POST", `azure:*:${what}`);
      await within(8000, async () => assert.equal((await matrix(page))[`${AWS} ${AZURE}`].figure, "unknown"));
      const seconds = (Date.now() - start) / 1000;
      assert.ok(seconds < 5, `it took ${seconds} s`);
      console.log(`    seen after ${seconds.toFixed(1)} s`);
      // The look that saw it first may have had half of its answers before.
      await within(5000, async () => {
        const { level, words, findings } = await verdict(page);
        assert.equal(level, "bad", words);
        assert.ok(findings.includes(`bad: ${AZURE} cannot be reached`), findings.join("; "));
        const of = (await sites(page))[AZURE];
        const said = [of.backlog.figure, of.dead_letters.figure, of.reach.level];
        assert.deepEqual(said, ["unknown", "unknown", "bad"], "what is not known is no zero");
      });
      for (const theme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: theme });
        await picture(page, `${what.split(",")[0]}-cloud-${theme}-1280`);
      }
      await fault("DELETE");
      await within(20_000, async () => assert.equal((await matrix(page))[`${AWS} ${AZURE}`].level, "ok"));
    });
  }

  await check("no error in the console, no request to another host", () => assert.deepEqual(view.wrong, []));
  await view.close();

  await check("with a token: refused without, let in with it, and the token stays nowhere", async () => {
    const token = createHash("sha256").update(String(process.pid)).digest("hex");
    const server = spawn(bridge, ["dashboard", "--listen", "0", "--config", config], { env: { ...process.env, BRIDGE_DASHBOARD_TOKEN: token }, stdio: ["ignore", "pipe", "inherit"] });
    try {
      const address = await new Promise((found, failed) => {
        server.stdout.on("data", (text) => found(/http:\/\/[\d.]+:\d+/.exec(String(text))[0]));
        server.on("exit", (code) => failed(new Error(`bridge dashboard ended with ${code}`)));
      });
      assert.equal((await fetch(`${address}/`)).status, 401);
      assert.equal((await fetch(`${address}/api/report`)).status, 401);
      const other = await open(browser, `${address}/?token=${token}`);
      await other.page.waitForURL(`${address}/`);
      await live(other.page);
      assert.equal(await other.page.evaluate(() => document.cookie), "", "no script can read it");
      const [cookie] = await other.page.context().cookies();
      assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.value.includes(token)], [true, "Strict", false]);
      assert.deepEqual(other.wrong, []);
      await other.close();
    } finally {
      server.kill();
    }
  });

  await check("each state that an operator meets is told at a glance, in both themes and on a phone", async () => {
    for (const [name, looks] of Object.entries(states)) {
      for (const [theme, width] of [["light", 1280], ["dark", 1280], ["light", 390], ["dark", 390]]) {
        const server = await standIn(historyOfTwo(), looks[0]);
        const other = await open(browser, server.address, { theme, width });
        await live(other.page);
        for (const look of looks.slice(1)) {
          server.show(look);
          await other.page.waitForFunction((at) => document.body.dataset.lookedAt === at, look.report.at, { timeout: 5000 });
        }
        await picture(other.page, `state-${name}-${theme}-${width}`);
        assert.deepEqual((await barriers(other.page)).found, [], `${name}, ${theme}, ${width} pixels`);
        assert.deepEqual(await broken(other.page), [], `${name}, ${width} pixels: words that are broken`);
        assert.equal(await other.page.evaluate(() => document.documentElement.scrollWidth), width, name);
        assert.deepEqual(await tells(other.page, name, width), [], name);
        assert.deepEqual(other.wrong, []);
        await other.close();
        server.stop();
      }
    }
  });

  await check("columns keep their width from state to state", async () => {
    const server = await standIn(historyOfTwo(), states.calm[0]);
    const other = await open(browser, server.address);
    await live(other.page);
    const widths = () => other.page.evaluate(() => [...document.querySelectorAll("#lag thead th, #sites thead :is(th, td)")].map((cell) => Math.round(cell.getBoundingClientRect().width)));
    const before = await widths();
    for (const [name, looks] of Object.entries(states)) {
      server.show(looks.at(-1));
      await sleep(200);
      assert.deepEqual(await widths(), before, name);
    }
    await other.close();
    server.stop();
  });

  await check("what is stale, and a server that is gone, look like it", async () => {
    const look = { ...trouble(), stale_after_seconds: 2 };
    const server = await standIn(history(), look);
    for (const [theme, width] of [["light", 1280], ["dark", 1280], ["dark", 390]]) {
      const other = await open(browser, server.address, { theme, width });
      await live(other.page);
      await picture(other.page, `trouble-${theme}-${width}`);
      assert.deepEqual((await barriers(other.page)).found, []);
      assert.equal(await other.page.title(), "✖ 3 troubles, 2 warnings · bridge");
      await other.close();
    }
    const other = await open(browser, server.address);
    await live(other.page);
    const chart = other.page.getByRole("img", { name: /^Lag,/ });
    await chart.focus();
    await other.page.keyboard.press("Home");
    await other.page.keyboard.press("ArrowRight");
    assert.match(await chart.getAttribute("aria-label"), /^Lag, at 00:02:1\d UTC: aws:us-east-1 → azure:westeurope \d+ ms; /);
    await within(8000, async () => assert.equal((await verdict(other.page)).fresh, "stale"));
    assert.match((await verdict(other.page)).words, /^Stale/);
    assert.match(await other.page.title(), /Stale/);
    await picture(other.page, "stale");
    assert.deepEqual(other.wrong, []);
    server.show(look);
    await within(3000, async () => assert.deepEqual([(await verdict(other.page)).fresh, (await verdict(other.page)).words], ["live", "3 troubles, 2 warnings"]));
    server.stop();
    await within(8000, async () => assert.equal((await verdict(other.page)).fresh, "dead"));
    const { level, words } = await verdict(other.page);
    assert.deepEqual([level, words], ["unknown", "Dead: the dashboard's server does not answer"]);
    assert.equal(await other.page.locator("#freshness").getAttribute("data-level"), level, "the header says the same");
    assert.match(await other.page.title(), /^\? Dead/);
    assert.match(await other.page.locator("#freshness-text").textContent(), /^dead; what you see is from 01:02:03 UTC, \d+ s ago$/);
    await picture(other.page, "dead");
    await other.close();
  });

  await check("the chart library is the published one, byte for byte", async () => {
    const folder = new URL("../../bridge/app/src/dashboard/assets/vendor/", import.meta.url);
    const noted = [...(await readFile(new URL("README.md", folder), "utf8")).matchAll(/^ {4}([0-9a-f]{64}) {2}(\S+)$/gm)];
    assert.equal(noted.length, 2);
    for (const [, sum, name] of noted) {
      const bytes = await readFile(new URL(name, folder));
      assert.equal(createHash("sha256").update(bytes).digest("hex"), sum, name);
      const served = await (await fetch(`${dashboard}/assets/vendor/${name}`)).arrayBuffer();
      assert.ok(bytes.equals(Buffer.from(served)), `${name} as it is served`);
    }
  });
} finally {
  await browser.close();
}
