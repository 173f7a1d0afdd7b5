// A client of the OpenFeature SDK for servers, whose provider asks Burgee at each evaluation.

import { details, face, options } from "./seen.mjs";
import { told } from "./scenario.mjs";

import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";

await OpenFeature.setProviderAndWait(new OFREPProvider(options(told)));
const client = OpenFeature.getClient();

/** What is seen in each context of each flag that is asked for. */
export async function seen() {
  const ofEach = [];
  for (const context of told.contexts) {
    const faces = [];
    for (const [key, fallback] of told.asked) faces.push(face(await details(client, key, fallback, context)));
    ofEach.push(faces);
  }
  return ofEach;
}
