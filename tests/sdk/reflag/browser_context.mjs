// @reflag/browser-sdk in a page: a change of the context fetches anew, and so does a change that is announced.

import { asked, leave } from "./page.mjs";
import { end, face, listener, pause, told, until } from "./scenario.mjs";

import { ReflagClient } from "@reflag/browser-sdk";

const { heard, logger } = listener();
const client = new ReflagClient({
  publishableKey: told.publishableKey,
  apiBaseUrl: told.url,
  user: { id: "u-1" },
  feedback: { enableAutoFeedback: false },
  enableLiveFlagUpdates: true,
  logger,
});
let updates = 0;
client.on("flagsUpdated", () => (updates += 1));
const version = () => client.flagsClient.getFlagStateVersion();
const seen = () => ({
  version: version(),
  updates,
  acme: face(client.getFlag("acme-only")),
  sized: face(client.getFlag("sized")),
});

await client.initialize();
const first = seen();
await client.updateCompany({ id: "acme" });
const withCompany = seen();
await client.setContext({ user: { id: "u-2" } });
const other = seen();
await pause({ first, withCompany, other });
await until("the announced version", () => version() !== other.version);
end({ ...seen(), asked: asked.filter((request) => request.startsWith("GET /features")), heard });
await client.stop();
await leave();
