// @reflag/node-sdk with remote evaluation: Burgee evaluates.

import { end, face, listener, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener();
// Not initialized: remote evaluation needs no definitions.
const client = new ReflagClient({ secretKey: told.secretKey, apiBaseUrl: told.url, logger });

const all = await client.getFlagsRemote("u-1", "acme", { other: { region: "eu west & north" } });
const bound = client.bindClient({ user: { id: "u-2", age: 30, beta: true }, enableTracking: false });
end({
  all: Object.fromEntries(Object.entries(all).map(([key, flag]) => [key, face(flag)])),
  one: face(await client.getFlagRemote("sized", "u-1", "acme")),
  withAttributes: face(await bound.getFlagRemote("adults")),
  unknown: face(await client.getFlagRemote("nowhere", "u-1")),
  heard,
});
client.destroy();
