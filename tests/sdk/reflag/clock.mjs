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

/** So many milliseconds go by at once. What was due meanwhile is done once. */
export function elapse(milliseconds) {
  now += milliseconds;
  for (const interval of intervals.filter(({ due }) => due <= Date.now())) {
    interval.due = Date.now() + interval.every;
    interval.callback();
  }
}
