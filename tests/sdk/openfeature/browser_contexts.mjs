// The OpenFeature SDK in a page: what another context changes, and what it does not.

import { asked, close, events, open, OpenFeature, seen } from "./browser.mjs";
import { end, told } from "./scenario.mjs";

const provider = await open({ cacheMode: "disabled", changeDetection: "none" });
const ofEach = [{ seen: seen(), keys: Object.keys(provider.flagCache) }];
for (const context of told.contexts.slice(1)) {
  await OpenFeature.setContext(context);
  ofEach.push({ seen: seen(), keys: Object.keys(provider.flagCache) });
}
end({ ofEach, events, asked });
await close();
