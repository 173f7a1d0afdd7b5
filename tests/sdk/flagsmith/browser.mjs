// A page for flagsmith, the SDK for browsers: storage and an event source are not needed, `fetch` is the page's.

import { fetchFromPage } from "./origin.mjs";
import { told } from "./scenario.mjs";

import { createFlagsmithInstance } from "flagsmith/isomorphic";

export { asked } from "./origin.mjs";

/** A client, and its first fetch. */
export function open(settings) {
  const flagsmith = createFlagsmithInstance();
  const ready = flagsmith.init({
    api: `${told.url}/api/v1/`,
    environmentID: told.key,
    fetch: fetchFromPage,
    ...settings,
  });
  return { flagsmith, ready };
}

/** What an application sees. */
export function face(flagsmith) {
  const { identity } = flagsmith.getContext();
  return {
    flags: flagsmith.getAllFlags(),
    identifier: identity?.identifier ?? null,
    traits: flagsmith.getAllTraits(),
    updatedAt: flagsmith.timestamp,
  };
}
