// What flagsmith-nodejs makes of the environment document and what Burgee answers are compared, flag by flag.

import { isDeepStrictEqual } from "node:util";

import { client, faces, flagsOf, heard } from "./client.mjs";
import { end, told } from "./scenario.mjs";

const [local, remote] = [client({ local: true }), client({ local: false })];
const different = [];
const outcomes = {};
let compared = 0;
for (const who of told.whom) {
  const [sdk, burgee] = [faces(await flagsOf(local, who)), faces(await flagsOf(remote, who))];
  for (const name of new Set([...Object.keys(sdk), ...Object.keys(burgee)])) {
    compared += 1;
    (outcomes[name] ??= new Set()).add(JSON.stringify(sdk[name]));
    if (!isDeepStrictEqual(sdk[name], burgee[name])) different.push({ who, name, sdk: sdk[name], burgee: burgee[name] });
  }
}
// A flag that is the same for everybody compares nothing.
const alike = Object.keys(outcomes).filter((name) => outcomes[name].size === 1);
end({ compared, different, alike, heard });
await local.close();
