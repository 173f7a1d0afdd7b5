// The OpenFeature SDK in a page that does not poll: the answer says where changes are announced, and the provider
// listens there and asks again. When the stream is ended it opens another one, and says after which event.

import { asked, close, events, open, seen, status } from "./browser.mjs";
import { end, pause, until } from "./scenario.mjs";

const streams = () => asked.filter((request) => request.startsWith("GET")).length;
const told = () => ({ seen: seen(), events: events.splice(0), asked: asked.splice(0) });

await open();
await until("a stream", () => streams() === 1);
// What is announced first is what it has; it asks to be sure.
await until("a second question", () => asked.filter((request) => request.startsWith("POST")).length === 2);
await pause(told());
await until("the change", () => events.length > 0);
await pause(told());
await until("another stream", () => streams() === 1);
await pause({ ...told(), status: status() });
await until("the change", () => events.length > 0);
end({ ...told(), status: status() });
await close();
