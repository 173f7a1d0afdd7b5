// The OpenFeature SDK for servers: a change of the rules arrives with the next evaluation.

import { seen } from "./client.mjs";
import { end, pause } from "./scenario.mjs";

await pause(await seen());
end(await seen());
