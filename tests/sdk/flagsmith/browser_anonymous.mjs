// flagsmith in a page: nobody in particular, and somebody who has no name, with traits and without.

import { asked, face, open } from "./browser.mjs";
import { end, told } from "./scenario.mjs";

async function see(identity) {
  const { flagsmith, ready } = open({ evaluationContext: { environment: { apiKey: told.key }, identity } });
  await ready;
  return face(flagsmith);
}

const nobody = await see();
const nameless = await see({ traits: told.traits });
const again = await see({ identifier: null, traits: told.traits });
const bare = await see({ traits: {} });
end({ nobody, nameless, again, bare, asked });
