// The OpenFeature SDK in a page: a change of the rules arrives with the next poll.

import { asked, close, events, open, seen } from "./browser.mjs";
import { end, pause, until } from "./scenario.mjs";

await open({ pollInterval: 20, changeDetection: "polling" });
const polled = () => asked.filter((request) => request.startsWith("POST")).length;
// Answers without a change have come by then, and the first of them is done with.
await until("three polls", () => polled() > 3);
const before = { seen: seen(), events: [...events] };
await pause(before);
await until("the change", () => events.length > 0);
const changed = polled();
await until("three more polls", () => polled() > changed + 3);
end({ seen: seen(), events });
await close();
