// The OpenFeature SDK in a page: flags of all types, in contexts of all kinds, one after the other.

import { close, open, OpenFeature, seen } from "./browser.mjs";
import { end, told } from "./scenario.mjs";

// Else it would answer from what it stored for another context, and then ask.
await open({ cacheMode: "disabled", changeDetection: "none" });
const ofEach = [seen()];
for (const context of told.contexts.slice(1)) {
  await OpenFeature.setContext(context);
  ofEach.push(seen());
}
end(ofEach);
await close();
