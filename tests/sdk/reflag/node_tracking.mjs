// @reflag/node-sdk tells Burgee of users, companies, events and checks. A batch that is not accepted is dropped with a
// warning.

import { end, listener, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener();
let batches = 0;
const client = new ReflagClient({
  secretKey: told.secretKey,
  apiBaseUrl: told.url,
  flagsSyncMode: "polling",
  logger: {
    ...logger,
    debug: (message) => {
      if (message === "flushed buffered items") batches += 1;
    },
  },
});
await client.initialize();

const context = { user: { id: "u-1", name: "Ada" }, company: { id: "acme", plan: "pro" } };
await client.updateUser(7, { attributes: { name: "Grace", tags: ["a", "b"] }, meta: { active: true } });
await client.updateCompany("globex", { attributes: { seats: 3 }, userId: 7 });
const flag = client.getFlag(context, "sized");
const checked = [flag.isEnabled, flag.config.key];
// A flag without remote config is checked without a version, and one that nobody knows without a result.
checked.push(client.getFlag(context, "everyone").config.key, client.getFlag(context, "nowhere").isEnabled);
await flag.track();
await client.flush();
const withFlush = batches;
// The SDK sends 100 at a time.
for (let count = 0; count < 250; count += 1) await client.track("u-1", `event ${count}`, { attributes: { count } });
await client.flush();
end({ checked: checked.map((value) => value ?? null), batches: [withFlush, batches - withFlush], heard });
client.destroy();
