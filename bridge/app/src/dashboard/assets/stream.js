// The server's looks, as server-sent events, and how fresh the last one is.
//
// Fresh is judged by this machine's clock alone: when a look came in, and how old the server said it was by then. A server
// whose looks hang shows as stale, one that is gone as dead.

const RETRY_MS = 2000;
/** The first look of a page may be an old one: while nobody watches, the server looks seldom. The next one is on its way then. */
const GRACE_MS = 4000;

/** Follows the server until the page is left. `onFresh` is told once a second: live, stale or dead, and the age in seconds. */
export function follow({ onHistory, onLook, onFresh }) {
  let source;
  let connected = false;
  let since = 0; // When the connection came about.
  let looked = null; // { at, age, staleAfter }: when it came, how old it was, in seconds

  function connect() {
    source = new EventSource("/api/stream");
    source.addEventListener("open", () => {
      connected = true;
      since = Date.now();
      judge();
    });
    source.addEventListener("history", (event) => onHistory(JSON.parse(event.data)));
    source.addEventListener("look", (event) => {
      connected = true;
      const look = JSON.parse(event.data);
      looked = { at: Date.now(), age: look.age_seconds, staleAfter: look.stale_after_seconds };
      onLook(look);
      judge();
    });
    source.addEventListener("error", () => {
      connected = false;
      judge();
      // The browser tries again by itself, but not where it was answered with an error.
      if (source.readyState === EventSource.CLOSED) {
        explain();
        setTimeout(connect, RETRY_MS);
      }
    });
  }

  let why = "";
  async function explain() {
    try {
      const answer = await fetch("/api/report", { cache: "no-store" });
      why = answer.status === 401 ? "signed out: open the address with its token again" : `the server answers ${answer.status}`;
    } catch {
      why = "";
    }
  }

  function judge() {
    const age = looked ? (Date.now() - looked.at) / 1000 + looked.age : null;
    const old = age > (looked?.staleAfter ?? 0);
    const first = Date.now() - since < GRACE_MS;
    const state = !connected ? "dead" : looked === null || (old && first) ? "waiting" : old ? "stale" : "live";
    if (connected) {
      why = "";
    }
    onFresh({ state, age, why });
  }

  connect();
  setInterval(judge, 1000);
}
