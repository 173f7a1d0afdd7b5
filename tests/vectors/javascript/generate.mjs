// Prints coercions.json: what this JavaScript engine makes of texts, numbers and days.
//
//     node generate.mjs > coercions.json            with Node 20, whose answers are the reference
//     node generate.mjs 7 100 > elsewhere.json      another seed, a hundred times the random rows
//
// The rows depend on nothing but the seed. A number is written as a number if it is a safe integer
// and as its text otherwise (also "NaN", "Infinity", "-0"), so that no JSON reader gets to round it.

process.env.TZ = "UTC";
if (new Date(2026, 0, 1).getTime() !== Date.UTC(2026, 0, 1)) throw new Error("needs TZ=UTC");

const seed = Number(process.argv[2] ?? 1);
const scale = Number(process.argv[3] ?? 1);

// Random choices (mulberry32).

let state = seed >>> 0;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
};
const below = (limit) => Math.floor(random() * limit);
const between = (first, last) => first + below(last - first + 1);
const chance = (probability) => random() < probability;
const pick = (list) => list[below(list.length)];
const times = (count, make) => Array.from({ length: Math.max(0, count) }, make);
const digits = (count) => times(count, () => below(10)).join("");
const padded = (number, width) => String(number).padStart(width, "0");

const mutate = (text, alphabet, strokes) => {
  const characters = Array.from(text);
  for (let stroke = 0; stroke < strokes; stroke++) {
    const at = below(characters.length + 1);
    const other = below(characters.length + 1);
    switch (below(6)) {
      case 0:
        characters.splice(at, 1);
        break;
      case 1:
        characters.splice(at, 0, pick(alphabet));
        break;
      case 2:
        characters.splice(at, 1, pick(alphabet));
        break;
      case 3:
        characters.splice(at, 0, ...characters.slice(other, other + between(1, 4)));
        break;
      case 4:
        characters.length = at;
        break;
      case 5:
        characters.splice(Math.min(at, other), Math.abs(at - other) > 6 ? 1 : Math.abs(at - other));
        break;
    }
  }
  return characters.join("");
};

// Every white space and line end of JavaScript, and three characters that only look the part.
const blanks = Array.from(
  "\t\v\f \n\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" +
    "\u2028\u2029\u202f\u205f\u3000\ufeff" +
    "\u0085\u180e\u200b",
);

// Dates.

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const longMonths = [
  "January", "february", "MARCH", "april", "June", "July", "August", "Sept", "september", "October",
  "novembre", "DECEMBER", "Marzo", "janvier",
];
const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Monday", "tuesday"];
const zones = [
  "UT", "UTC", "GMT", "Z", "z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "gmt",
  "Pst", "CET", "BST", "UTCX", "ES",
];
const clutter = Array.from("0123456789-+:./,()TZtz APMapm\u0000\u00a0\u2028\u3000é😀_@'[~");

const year = () =>
  pick([
    () => padded(between(1900, 2100), 4),
    () => padded(between(0, 9999), 4),
    () => pick(["+", "-"]) + padded(between(0, 280000), 6),
    () => String(between(0, 120)),
    () => digits(between(1, 7)),
  ])();
const month = () => (chance(0.9) ? padded(between(1, 12), 2) : digits(between(1, 3)));
const day = () => (chance(0.9) ? padded(between(1, 31), 2) : digits(between(1, 3)));
const hour = () => (chance(0.9) ? padded(between(0, 24), 2) : digits(between(1, 3)));
const sixty = () =>
  chance(0.7) ? padded(between(0, 59), 2) : chance(0.7) ? "00" : digits(between(1, 3));
const fraction = () =>
  chance(0.5)
    ? "." + digits(3)
    : "." + (chance(0.3) ? "0".repeat(between(1, 9)) : "") + digits(between(0, 12));
