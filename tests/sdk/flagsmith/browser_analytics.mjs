// flagsmith in a page: how often flags were asked for is told to Burgee.

import { asked, open } from "./browser.mjs";
import { end, told } from "./scenario.mjs";

// It counts only in a page that keeps something.
globalThis.window = globalThis;
const AsyncStorage = { getItem: async () => null, setItem: async () => {} };
const { flagsmith, ready } = open({ enableAnalytics: true, AsyncStorage });
await ready;
for (const feature of told.features) flagsmith.hasFeature(feature);
const counts = () => ({ ...flagsmith.getState().evaluationEvent[told.key] });
const counted = counts();
// As it does it every ten seconds.
await flagsmith.analyticsFlags();
clearInterval(flagsmith.analyticsInterval);
end({ counted, kept: counts(), asked });
