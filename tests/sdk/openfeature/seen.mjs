// What all programs of either SDK for JavaScript share: options of a provider, and what an application sees of flags.

import { told } from "./scenario.mjs";

/** Options of a provider that asks Burgee, with a key in one of the two header fields that may have it. */
export function options({ key, header }) {
  return { baseUrl: told.url, headers: [[header, header === "Authorization" ? `Bearer ${key}` : key]] };
}

/** What an application sees of an evaluation. */
export function face({ value, variant, reason, errorCode, errorMessage, flagMetadata }) {
  return errorCode
    ? { value, errorCode, errorMessage }
    : { value, variant, reason, metadata: flagMetadata };
}

/** Asks a client for a flag by the type of the application's default. */
export function details(client, key, fallback, ...more) {
  const asked = {
    boolean: "getBooleanDetails",
    string: "getStringDetails",
    number: "getNumberDetails",
    object: "getObjectDetails",
  };
  return client[asked[typeof fallback]](key, fallback, ...more);
}
