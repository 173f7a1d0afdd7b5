// flagsmith in a page: an identity with traits, more traits, another identity, nobody again.

import { asked, face, open } from "./browser.mjs";
import { end, told } from "./scenario.mjs";

const changes = [];
const onChange = (_, { isFromServer, flagsChanged }) => changes.push(isFromServer && flagsChanged);
const { flagsmith, ready } = open({ identity: told.identifier, traits: told.traits, onChange });
await ready;
const first = face(flagsmith);
const read = Object.fromEntries(
  told.features.map((name) => [name, [flagsmith.hasFeature(name), flagsmith.getValue(name)]]),
);
await flagsmith.setTrait("logins", 7);
await flagsmith.setTraits({ beta: true, score: 0.5 });
const withMore = face(flagsmith);
await flagsmith.identify(told.other);
const other = face(flagsmith);
await flagsmith.logout();
end({ first, read, withMore, other, nobody: face(flagsmith), changes, asked });
