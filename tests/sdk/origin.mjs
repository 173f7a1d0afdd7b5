// The web origin http://shop.example: requests are Node's, under the rules by which a browser would keep a page of it from
// Burgee. What is not simple is preflighted, an answer is withheld from the page unless it names the page's origin, and
// so are header fields that it does not expose.

export const ORIGIN = "http://shop.example";
const SIMPLE_METHODS = ["GET", "HEAD", "POST"];
const SIMPLE_HEADERS = ["accept", "accept-language", "content-language"];
const SIMPLE_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
const READABLE_FIELDS = [
  "cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma",
];

const request = globalThis.fetch;

/**
 * What the page asked for: method, path and, for a preflight, what it asked leave for; for a stream that goes on, after
 * which event.
 */
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

/** The response without header fields that a page may not read. */
function readable(response) {
  const exposed = list(response, "access-control-expose-headers");
  const fields = [...response.headers].filter(([name]) => READABLE_FIELDS.includes(name) || exposed.includes(name));
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers: fields });
}

/** `fetch`, as a page of that origin has it. What the browser says by itself needs no leave. */
export async function fetchFromPage(resource, options = {}, ofBrowser = {}) {
  if (resource instanceof Request) {
    const { url, method, headers } = resource;
    const body = resource.body && (await resource.text());
    return fetchFromPage(url, { method, headers, body, ...options }, ofBrowser);
  }
  const url = new URL(resource);
  const method = (options.method ?? "GET").toUpperCase();
  const headers = new Headers(options.headers);
  const names = [...headers].filter(([name, value]) => !isSimple(name, value)).map(([name]) => name);
  if (names.length > 0 || !SIMPLE_METHODS.includes(method)) await preflight(url, method, names);
  const last = ofBrowser["last-event-id"];
  asked.push(`${method} ${url.pathname}${last ? ` after ${last}` : ""}`);
  for (const [name, value] of Object.entries({ ...ofBrowser, origin: ORIGIN })) headers.set(name, value);
  const response = await request(url, { ...options, method, headers });
  requireOrigin(response);
  return readable(response);
}