const offset = () =>
  pick(["+", "-"]) +
  pick([
    () => hour() + ":" + sixty(),
    () => hour() + sixty(),
    () => hour(),
    () => digits(between(0, 6)),
    () => digits(between(1, 10)) + ":" + (chance(0.5) ? sixty() : ""),
  ])();
const zone = () =>
  pick([() => "", () => "Z", offset, () => pick(zones), () => pick(zones) + offset()])();
const clock = () =>
  hour() + ":" + sixty() + (chance(0.7) ? ":" + sixty() + (chance(0.4) ? fraction() : "") : "");
const isoDate = () =>
  year() + (chance(0.9) ? "-" + month() + (chance(0.9) ? "-" + day() : "") : "");
const iso = () =>
  isoDate() +
  (chance(0.6) ? pick(["T", "T", "T", "t", " ", "  ", " T", "_", ", "]) + clock() + zone() : "");
const plainIso = () =>
  padded(between(0, 9999), 4) +
  "-" +
  padded(between(0, 13), 2) +
  "-" +
  padded(between(0, 32), 2) +
  pick([
    "",
    "T" +
      padded(between(0, 25), 2) +
      ":" +
      padded(between(0, 60), 2) +
      ":" +
      padded(between(0, 60), 2) +
      pick(["", "." + digits(3)]) +
      "Z",
  ]);
const monthName = () => (chance(0.7) ? pick(months) : pick(longMonths));
const rfc = () =>
  pick([
    () => `${pick(weekdays)}, ${day()} ${monthName()} ${year()} ${clock()} ${zone()}`,
    () =>
      `${pick(weekdays)} ${monthName()} ${day()} ${year()} ${clock()} ${zone()} (${pick(["Coordinated Universal Time", "CET (x) y", "", "("])})`,
    () => `${pick(weekdays)} ${monthName()} ${day()} ${clock()} ${year()}`,
  ])();
const slashes = () =>
  [month(), day(), year()].slice(0, between(1, 3)).join(pick(["/", "/", ".", "-", " ", "//"])) +
  (chance(0.5)
    ? pick([" ", ", ", "  ", "T", "\u00a0"]) +
      clock() +
      pick(["", " AM", " pm", "PM", " a.m.", " Pm"]) +
      (chance(0.3) ? " " + zone() : "")
    : "");
const worded = () =>
  pick([
    () => `${monthName()} ${day()}, ${year()}`,
    () => `${day()} ${monthName()} ${year()}`,
    () => `${day()}-${monthName()}-${year()}`,
    () => `${monthName()} ${year()}`,
    () => `${year()} ${monthName()} ${day()}`,
    () => `${monthName()}${day()}`,
  ])() + (chance(0.4) ? " " + clock() + pick(["", " ", " AM", " PM"]) + zone() : "");
const piece = () =>
  pick([
    () => digits(between(1, 2)),
    () => String(between(0, 31)),
    () => digits(between(1, 5)),
    () => digits(between(6, 14)),
    () => "0".repeat(between(1, 10)) + digits(between(0, 4)),
    () => String(between(1970, 2040)),
    () => pick(months),
    () => pick(longMonths),
    () => pick(weekdays),
    () => pick(zones),
    () =>
      pick([
        "AM", "PM", "am", "pm", "T", "t", "ma", "jan", "xJan", "Ju", "noon", "é", "😀", "_", "[",
        "\u007f",
      ]),
    () =>
      pick([
        ":", ":", "::", ".", "-", "+", "/", ",", ")", "(", "()", "(a)", "((", "))", "@", "'", "&",
      ]),
    () => pick([":", "-", " ", " ", " "]),
    () => pick(blanks),
    () => clock(),
    () => offset(),
  ])();
const soup = () => times(between(1, 8), piece).join("");

