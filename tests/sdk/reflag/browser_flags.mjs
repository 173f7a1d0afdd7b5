// @reflag/browser-sdk in a page: flags for a user of a company.

import { asked, leave } from "./page.mjs";
import { end, face, listener, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/browser-sdk";

const { heard, logger } = listener();
const client = new ReflagClient({
  publishableKey: told.publishableKey,
  apiBaseUrl: told.url,
  user: { id: "u-1", age: 30, beta: true, name: "Ada & Grace + Ünsal" },
  company: { id: "acme", blocked: "no", seats: undefined },
  other: { region: "eu west" },
  logger,
});
await client.initialize();
const keys = Object.keys(client.getFlags());
const secret = face(client.getFlag("ledger"));
const flags = Object.fromEntries(keys.map((key) => [key, face(client.getFlag(key))]));
await client.stop();
end({
  flags,
  secret,
  version: client.flagsClient.getFlagStateVersion(),
  cached: Object.keys(JSON.parse(localStorage.getItem("__reflag_fetched_flags"))).length,
  asked,
  heard,
});
await leave();
