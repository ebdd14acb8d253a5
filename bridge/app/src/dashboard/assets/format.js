// Numbers as people read them. What is unknown is said to be unknown, never 0.

export const UNKNOWN = "unknown";

const pad = (number) => String(number).padStart(2, "0");

/** A span of time, from milliseconds to days. */
export function seconds(value) {
  if (value === null || value === undefined) {
    return UNKNOWN;
  }
  const sign = value < 0 ? "−" : "";
  const s = Math.abs(value);
  if (s < 0.9995) return `${sign}${Math.round(s * 1000)} ms`;
  if (s < 9.995) return `${sign}${s.toFixed(2)} s`;
  if (s < 59.95) return `${sign}${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 3600) return `${sign}${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86400) return `${sign}${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
  return `${sign}${Math.floor(whole / 86400)} d ${pad(Math.floor((whole % 86400) / 3600))} h`;
}

/** How long ago, in whole seconds below a minute: a tenth of a second would only flicker. */
export function ago(value) {
  if (value === null || value === undefined) {
    return UNKNOWN;
  }
  return value < 59.5 ? `${Math.max(0, Math.round(value))} s ago` : `${seconds(value)} ago`;
}

/** A count, with thin spaces between the thousands. */
export function count(value) {
  if (value === null || value === undefined) {
    return UNKNOWN;
  }
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A count of things, with the thing. */
export const things = (value, one, many = `${one}s`) =>
  value === null || value === undefined ? UNKNOWN : `${count(value)} ${value === 1 ? one : many}`;

/** Events per second. */
export function rate(value) {
  if (value === null || value === undefined) {
    return UNKNOWN;
  }
  if (value === 0) return "0 /s";
  if (value < 0.01) return "< 0.01 /s";
  return value < 10 ? `${value.toFixed(2)} /s` : `${count(value)} /s`;
}

/** The time of day in UTC, of an RFC 3339 text or of seconds since 1970. */
export function clock(at) {
  const date = new Date(typeof at === "number" ? at * 1000 : at);
  return Number.isNaN(date.getTime()) ? UNKNOWN : `${date.toISOString().slice(11, 19)} UTC`;
}