const datesByHand = [
  "", " ", "0", "00", "1", "7", "12", "13", "31", "32", "42", "49", "50", "99", "100", "-1", "-3.5",
  "3.5", "12.5", "13.5", "1773135000", "1773135000000", "1773135000123456", "999999999", "true",
  "null", "undefined", "NaN", "Infinity", "now", "today", "yesterday", "2026", "2026-03",
  "2026-03-10", "2026-3-10", "2026-03-1", "2026-13-01", "2026-00-10", "2026-03-00", "2026-03-32",
  "2026-02-31", "2026-02-30", "2025-02-29", "2024-02-29", "1900-02-29", "2000-02-29", "2026-04-31",
  "2026-03-10T09:30", "2026-03-10T09:30Z", "2026-03-10T09:30:00", "2026-03-10T09:30:00Z",
  "2026-03-10T09:30:00z", "2026-03-10t09:30:00Z", "2026-03-10T09:30:00.1Z",
  "2026-03-10T09:30:00.12Z", "2026-03-10T09:30:00.123Z", "2026-03-10T09:30:00.1239Z",
  "2026-03-10T09:30:00.123456789Z", "2026-03-10T09:30:00.1234567890123Z",
  "2026-03-10T09:30:00.0123456789Z", "2026-03-10T09:30:00.00000000001Z", "2026-03-10T09:30:00.Z",
  "2026-03-10T09:30:00,123Z", "2026-03-10T09", "2026-03-10T0930", "2026-03-10T9:30", "2026-03-10T",
  "2026-03-10TZ", "2026-03T09:30Z", "2026T09:30Z", "2026-03-10T09:30:00+01:00",
  "2026-03-10T09:30:00-0130", "2026-03-10T09:30:00+01", "2026-03-10T09:30:00+24:00",
  "2026-03-10T09:30:00+23:59", "2026-03-10T09:30:00+2360", "2026-03-10T09:30:00 Z",
  "2026-03-10T09:30:00 +01:00", "2026-03-10T09:30:00Z ", " 2026-03-10", "2026-03-10 ",
  "2026-03-10T09:30:00GMT", "2026-03-10T09:30:00UTC", "2026-03-10T09:30:60Z",
  "2026-03-10T09:60:00Z", "2026-03-10T24:00", "2026-03-10T24:00:00", "2026-03-10T24:00:00Z",
  "2026-03-10T24:00:00.000Z", "2026-03-10T24:00:00.001Z", "2026-03-10T24:00:00.0001Z",
  "2026-03-10T24:01", "2026-03-10T24:00:01", "2026-03-10T25:00", "2026-12-31T24:00:00Z",
  "2026-03-10 24:00", "2026-03-10 24:01", "2026-03-10 24:00:00.000", "2026-03-10 09:30:00",
  "2026-03-10 09:30:00Z", "2026-03-10 09:30:00.123", "2026-03-10 09:30:00 +0100",
  "2026-03-10 09:30:00+01:00", "2026-03-10 09:30:00-01:00", "2026-03-10 09:30 PM",
  "2026-03-10 9:30pm", "2026-03-10 13:30 PM", "2026-03-10 12:30 AM", "2026-03-10 12:30 PM",
  "2026-03-10 0:30 PM", "2026-03-10, 09:30", "2026-03-10  09:30", "2026-03-10_09:30",
  "2026-03-10 T09:30", "2026-03-10Z", "2026-03-10 Z", "2026-03-10+01:00", "2026-03-10-01:00",
  "2026-03-10-", "2026-03-", "2026-", "2026-03-10 UTC", "2026-03-10 EST", "2026-03-10 09:30 EST",
  "2026-03-10 09:30 CET", "2026/03/10", "2026/3/1", "2026.03.10", "20260310", "20260310T093000Z",
  "2026-069", "2026-W11-2", "2026-W11", "+002026-03-10", "-002026-03-10", "+002026-03-10T09:30Z",
  "+275760-09-13", "+275760-09-13T00:00:00.001Z", "+275760-09-14", "-271821-04-20", "-271821-04-19",
  "-271821-04-19T23:59:59.999Z", "-271821-04-20T00:00+00:01", "+000000-01-01", "-000000-01-01",
  "-000000", "-000001-01-01", "+2026-03-10", "+02026-03-10", "+0002026-03-10", "-2026-03-10",
  "0000-01-01", "0001-01-01", "0049-01-01", "0050-01-01", "0099-12-31", "9999-12-31", "10000-01-01",
  "275760-09-13", "275760-09-14", "Jan 2 2026", "Jan 2, 2026", "2 Jan 2026", "2-Jan-2026",
  "02-JAN-26", "Jan-02-2026", "January 2nd 2026", "2nd January 2026", "Jan 2026", "Jan", "2026 Jan",
  "2026 Jan 2", "2026-Jan-02", "Jan 32 2026", "32 Jan 2026", "Jan 2 26", "Jan 2 49", "Jan 2 50",
  "Jan 2 100", "Jan 2 2026 3", "Jan 2 2026 3 4", "Feb 31 2026", "31 Feb 2026", "Mai 2 2026",
  "Janx 2 2026", "xJan 2 2026", "Jan2", "Jan2 2026", "Tuesday 2 2026", "Tue Jan 2 2026",
  "Sat 2 2026", "Jan Feb 2 2026", "03/15/2026", "3/15/26", "15/03/2026", "3/15", "03/15/2026 10:00",
  "03/15/2026 10:00:00 AM", "03/15/2026, 10:00:00 PM", "03/15/2026 10 AM", "03/15/2026 10AM",
  "03/15/2026 10:00 GMT-8", "03/15/2026 10:00 GMT-0800", "03/15/2026 10:00 GMT-08:00",
  "03/15/2026 10:00 GMT+5:30", "03/15/2026 GMT+5", "03/15/2026 +5", "03/15/2026 10:00 +",
  "03/15/2026 10:00 +:", "03/15/2026 10:00 -:30", "03/15/2026 10:00 +00000", "03/15/2026 10:00 PST",
  "03/15/2026 10:00PST", "03/15/2026 10:00Z", "03/15/2026 10:00 PST PDT", "03/15/2026 10:00 PST+1",
  "03/15/2026 10:00 UTC+1", "03/15/2026 UTC+1", "PST 03/15/2026", "PST03/15/2026",
  "10:00 03/15/2026", "10:00", "10::00", "10::", "3/15/2026 10::", "3/15/2026 10::5",
  "3/15/2026 10:.5", "3/15/2026 10:00:00.5", "3/15/2026 10:00.5", "3/15/2026 10.5",
  "3/15/2026 10:00:00:5", "3/15/2026 10:00:00:500", "3/15/2026 10:00:00:1000",
  "3/15/2026 1:2:3:4:5", "3/15/2026 10:00x", "3/15/2026 10:00/", "3/15/2026 10:00,",
  "3/15/2026 10:60", "3/15/2026 99:00", "Tue, 10 Mar 2026 09:30:00 GMT",
  "Tue, 10 Mar 2026 09:30:00 +0100",
  "Tue Mar 10 2026 09:30:00 GMT+0100 (Central European Standard Time)", "Tue Mar 10 09:30:00 2026",
  "Tue Mar 10 09:30:00 UTC 2026", "Tuesday, 10-Mar-26 09:30:00 GMT",
  "Mar 10, 2026, 9:30:00\u202fAM", "(2026-03-10)", "(x) 2026-03-10", "2026-03-10 (x)",
  "2026-03-10(", "2026-03-10)", "2026-03-10 ((x)", "2026-03-10 ((x) 99 )", ") 2026-03-10",
  "3/(x)15/2026", "2026-03-10\u0000", "2026-03-10\u0000junk", "\u00002026-03-10",
  "2026-03-10 (\u0000", "2026\u0000-03-10T", "3/15/2026 10:00 +1193046:28",
  "3/15/2026 10:00 +1193047:", "3/15/2026 10:00 +596523:14", "3/15/2026 10:00 +596524:",
  "3/15/2026 10:00 -596523:14", "3/15/2026 10:00 +999999999:", "3/15/2026 10:00 +4294967295:",
  "1/1/999999999", "1/1/999999999999", "1/1/0000000002026", "000000001/1/2026",
  "0000000001/0000000001/00000000026", "999999999-01-01 10:00 -999999999:", "1/1/-5", "1 - 2",
  "1-2-3", "01-02-03", "1-2-3-4", "1 2 3 4", "1 2 3", "1,2,3", "1.2.3", "1.2.3.4", "1:2 3 4 5",
  "5 1:2 3 4", "v1.2.3", "v 1.2.3", "version 1.2", "item-3", "item 3", "abc 12", "abc12", "abc",
  "😀 3", "😀3", "é 3", "\u00a03", "\u20283", "\u2028 3", "3\u2028", "3\u3000", "user@example.com",
  "192.168.0.1", "555-1234", "#5", "$5", "5%", "5!", "1e3", "0x10", "10n", "12 apples", "apples 12",
  "may 5", "maybe 5", "march", "12 pm", "12pm", "z", "Z 5", "5 Z", "5Z", "T 5", "5 T", "5T",
];

