// A clock that the program moves, so that nothing waits for the SDK's minutes. To be imported before the SDK.

const now = Date.now;
let ahead = 0;
Date.now = () => now() + ahead;

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
  ahead += milliseconds;
  for (const interval of intervals.filter(({ due }) => due <= Date.now())) {
    interval.due = Date.now() + interval.every;
    interval.callback();
  }
}
