// The evaluator of @reflag/node-sdk and Burgee's see the same: for each context, what the SDK makes of the definitions
// and what Burgee answers are compared member by member.

import { isDeepStrictEqual } from "node:util";

import { end, listener, told } from "./scenario.mjs";

import { flattenJSON } from "@reflag/flag-evaluation";
import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener("error");
const client = new ReflagClient({
  secretKey: told.secretKey,
  apiBaseUrl: told.url,
  flagsSyncMode: "polling",
  logger,
});
await client.initialize();

/**
 * A flag without what only one side says: the SDK names a config that is not there, Burgee leaves it out. Of rules that
 * were translated Burgee does not say which of them held.
 */
function essence({ key, isEnabled, targetingVersion, config, ...rules }) {
  return {
    key,
    isEnabled,
    targetingVersion,
    ...results(rules),
    config: config?.key === undefined ? undefined : {
      key: config.key,
      payload: config.payload,
      version: config.version ?? config.targetingVersion,
      ...results(config),
    },
  };
}

function results({ ruleEvaluationResults, missingContextFields }) {
  return told.translated ? {} : { ruleEvaluationResults, missingContextFields };
}

const different = [];
const outcomes = {};
let compared = 0;
for (const context of told.contexts) {
  const local = client.getFlagsForBootstrap({ ...context, enableTracking: false }).flags;
  // As `getFlagsRemote` does it, which hides most members of the answer.
  const query = new URLSearchParams(flattenJSON({ context }));
  const remote = (await client.get(`features/evaluated?${query}`)).features;
  for (const key of new Set([...Object.keys(local), ...Object.keys(remote)])) {
    const both = [local, remote].map((flags) => flags[key] && essence(flags[key]));
    compared += 1;
    (outcomes[key] ??= new Set()).add(JSON.stringify(both[0]));
    if (!isDeepStrictEqual(both[0], both[1])) different.push({ context, sdk: both[0], burgee: both[1] });
  }
}
// A flag that is the same for everybody compares nothing.
const alike = Object.keys(outcomes).filter((key) => outcomes[key].size === 1);
end({ compared, different, alike, heard });
client.destroy();
