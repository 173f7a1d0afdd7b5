// The OpenFeature SDK for servers: flags of all types, in contexts of all kinds.

import { seen } from "./client.mjs";
import { end } from "./scenario.mjs";

end(await seen());
