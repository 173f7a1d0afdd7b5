// @reflag/browser-sdk in a page tells Burgee of events at once, and of users, companies and checks in bulk.

import { asked, leave } from "./page.mjs";
import { end, listener, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/browser-sdk";

// A batch that is not accepted is dropped with a debug line.
const { heard, logger } = listener("debug");
const client = new ReflagClient({
  publishableKey: told.publishableKey,
  apiBaseUrl: told.url,
  user: { id: "u-1", name: "Ada" },
  company: { id: "acme" },
  feedback: { enableAutoFeedback: false },
  logger,
});
await client.initialize();
const response = await client.track("crew-chat", { position: "popover", n: 1, deep: { a: [null] } });
const tracked = { status: response.status, body: await response.json() };
const flag = client.getFlag("sized");
const checked = [flag.isEnabled, flag.config.key, client.getFlag("everyone").config.key ?? null];
const byFlag = (await flag.track()).status;
await client.stop();
end({
  tracked,
  byFlag,
  checked,
  asked,
  heard: heard.filter((line) => /failed|dropp|^(warn|error)/.test(line)),
});
await leave();
