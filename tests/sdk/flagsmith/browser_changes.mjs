// flagsmith in a page: a change of the rules arrives with the next fetch.

import { asked, face, open } from "./browser.mjs";
import { end, pause, told } from "./scenario.mjs";

// With every header field that the SDK knows, and one that it does not.
const { flagsmith, ready } = open({
  identity: told.identifier,
  applicationMetadata: { name: "shop", version: "1.2.3" },
  headers: { "X-Of-Page": "1" },
});
await ready;
await pause(face(flagsmith));
await flagsmith.getFlags();
end({ ...face(flagsmith), asked });