const dateTexts = () => [
  ...datesByHand,
  ...blanks.flatMap((blank) => [
    blank + "1/2/2026",
    "1/2/2026" + blank,
    "Mon" + blank + "1/2/2026",
    "1/2/2026 10:00:00" + blank,
    "2026-01-02" + blank + "10:00",
  ]),
  ...times(250 * scale, plainIso),
  ...times(450 * scale, iso),
  ...times(550 * scale, () => mutate(chance(0.5) ? iso() : plainIso(), clutter, between(1, 3))),
  ...times(250 * scale, rfc),
  ...times(250 * scale, () => mutate(rfc(), clutter, between(1, 3))),
  ...times(300 * scale, slashes),
  ...times(200 * scale, () => mutate(slashes(), clutter, between(1, 3))),
  ...times(300 * scale, worded),
  ...times(200 * scale, () => mutate(worded(), clutter, between(1, 3))),
  ...times(800 * scale, soup),
  ...times(100 * scale, () => times(between(1, 12), () => pick(clutter)).join("")),
];

// Numbers.

const number64 = (bits) => new Float64Array(new BigUint64Array([bits]).buffer)[0];
const bits64 = (number) => new BigUint64Array(new Float64Array([number]).buffer)[0];
const randomBits = () => (BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32));
const randomDouble = () => {
  const number = number64(randomBits());
  return Number.isFinite(number) ? number : 1.5;
};

