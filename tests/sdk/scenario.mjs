// What all programs share: what they are told, how they say what they saw, how they wait.

import { createInterface } from "node:readline";

/** Where Burgee is, its keys, and what the scenario adds. */
export const told = JSON.parse(process.argv[2]);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Says what was seen: one line of JSON. */
export function say(seen) {
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}

/** Says what was seen and waits until the test has changed something. */
export async function pause(seen) {
  say(seen);
  await lines.next();
}

/** Says what was seen in the end. The program ends when nothing keeps it. */
export function end(seen) {
  say(seen);
  process.stdin.destroy();
}

/** Looks, turn by turn of the event loop, until there is something to see. */
export async function until(what, look) {
  const start = performance.now();
  for (;;) {
    const seen = look();
    if (seen) return seen;
    if (performance.now() - start > 20_000) throw new Error(`still waiting for: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A logger for an SDK, and what it was told of that level or a worse one. */
export function listener(level = "warn") {
  const levels = ["debug", "info", "warn", "error"];
  const heard = [];
  const note = (at) => (message, ...details) => {
    if (levels.indexOf(at) < levels.indexOf(level)) return;
    const errors = details.filter((detail) => detail instanceof Error);
    heard.push([`${at}: ${message}`, ...errors.map((error) => error.message)].join(" | "));
  };
  return { heard, logger: Object.fromEntries(levels.map((at) => [at, note(at)])) };
}

/** What an application sees of a flag: `undefined` members are left out, `null` ones are not. */
export function face(flag) {
  return { isEnabled: flag.isEnabled, config: flag.config };
}
