// flagsmith-nodejs: the flags of nobody in particular and of identities, in the order in which they are told.

import { client, faces, flagsOf, heard } from "./client.mjs";
import { end, told } from "./scenario.mjs";

const flagsmith = client({ local: told.local });
const seen = [];
for (const who of told.whom) seen.push(faces(await flagsOf(flagsmith, who)));
end({ seen, heard });
await flagsmith.close();