// All decimals of the point halfway between a double and the next one, perhaps off by a hair:
// the hardest texts to round.
const halfway = () => {
  const bits = randomBits() & 0x7fffffffffffffffn;
  const exponent = 1023n + BigInt(between(-60, 80));
  const mantissa = ((bits & 0xfffffffffffffn) | 0x10000000000000n) * 2n + 1n;
  const power = exponent - 1023n - 53n;
  const scaled = power >= 0n ? mantissa << power : mantissa * 5n ** -power;
  const places = power >= 0n ? 0 : Number(-power);
  const all = String(scaled).padStart(places + 1, "0");
  const text = places === 0 ? all : all.slice(0, -places) + "." + all.slice(-places);
  return pick([text, text + (places === 0 ? ".000001" : "000001"), text.replace(/\d$/, "4")]);
};
const decimal = () =>
  pick(["", "", "-", "+"]) +
  pick([
    () => digits(between(1, 20)),
    () => digits(between(1, 9)) + "." + digits(between(1, 9)),
    () => digits(between(0, 20)) + "." + digits(between(0, 20)),
    () => digits(between(1, 4)) + pick(["e", "E"]) + pick(["", "+", "-"]) + digits(between(1, 3)),
    () =>
      digits(between(0, 12)) +
      "." +
      digits(between(0, 12)) +
      "e" +
      pick(["", "+", "-"]) +
      digits(between(0, 3)),
    () => String(randomDouble()),
    () => digits(between(300, 330)),
    () => "0." + "0".repeat(between(300, 330)) + digits(between(1, 20)),
  ])();
