// A page of http://shop.example/ for SDKs that expect a browser. To be imported before them.
//
// The document is happy-dom's and the event source is a package's. Requests are Node's, under the two rules by which a
// browser would keep the page from Burgee: what is not simple is preflighted, and an answer is withheld from the page
// unless it names the page's origin.

import { EventSource } from "eventsource";
import { Window } from "happy-dom";

const ORIGIN = "http://shop.example";
const SIMPLE_METHODS = ["GET", "HEAD", "POST"];
const SIMPLE_HEADERS = ["accept", "accept-language", "content-language"];
const SIMPLE_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

const request = globalThis.fetch;

/** What the page asked for: method, path and, for a preflight, what it asked leave for. */
export const asked = [];

function isSimple(name, value) {
  return SIMPLE_HEADERS.includes(name) || (name === "content-type" && SIMPLE_TYPES.includes(value));
}

function list(response, name) {
  const value = response.headers.get(name) ?? "";
  return value.split(",").map((item) => item.trim().toLowerCase());
}

function requireOrigin(response) {
  const allowed = response.headers.get("access-control-allow-origin");
  if (allowed !== "*" && allowed !== ORIGIN) throw new TypeError("Failed to fetch: no leave for this origin");
}

async function preflight(url, method, names) {
  asked.push(`OPTIONS ${url.pathname} for ${names}`);
  const response = await request(url, {
    method: "OPTIONS",
    headers: {
      origin: ORIGIN,
      "access-control-request-method": method,
      "access-control-request-headers": names.join(","),
    },
  });
  requireOrigin(response);
  const headers = list(response, "access-control-allow-headers");
  const methods = list(response, "access-control-allow-methods");
  // By the standard a star does not stand for `authorization`.
  const isAllowed = (name) => headers.includes(name) || (headers.includes("*") && name !== "authorization");
  const refused = names.filter((name) => !isAllowed(name));
  if (!response.ok || refused.length > 0) throw new TypeError(`Failed to fetch: no leave for ${refused}`);
  if (!SIMPLE_METHODS.includes(method) && !methods.includes(method.toLowerCase()) && !methods.includes("*"))
    throw new TypeError(`Failed to fetch: no leave for ${method}`);
}

async function fetchFromPage(resource, options = {}) {
  const url = new URL(resource);
  const method = (options.method ?? "GET").toUpperCase();
  const headers = new Headers(options.headers);
  const names = [...headers].filter(([name, value]) => !isSimple(name, value)).map(([name]) => name);
  if (names.length > 0 || !SIMPLE_METHODS.includes(method)) await preflight(url, method, names);
  asked.push(`${method} ${url.pathname}`);
  headers.set("origin", ORIGIN);
  const response = await request(url, { ...options, method, headers });
  requireOrigin(response);
  return response;
}

class EventSourceOfPage extends EventSource {
  constructor(url) {
    const headers = { accept: "text/event-stream" };
    super(url, { fetch: (resource, { signal }) => fetchFromPage(resource, { signal, headers }) });
  }
}

const window = new Window({ url: `${ORIGIN}/`, width: 1280, height: 800 });
const globals = {
  window,
  document: window.document,
  navigator: window.navigator,
  localStorage: window.localStorage,
  fetch: fetchFromPage,
  EventSource: EventSourceOfPage,
};
// Not by assignment: newer releases of Node have some of these, read-only.
for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value });

/** Ends what the page keeps running. */
export const leave = () => window.happyDOM.close();
