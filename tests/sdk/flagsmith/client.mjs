// A client of flagsmith-nodejs as a scenario wants it, and what an application sees of its flags.

import { told } from "./scenario.mjs";

import { Flagsmith } from "flagsmith-nodejs";

/** What the SDK logged: by default it would write that to standard output. */
export const heard = [];

const note = (error, message = error) =>
  heard.push(error instanceof Error ? `${message}: ${(error.cause ?? error).message}` : message);

/** With `local`, the SDK gets the environment document from Burgee and evaluates by itself. */
export function client({ local, ...settings }) {
  return new Flagsmith({
    apiUrl: `${told.url}/api/v1`,
    environmentKey: told.key,
    enableLocalEvaluation: local,
    logger: { error: note, warn: note, info: () => {}, debug: () => {} },
    ...settings,
  });
}

/** The flags of nobody in particular, for null, or of an identity. */
export function flagsOf(client, who) {
  return who === null ? client.getEnvironmentFlags() : client.getIdentityFlags(who.identifier, who.traits, who.transient);
}

/** What an application sees of flags, by name. A value of null is undefined where Burgee evaluates, by the SDK's doing. */
export function faces(flags) {
  const face = ({ featureId, enabled, value }) => ({ id: featureId, enabled, value: value ?? null });
  return Object.fromEntries(flags.allFlags().map((flag) => [flag.featureName, face(flag)]));
}
