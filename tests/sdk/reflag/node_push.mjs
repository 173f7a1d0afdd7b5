// @reflag/node-sdk as it comes, which is with `flagsSyncMode: "push"`.

import { end, face, listener, pause, told, until } from "./scenario.mjs";

import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener();
const client = new ReflagClient({
  secretKey: told.secretKey,
  apiBaseUrl: told.url,
  flagsPushUrl: `${told.url}/sse/server`,
  logger,
});
await client.initialize();

const version = () => client.getFlagsForBootstrap({ enableTracking: false }).flagStateVersion;
const seen = () => ({
  version: version(),
  flag: face(client.getFlag({ ...told.context, enableTracking: false }, told.flag)),
});

const first = seen();
await pause(first);
await until("the announced version", () => version() !== first.version);
end({ ...seen(), heard });
client.destroy();
