// flagsmith-nodejs: a feature that is not there, without a default and with one.

import { client, flagsOf, heard } from "./client.mjs";
import { end, told } from "./scenario.mjs";

import { DefaultFlag } from "flagsmith-nodejs";

const bare = client({ local: told.local });
const defaultFlagHandler = (name) => new DefaultFlag(`default of ${name}`, true);
const prepared = client({ local: told.local, defaultFlagHandler });
const seen = [];
for (const who of [null, { identifier: "somebody" }]) {
  const without = (await flagsOf(bare, who)).getFlag(told.feature);
  const { enabled, value } = (await flagsOf(prepared, who)).getFlag(told.feature);
  seen.push({ without, with: { enabled, value } });
}
end({ seen, heard });
await bare.close();
await prepared.close();
