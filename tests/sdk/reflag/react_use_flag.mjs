// @reflag/react-sdk: a component that shows what `useFlag` says, which follows changes as it comes.

import { leave } from "./page.mjs";
import { end, listener, pause, told, until } from "./scenario.mjs";

import { ReflagProvider, useClient, useFlag } from "@reflag/react-sdk";
import { createElement } from "react";
import { createRoot } from "react-dom/client";

const { heard, logger } = listener();
let client;

function Flag({ flagKey }) {
  client = useClient();
  const { isEnabled, isLoading, config } = useFlag(flagKey);
  const state = isLoading ? "loading" : isEnabled ? `on ${config.key} ${JSON.stringify(config.payload)}` : "off";
  return createElement("li", null, `${flagKey} ${state}`);
}

const container = document.createElement("ul");
document.body.append(container);
const root = createRoot(container);
const show = (context) =>
  root.render(
    createElement(
      ReflagProvider,
      { publishableKey: told.publishableKey, apiBaseUrl: told.url, context, logger },
      ["sized", "acme-only", "ledger"].map((flagKey) => createElement(Flag, { key: flagKey, flagKey })),
    ),
  );

const shown = [];
// In place of a browser's paint: each different thing that was to be seen.
const watch = new window.MutationObserver(look);
watch.observe(container, { childList: true, characterData: true, subtree: true });
function look() {
  const text = [...container.children].map((line) => line.textContent).join(", ");
  if (text && text !== shown.at(-1)) shown.push(text);
  return text;
}

show({ user: { id: "u-1" }, company: { id: "acme" } });
await until("the flags", () => /on large/.test(look()));
show({ user: { id: "u-2" } });
await until("the flags of another context", () => /on small/.test(look()));
await pause({ shown: [...shown] });
await until("the changed flag", () => /sized off/.test(look()));
end({ shown, heard });
root.unmount();
watch.disconnect();
await client.stop();
await leave();
