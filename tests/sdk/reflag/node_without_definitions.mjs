// @reflag/node-sdk where Burgee refuses to give definitions: there are none, and the application goes on.

import { end, face, listener, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener();
const client = new ReflagClient({
  secretKey: told.secretKey,
  apiBaseUrl: told.url,
  flagsSyncMode: "polling",
  // Three by default, which takes seven seconds.
  flagsFetchRetries: 1,
  fallbackFlags: { everyone: true, sized: { isEnabled: true, config: { key: "fallback", payload: 1 } } },
  logger,
});
await client.initialize();
const context = { user: { id: "u-1" }, enableTracking: false };
const seen = {
  definitions: client.getFlagDefinitions(),
  fallback: face(client.getFlag(context, "sized")),
  other: face(client.getFlag(context, "ledger")),
};
await client.track("u-1", "event");
await client.flush();
end({ ...seen, heard });
client.destroy();
