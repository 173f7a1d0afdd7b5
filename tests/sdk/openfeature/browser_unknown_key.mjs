// The OpenFeature SDK in a page with keys that Burgee does not take there.

import { asked, close, open, seen, status } from "./browser.mjs";
import { end, told } from "./scenario.mjs";

const ofEach = [];
for (const key of told.wrongKeys) {
  told.key = key;
  const failed = await open({ cacheMode: "disabled", changeDetection: "none" }).then(() => null, ({ code, message }) => `${code}: ${message}`);
  ofEach.push({ failed, status: status(), seen: seen(), asked: asked.splice(0) });
}
end(ofEach);
await close();
