// The OpenFeature SDK in a page, whose provider asks Burgee for all flags at once and answers from them.

import { asked, leave } from "./page.mjs";
import { details, face, options } from "./seen.mjs";
import { told } from "./scenario.mjs";

import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";

export { asked, leave, OpenFeature };

/** What the provider told of: which flags changed, or why it does not know. */
export const events = [];
const client = OpenFeature.getClient();
client.addHandler(ProviderEvents.ConfigurationChanged, ({ flagsChanged }) => events.push(flagsChanged));
for (const event of [ProviderEvents.Stale, ProviderEvents.Error])
  client.addHandler(event, ({ message }) => events.push(`${event}: ${message}`));

/** The state of the provider, as the SDK has it. */
export const status = () => client.providerStatus;

await OpenFeature.setContext(told.contexts[0]);

/** A new provider in place of the one before, in the first context of those that are told. */
export async function open(settings = {}) {
  const provider = new OFREPWebProvider({ ...options(told), ...settings });
  await OpenFeature.setProviderAndWait(provider);
  return provider;
}

/** What is seen of each flag that is asked for. */
export const seen = () => told.asked.map(([key, fallback]) => face(details(client, key, fallback)));

/** Ends the provider and what the page keeps running. */
export async function close() {
  await OpenFeature.close();
  await leave();
}
