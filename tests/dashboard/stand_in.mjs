// A server that plays `bridge dashboard` with looks of the test's own: states that cannot be had from a healthy system on
// demand. It serves the very files that the binary has inside.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ASSETS = fileURLToPath(new URL("../../bridge/app/src/dashboard/assets/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** Serves `history` and then whatever `show` is given. `hold` makes the looks stop, `stop` the server. */
export async function standIn(history, look) {
  const viewers = new Set();
  let last = look;
  const send = (answer, event, data) => answer.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  const server = createServer(async (request, answer) => {
    const path = new URL(request.url, "http://x").pathname;
    if (path === "/api/stream") {
      answer.writeHead(200, { "content-type": "text/event-stream" });
      send(answer, "history", history);
      send(answer, "look", last);
      viewers.add(answer);
      request.on("close", () => viewers.delete(answer));
      return;
    }
    const name = path === "/" ? "index.html" : path.replace(/^\/assets\//, "");
    try {
      const body = await readFile(join(ASSETS, name));
      answer.writeHead(200, { "content-type": TYPES[extname(name)], "content-security-policy": "default-src 'self'" });
      answer.end(body);
    } catch {
      answer.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    show(next) {
      last = next;
      viewers.forEach((answer) => send(answer, "look", next));
    },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
