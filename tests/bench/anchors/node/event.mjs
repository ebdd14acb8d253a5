// An event as a hand-written bridge reads it, and what both stores keep of it: schema/README.md.
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";

const TOMBSTONE_SECONDS = 60 * 86_400;
const TIMESTAMP = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

/** Throws for what is no event. */
export function readEvent(body) {
  const { event_id, source_region, op_type, payload, timestamp, key: named } = JSON.parse(body);
  const key = String(named ?? payload.id);
  const deleted = op_type === "delete";
  const content = deleted ? [op_type, timestamp, key] : [op_type, timestamp, key, payload];
  const digest = createHash("sha256").update(canonicalize(content)).digest("hex").slice(0, 16);
  const [, day, clock, fraction = "", offset] = TIMESTAMP.exec(timestamp);
  const milliseconds = Date.parse(`${day}T${clock}${offset.toUpperCase()}`);
  const utc = new Date(milliseconds).toISOString().slice(0, 19);
  const eventId = event_id.toLowerCase();
  const version = `${utc}.${fraction.padEnd(9, "0")}Z ${source_region.padEnd(32)} ${eventId} ${digest}`;
  return { key, eventId, source: source_region, op: op_type, timestamp, payload, deleted, version, seconds: milliseconds / 1000 };
}

/** The members that both stores spell alike. */
export function record(event, site) {
  return {
    pk: event.key,
    version: event.version,
    event_id: event.eventId,
    source_region: event.source,
    timestamp: event.timestamp,
    op_type: event.op,
    deleted: event.deleted,
    applied_at: new Date().toISOString(),
    applied_by: site,
  };
}

/** When a tombstone expires, and in how many seconds that is. */
export function expiry(event) {
  const now = Math.floor(Date.now() / 1000);
  const at = Math.max(event.seconds, now) + TOMBSTONE_SECONDS;
  return { at, left: at - now };
}

/** The two sites of a ready file, each with its name. */
export function sites(ready) {
  const all = Object.entries(ready.sites).map(([name, site]) => ({ name, ...site }));
  return { aws: all.find((site) => site.cloud === "aws"), azure: all.find((site) => site.cloud === "azure") };
}
