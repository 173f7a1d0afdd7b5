// @reflag/browser-sdk in a page when the stream that it listens to is ended: it opens another one within 30 s, which are
// over as soon as the program says so, and hears of changes on that.

import { elapse } from "./clock.mjs";
import { asked, leave } from "./page.mjs";
import { end, face, listener, pause, told, until } from "./scenario.mjs";

import { ReflagClient } from "@reflag/browser-sdk";

const { heard, logger } = listener("debug");
const client = new ReflagClient({
  publishableKey: told.publishableKey,
  apiBaseUrl: told.url,
  user: { id: "u-1" },
  feedback: { enableAutoFeedback: false },
  enableLiveFlagUpdates: true,
  logger,
});
const version = () => client.flagsClient.getFlagStateVersion();
const streams = () => heard.filter((line) => line.endsWith("event source connection opened")).length;
const seen = () => ({ version: version(), sized: face(client.getFlag("sized")), streams: streams() });
const fetched = () => asked.filter((request) => request === "GET /features/evaluated").length;

await client.initialize();
await until("a stream", () => streams() === 1);
const first = seen();
await pause(first);
await until("the announced version", () => version() !== first.version);
const second = seen();
await pause({ ...second, fetched: fetched() });
await until("another stream", () => {
  elapse(1_000);
  return streams() === 2;
});
await pause(seen());
await until("the announced version", () => version() !== second.version);
end({ ...seen(), fetched: fetched() });
await client.stop();
await leave();
