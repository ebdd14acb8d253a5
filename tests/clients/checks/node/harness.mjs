// What all checks share. A check is an async function of the world of its service: its name is the promise; the text
// before it says what the real service does and where that is written down, with the tags of ../harness.py.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual, inspect, parseArgs } from "node:util";

/** A run that takes longer hangs. */
const RUN_MS_MAX = 300_000;

/**
 * An SDK by its name. The packages lie below `BRIDGE_NODE` (./just installs them there), or beside these scripts after
 * an `npm ci`; modules find the second place only, so `require` fetches them from both.
 */
const require = createRequire(process.env.BRIDGE_NODE ? `${process.env.BRIDGE_NODE}/package.json` : import.meta.url);
export const sdk = (name) => require(name);

const checks = [];

/** Adds a check: `says` holds what the service does, and its source in the form "[Guide] page". */
export function check(says, run) {
  if (!says.includes("[")) throw new Error(`${run.name} does not say where its promise is written down`);
  checks.push({ says, run });
}

/** Fails with both values. */
export function equal(got, expected, what = "") {
  if (!isDeepStrictEqual(got, expected)) {
    const show = (value) => inspect(value, { depth: 6, breakLength: Infinity, maxStringLength: 200 });
    throw new Error(`${what}${what && ": "}expected ${show(expected)}, got ${show(got)}`);
  }
}

export function truth(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}

/** The call must fail with an error of which these members are so; the error. */
export async function refused(expected, call) {
  try {
    await call();
  } catch (error) {
    const got = Object.fromEntries(Object.keys(expected).map((name) => [name, error[name]]));
    equal(got, expected, error.message);
    return error;
  }
  throw new Error(`expected ${inspect(expected)}, but the call succeeded`);
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The faults of one service, over the admin endpoint of `bridge local`. */
export class Admin {
  constructor(address, service) {
    Object.assign(this, { address, service });
  }

  async fault(fault) {
    const body = JSON.stringify({ service: this.service, ...fault });
    const answer = await fetch(`${this.address}/faults`, { method: "POST", body });
    if (answer.status !== 201) throw new Error(await answer.text());
  }

  async restore() {
    await fetch(`${this.address}/faults`, { method: "DELETE" });
  }
}

/** Runs the checks one by one, since most of what follows is one client's own queue of work. Ends the process. */
export async function main(worldOf) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { only: { type: "string", multiple: true, default: [] }, list: { type: "boolean" } },
  });
  const chosen = checks.filter(({ run }) => !values.only.length || values.only.some((part) => run.name.includes(part)));
  if (values.list) {
    for (const { says, run } of chosen) console.log(`${run.name}\n    ${says}`);
    process.exit(0);
  }
  if (positionals.length !== 1) {
    console.error("usage: SERVICE.mjs READY_FILE [--only NAME] [--list]");
    process.exit(64);
  }
  setTimeout(() => {
    console.log(`FAIL  the run itself: not done after ${RUN_MS_MAX} ms`);
    process.exit(1);
  }, RUN_MS_MAX).unref();
  const ready = JSON.parse(readFileSync(positionals[0], "utf8"));
  const site = (cloud) => Object.values(ready.sites).find((one) => one.cloud === cloud);
  const world = await worldOf({ aws: site("aws"), azure: site("azure"), admin: ready.admin });
  let failed = 0;
  for (const { says, run } of chosen) {
    const start = Date.now();
    try {
      await run(world);
      console.log(`ok    ${run.name}  ${((Date.now() - start) / 1000).toFixed(2)} s`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${run.name}: ${String(error.message ?? error).slice(0, 600)}\n      ${says}`);
    } finally {
      await world.cleanUp().catch(() => {});
    }
  }
  console.log(`${chosen.length - failed} passed, ${failed} failed`);
  process.exit(failed || !chosen.length ? 1 : 0);
}
