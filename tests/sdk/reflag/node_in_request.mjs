// @reflag/node-sdk with `flagsSyncMode: "in-request"`, by itself and as `EdgeClient`: an access to a flag starts a
// fetch when the last one is more than a minute old, and is answered from the old definitions.

import { elapse } from "./clock.mjs";
import { end, face, listener, pause, told } from "./scenario.mjs";

import { EdgeClient, ReflagClient } from "@reflag/node-sdk";

const { heard, logger } = listener();
const options = { secretKey: told.secretKey, apiBaseUrl: told.url, logger };
const clients = [new ReflagClient({ ...options, flagsSyncMode: "in-request" }), new EdgeClient(options)];
await Promise.all(clients.map((client) => client.initialize()));

const access = (client) => face(client.getFlag({ ...told.context, enableTracking: false }, told.flag));
const first = clients.map(access);
await pause({ first });
elapse(59_000);
const fresh = clients.map(access);
await Promise.all(clients.map((client) => client.flush()));
const stillFresh = clients.map(access);
elapse(2_000);
const old = clients.map(access);
await Promise.all(clients.map((client) => client.flush()));
end({ first, fresh, stillFresh, old, renewed: clients.map(access), heard });
clients.forEach((client) => client.destroy());
