// flagsmith-nodejs: how often flags were asked for is told to Burgee.

import { client, flagsOf, heard } from "./client.mjs";
import { end, told } from "./scenario.mjs";

const flagsmith = client({ local: told.local, enableAnalytics: true });
const flags = await flagsOf(flagsmith, { identifier: "somebody" });
for (const feature of told.features) flags.isFeatureEnabled(feature);
const before = flagsmith.analyticsProcessor.analyticsData;
await flagsmith.analyticsProcessor.flush();
end({ counted: before, kept: flagsmith.analyticsProcessor.analyticsData, heard });
await flagsmith.close();
