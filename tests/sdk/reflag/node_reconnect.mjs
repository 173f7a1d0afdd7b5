// @reflag/node-sdk when the stream that it listens to is ended: it opens another one after 10 s, which are over as soon as
// the program says so, and hears of changes on that.

import { elapse } from "./clock.mjs";
import { end, face, listener, pause, told, until } from "./scenario.mjs";

import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener("debug");
const client = new ReflagClient({
  secretKey: told.secretKey,
  apiBaseUrl: told.url,
  flagsPushUrl: `${told.url}/sse/server`,
  logger,
});
await client.initialize();

const version = () => client.getFlagsForBootstrap({ enableTracking: false }).flagStateVersion;
const connections = () => heard.filter((line) => line.endsWith("SSE connection established")).length;
const seen = () => ({
  version: version(),
  flag: face(client.getFlag({ ...told.context, enableTracking: false }, told.flag)),
  connections: connections(),
});

const first = seen();
await pause(first);
await until("another stream", () => {
  elapse(1_000);
  return connections() === 2;
});
await pause(seen());
await until("the announced version", () => version() !== first.version);
end(seen());
client.destroy();