const radix = () => {
  const [letter, alphabet] = pick([
    ["x", "0123456789abcdefABCDEF"],
    ["o", "01234567"],
    ["b", "01"],
  ]);
  return (
    pick(["", "", "", "-", "+"]) +
    "0" +
    (chance(0.5) ? letter : letter.toUpperCase()) +
    times(chance(0.1) ? between(60, 300) : between(0, 20), () => pick(Array.from(alphabet))).join(
      "",
    ) +
    pick(["", "", "", "", ".", "g", "8", "n"])
  );
};
const blank = () => times(below(3), () => pick(blanks)).join("");

const numbersByHand = [
  "", " ", "\n", "0", "-0", "+0", "00", "007", "1", "-1", "+1", "42", "1.0", "1.", ".5", "-.5",
  "+.5", ".", "-", "+", "-.", "+-1", "--1", "- 1", "1 2", "1,5", "1,000", "1_000", "1'000", "1n",
  "1f", "1.2.3", "..5", "5..", "5.e3", ".e3", "e3", "1e", "1e+", "1e-", "1e3", "1E3", "1e+3",
  "1e-3", "1e3.5", "1e 3", "1ee3", "Infinity", "-Infinity", "+Infinity", " Infinity ", "infinity",
  "INFINITY", "Inf", "inf", "-inf", "Infinit", "Infinityx", "Infinity1", "NaN", "nan", "-NaN",
  "true", "false", "null", "undefined", "[]", "{}", "abc", "12abc", "abc12", "#1", "$1", "1%", "١٢",
  "１２", "½", "∞", "0x", "0X", "0o", "0b", "0x0", "0x10", "0X1f", "0xFF", "0xg", "-0x10", "+0x10",
  "0x1.8", "0x1p3", "0x 1", "0x-1", "00x1", "0o17", "0O17", "0o8", "0b101", "0B101", "0b2", "0b",
  "017", "0x20000000000001", "0x20000000000002", "0x20000000000003", "0x3fffffffffffff",
  "0xffffffffffffffff", "0xfffffffffffff800", "0xfffffffffffffbff", "0xfffffffffffffc00",
  "0xfffffffffffffc01", "0x" + "f".repeat(255), "0x" + "f".repeat(256), "0x7" + "f".repeat(255),
  "0x1" + "0".repeat(255), "0x1" + "0".repeat(256), "0x" + "0".repeat(300) + "1",
  "0b1" + "0".repeat(52) + "1", "0b1" + "0".repeat(51) + "11",
  "0b1" + "0".repeat(52) + "1" + "0".repeat(40) + "1",
  "0b1" + "0".repeat(1023), "0b" + "1".repeat(1024), "0b" + "1".repeat(53) + "0".repeat(971),
  "0b1" + "0".repeat(1024), "999999999999999", "9999999999999999", "99999999999999.9",
  "0.00000000000001", "9007199254740991", "9007199254740992", "9007199254740993",
  "9007199254740994", "9007199254740995", "123456789012345678901234567890", "1e21", "1e22", "1e23",
  "8.5e22", "1e308", "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308",
  "1e309", "-1e309", "1e99999999999999999999", "0e99999999999999999999", "1e-99999999999999999999",
  "5e-324", "2e-324", "3e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
  "2.2250738585072011e-308", "2.2250738585072014e-308", "0.1", "0.2", "0.3", "0.30000000000000004",
  "1.1", "3.14", "2.675", "1.005", "0.000001", "0.0000001", "100.00", "1e-7", "1" + "0".repeat(400),
  "0." + "0".repeat(400) + "1", "1" + "0".repeat(400) + "e-400", "0." + "0".repeat(400) + "1e401",
  "1." + "0".repeat(800) + "1", "9007199254740993." + "0".repeat(800) + "1", "1\u0000", "\u00001",
  "1\u00002",
];
const numberTexts = () => [
  ...numbersByHand,
  ...blanks.flatMap((blank) => [
    blank,
    blank + "1",
    "1" + blank,
    "1" + blank + "2",
    "-" + blank + "1",
  ]),
  ...times(250 * scale, decimal),
  ...times(100 * scale, () => blank() + decimal() + blank()),
  ...times(100 * scale, () =>
    mutate(
      chance(0.5) ? decimal() : String(between(-1e6, 1e6) / 100),
      Array.from("0123456789.eE+-_xXobn I\u00a0"),
      between(1, 2),
    ),
  ),
  ...times(100 * scale, radix),
  ...times(100 * scale, halfway),
  ...times(100 * scale, () => blank() + String(between(-1e9, 1e9)) + blank()),
];

