// @reflag/node-sdk: what its own evaluator makes of the definitions, context by context.

import { end, listener, told } from "./scenario.mjs";

import { ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener("error");
const client = new ReflagClient({
  secretKey: told.secretKey,
  apiBaseUrl: told.url,
  flagsSyncMode: "polling",
  logger,
});
await client.initialize();

const face = ({ isEnabled, config }) => ({
  enabled: isEnabled,
  variant: config?.key ?? null,
  value: config?.payload ?? null,
});
const seen = told.contexts.map((context) => {
  const { flags } = client.getFlagsForBootstrap({ ...context, enableTracking: false });
  return Object.fromEntries(Object.entries(flags).map(([key, flag]) => [key, face(flag)]));
});
end({ seen, heard });
client.destroy();
