// @reflag/browser-sdk in a page with a key that Burgee does not take. When the SDK cannot read the answer, it asks once
// more at once and again after 5 s; when it can, it does not: the page may see errors too.

import { asked, leave } from "./page.mjs";
import { end, face, listener, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/browser-sdk";

const seen = [];
for (const publishableKey of told.wrongKeys) {
  const { heard, logger } = listener();
  const client = new ReflagClient({
    publishableKey,
    apiBaseUrl: told.url,
    user: { id: "u-1" },
    feedback: { enableAutoFeedback: false },
    fallbackFlags: { sized: { key: "fallback", payload: 1 } },
    logger,
  });
  await client.initialize();
  const tracked = await client.track("event").then(({ status }) => status, String);
  const flags = { known: Object.keys(client.getFlags()), sized: face(client.getFlag("sized")) };
  await client.stop();
  seen.push({ ...flags, tracked, asked: asked.splice(0), heard });
}
end(seen);
await leave();