const numbers = () => [
  0, -0, 1, -1, NaN, Infinity, -Infinity, 0.1, 0.1 + 0.2, 1e21, 1e21 - 2 ** 17,
  999999999999999900000, 1e20, 1e-6, 1e-7, 9.999999e-7, 0.000001234, 123e-20, 5e-324,
  2.2250738585072014e-308, Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON, 2 ** 53,
  2 ** 53 - 1, 2 ** 53 + 2, -(2 ** 53), 2 ** 60, 2 ** 63, -(2 ** 63), 2 ** 64, 0.5, -0.5, 1.5, 100,
  1e5, 1.7976931348623157e308,
  ...times(50, (_, index) => 10 ** (index - 25)),
  ...times(50 * scale, () => between(-1e9, 1e9)),
  ...times(50 * scale, () => between(-1e9, 1e9) / 1000),
  ...times(50 * scale, () => Math.floor(random() * 2 ** between(1, 80))),
  ...times(50 * scale, () => random() * 10 ** between(-10, 25)),
  ...times(100 * scale, randomDouble),
];

// Case.

const letters = Array.from(
  "aAbBzZ019 .-'ÀàÄäßẞİıIiKkÅåΣσςΑαΆάЖжǅǆĐđ\u0130\u0307\u0301\u00ad:ﬁﬀԱաႠⴀᏣꭳꙀꙁ𐐀𐐨😀\u200d中Ω",
);
const cased = () => times(between(0, 10), () => pick(letters)).join("");
const casesByHand = [
  "", "abc", "ABC", "Alice@Example.COM", "[\\]^_`{|}~@", "İstanbul", "I\u0307", "ΟΔΥΣΣΕΥΣ",
  "ΣΑΣ ΣΑΣ.", "Σ", "ΑΣ", "ΑΣ1", "ΑΣ'Α", "ΑΣ\u00adΑ", "ΑΣ:", "Α:Σ", "'Σ", "AΣ😀", "STRASSE", "straße",
  "STRAẞE", "KELVIN \u212a", "\u212bngstrom", "Ω \u2126", "ǅ ǈ ǋ ǲ", "ﬁ ﬀ", "𐐀𐐁", "ᎠᏰ", "ႠჍ", "ᲐᲿ",
];
const caseTexts = () => [...casesByHand, ...times(250 * scale, cased)];
const containsRows = () =>
  [
    ...casesByHand.flatMap((text) => [
      [text, ""],
      ["", text],
      [text, text],
      [text.toUpperCase(), text],
      ["x" + text + "y", text.toLowerCase()],
    ]),
    ["Alice@Example.COM", "example.com"],
    ["Alice@Example.COM", "@EXAMPLE"],
    ["aab", "AB"],
    ["aaaaab", "aab"],
    ["{", "["],
    ["@", "`"],
    ["K", "\u212a"],
    ["\u212a", "k"],
    ["strasse", "ß"],
    ["ß", "SS"],
    ["ΑΣΑ", "ΑΣ"],
    ["ΑΣ Α", "ΑΣ"],
    ["İ", "i"],
    ["İ", "\u0307"],
    ["i", "İ"],
    ...times(150 * scale, () => {
      const text = Array.from(cased());
      const start = below(text.length + 1);
      const part = text.slice(start, start + between(0, 4)).join("");
      return [
        text.join(""),
        chance(0.7) ? part : pick([part.toUpperCase(), part.toLowerCase(), cased()]),
      ];
    }),
    ...times(150 * scale, () => {
      const text = times(between(0, 20), () => pick(Array.from("aAbBcC.@[{"))).join("");
      return [text, times(between(0, 3), () => pick(Array.from("aAbBcC.@[{"))).join("")];
    }),
  ].map(([haystack, needle]) => [
    haystack,
    needle,
    haystack.toLowerCase().includes(needle.toLowerCase()),
  ]);

