// A page of http://shop.example/ for SDKs that expect a browser. To be imported before them.
//
// The document is happy-dom's and the event source is a package's, so both are among the modules of whoever imports this.

import { EventSource } from "eventsource";
import { Window } from "happy-dom";

import { fetchFromPage, ORIGIN } from "./origin.mjs";

export { asked } from "./origin.mjs";

class EventSourceOfPage extends EventSource {
  constructor(url) {
    super(url, {
      fetch: (resource, { signal, headers: { Accept: accept, "Last-Event-ID": last } }) =>
        fetchFromPage(resource, { signal, headers: { accept } }, last ? { "last-event-id": last } : {}),
    });
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
