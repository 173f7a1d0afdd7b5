// flagsmith-nodejs: a change of the rules arrives, with the next call or the next poll.

import { client, faces, flagsOf, heard } from "./client.mjs";
import { end, pause, told, until } from "./scenario.mjs";

const flagsmith = client({ local: told.local, environmentRefreshIntervalSeconds: 0.05 });
const seen = async () => {
  const flags = [];
  for (const who of told.whom) flags.push(faces(await flagsOf(flagsmith, who)));
  return flags;
};
const before = await seen();
await pause({ seen: before });
if (told.local) {
  const known = flagsmith.environment;
  await until("another document", () => flagsmith.environment !== known);
  // The one that came may have been under way when the rules changed.
  const second = flagsmith.environment;
  await until("one more document", () => flagsmith.environment !== second);
}
end({ seen: await seen(), heard });
await flagsmith.close();