// Days.

const shiftRows = () =>
  [
    ...[
      "0", "-0", "1", "-1", "1.9", "-1.9", "0.1", "14.9", "15", "15.1", "15.9", "16", "16.5", "30",
      "31", "365", "1e3", "1e-9", "1e8", "2e8", "1e9", "1e16", "1e300", "-1e8", "-1e300", "NaN",
      "Infinity", "-Infinity",
    ].flatMap((days) =>
      [
        Date.UTC(2026, 2, 15, 9, 30, 0, 123),
        Date.UTC(2024, 1, 29),
        0,
        -1,
        8.64e15,
        -8.64e15,
        8.64e15 - 1,
      ].map((now) => [now, Number(days)]),
    ),
    ...[
      [8.64e15, 0],
      [8.64e15, -1],
      [8.64e15, 1e8],
      [8.64e15, 2e8],
      [8.64e15, 200000001],
      [-8.64e15, -2e8],
      [-8.64e15, -200000001],
      [-8.64e15, 0.5],
      [8640000000000001, 0],
      [-8640000000000001, 0],
      [8.64e15, 200000000.5],
    ],
    ...times(200 * scale, () => [between(-62135596800000, 253402300799999), between(-4000, 4000)]),
    ...times(150 * scale, () => [
      between(1600000000000, 1900000000000),
      between(-40000, 40000) / 1000,
    ]),
    ...times(100 * scale, () => [
      between(-8.64e15, 8.64e15),
      pick([1, -1]) * random() * 10 ** between(0, 9),
    ]),
  ].map(([now, days]) => {
    const date = new Date(now);
    date.setDate(date.getDate() - days);
    return [now, written(days), moment(date)];
  });

const written = (number) => {
  if (Object.is(number, -0)) return "-0";
  return Number.isSafeInteger(number) ? number : String(number);
};
const moment = (date) => (Number.isNaN(date.getTime()) ? null : date.getTime());
const unique = (list) => [...new Set(list)];

const sections = {
  numbers: unique(numberTexts()).map((text) => [text, written(Number(text))]),
  // The number by the sixteen hexadecimal digits of its bits.
  number_texts: numbers().map((number) => [
    bits64(number).toString(16).padStart(16, "0"),
    String(number),
  ]),
  dates: unique(dateTexts()).map((text) => [text, moment(new Date(text))]),
  lower_case: unique(caseTexts()).map((text) => [text, text.toLowerCase()]),
  contains: containsRows(),
  shift_days: shiftRows(),
};
const lines = Object.entries(sections).map(
  ([name, rows]) =>
    `${JSON.stringify(name)}: [\n${rows.map((row) => JSON.stringify(row)).join(",\n")}\n]`,
);
process.stdout.write(`{\n${lines.join(",\n")}\n}\n`);
