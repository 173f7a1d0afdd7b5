// @reflag/node-sdk with `flagsSyncMode: "polling"`: definitions from Burgee, evaluation in the SDK.

import { elapse } from "./clock.mjs";
import { end, face, listener, pause, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener();
const client = new ReflagClient({
  secretKey: told.secretKey,
  apiBaseUrl: told.url,
  flagsSyncMode: "polling",
  logger,
});
await client.initialize();

function seen() {
  const faces = (flags) => Object.fromEntries(Object.entries(flags).map(([key, flag]) => [key, face(flag)]));
  return {
    version: client.getFlagsForBootstrap({ enableTracking: false }).flagStateVersion,
    definitions: client.getFlagDefinitions(),
    flags: told.contexts.map((context) => faces(client.getFlags({ ...context, enableTracking: false }))),
  };
}

await pause(seen());
// The minute between two polls, and no more than it.
elapse(59_000);
await client.flush();
const before = seen();
elapse(1_000);
await client.flush();
end({ before, after: seen(), heard });
client.destroy();
