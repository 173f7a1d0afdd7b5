// flagsmith in a page with realtime on: a change is announced, and it fetches; when the stream is ended, it opens another
// one within 3 s.

import { asked, leave } from "./page.mjs";
import { face, open } from "./browser.mjs";
import { end, pause, told, until } from "./scenario.mjs";

let changes = 0;
const { flagsmith, ready } = open({
  identity: told.identifier,
  realtime: true,
  eventSourceUrl: `${told.url}/`,
  onChange: (_, { flagsChanged }) => (changes += flagsChanged ? 1 : 0),
});
const streams = () => asked.filter((request) => request.startsWith("GET /sse/")).length;
const stream = (number) => until("a stream", () => streams() >= number && flagsmith.eventSource.readyState === 1);
const change = (number) => until("the change", () => changes === number);

await ready;
await stream(1);
await pause(face(flagsmith));
await change(2);
const opened = streams();
await pause({ ...face(flagsmith), asked: [...asked] });
await stream(opened + 1);
await pause(face(flagsmith));
await change(3);
end(face(flagsmith));
flagsmith.eventSource.close();
await leave();
// As long as there is a page, the SDK looks every 10 s whether it has something to count.
process.exit();
