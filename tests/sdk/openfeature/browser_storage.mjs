// The OpenFeature SDK in a page that is opened again: it answers from what it stored, and asks whether that still holds.

import { asked, close, events, open, seen } from "./browser.mjs";
import { end, pause, until } from "./scenario.mjs";

const answered = () => asked.filter((request) => request.startsWith("POST")).length;

await open({ changeDetection: "none" });
const first = seen();
await open({ changeDetection: "none" });
const again = seen();
await until("the question whether it holds", () => answered() === 2);
await pause({ first, again, stored: localStorage.length, events: [...events] });
await open({ changeDetection: "none" });
const old = seen();
await until("the change", () => events.length > 0);
end({ old, renewed: seen(), events, asked });
await close();
