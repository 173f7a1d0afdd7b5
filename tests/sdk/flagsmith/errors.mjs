// flagsmith-nodejs where Burgee refuses what it asks for: an error, or the default where there is one.

import { client, flagsOf, heard } from "./client.mjs";
import { end, told } from "./scenario.mjs";

import { DefaultFlag } from "flagsmith-nodejs";

const settings = { local: told.local };
const bare = client(settings);
const prepared = client({ ...settings, defaultFlagHandler: () => new DefaultFlag("default", true) });
const seen = [];
for (const who of [null, { identifier: "somebody", traits: { plan: "gold" } }]) {
  const failed = await flagsOf(bare, who).then(
    () => "no error",
    (error) => error.cause.message,
  );
  const { enabled, value } = (await flagsOf(prepared, who)).getFlag("text");
  seen.push({ failed, with: { enabled, value } });
}
end({ seen, heard });
await bare.close();
await prepared.close();
