// A clock that the program alone moves, so that nothing waits for the SDK's minutes, and no minute is over sooner because
// a machine is busy. To be imported before the SDK.

let now = Date.now();
Date.now = () => now;

const intervals = [];
globalThis.setInterval = (callback, every) => {
  const interval = { callback, every, due: Date.now() + every, unref: () => interval };
  intervals.push(interval);
  return interval;
};
globalThis.clearInterval = (interval) => {
  const place = intervals.indexOf(interval);
  if (place >= 0) intervals.splice(place, 1);
};

// Shorter ones are left alone: what answers are waited for with, and turns of the event loop.
const LONG = 10_000;

const { setTimeout: begin, clearTimeout: stop } = globalThis;
let timeouts = [];
globalThis.setTimeout = (callback, delay, ...more) => {
  if (!(delay >= LONG)) return begin(callback, delay, ...more);
  const timeout = { callback: () => callback(...more), due: Date.now() + delay, unref: () => timeout };
  timeouts.push(timeout);
  return timeout;
};
globalThis.clearTimeout = (timeout) => {
  if (timeouts.includes(timeout)) timeouts = timeouts.filter((other) => other !== timeout);
  else stop(timeout);
};

/** So many milliseconds go by at once. What was due meanwhile is done once. */
export function elapse(milliseconds) {
  now += milliseconds;
  for (const interval of intervals.filter(({ due }) => due <= Date.now())) {
    interval.due = Date.now() + interval.every;
    interval.callback();
  }
  const due = timeouts.filter((timeout) => timeout.due <= Date.now());
  timeouts = timeouts.filter((timeout) => !due.includes(timeout));
  due.forEach(({ callback }) => callback());
}
