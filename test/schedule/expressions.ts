import * as fc from "fast-check";

/**
 * Zones whose clocks jump in every way there is: at midnight, by half an hour, by a day, backwards for winter, not at
 * all.
 */
export const ZONES = [
  "UTC",
  "Europe/Berlin",
  "Europe/Dublin",
  "Atlantic/Azores",
  "America/New_York",
  "America/Havana",
  "America/St_Johns",
  "America/Santiago",
  "America/Sao_Paulo",
  "America/Caracas",
  "Africa/Cairo",
  "Asia/Beirut",
  "Asia/Kathmandu",
  "Asia/Tehran",
  "Asia/Amman",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "Pacific/Chatham",
  "Pacific/Kiritimati",
  "Antarctica/Troll",
];

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "monday", "Wednesday", "SUN"];
const SHORTHANDS = [
  "minutely",
  "hourly",
  "daily",
  "weekly",
  "monthly",
  "quarterly",
  "semiannually",
  "semi-annually",
  "biannually",
  "Bi-Annually",
  "yearly",
  "Annually",
  "anually",
];
const ODD_ZONES = ["utc", "Utc", "EST5EDT", "US/Pacific", "Us/Pacific", "Etc/GMT-14", "Asia/Calcutta", "europe/berlin"];

const weekday = fc.constantFrom(...WEEKDAYS);
const weekdayEntry = fc.oneof(
  { weight: 3, arbitrary: weekday },
  fc.tuple(weekday, fc.constantFrom("..", "..", "-"), weekday).map((parts) => parts.join("")),
);
const weekdays = fc
  .tuple(fc.array(weekdayEntry, { minLength: 1, maxLength: 3 }), fc.constantFrom("", "", "", ",", "  "))
  .map(([entries, end]) => entries.join(",") + end);

function spans(
  from: number,
  to: number,
  number: fc.Arbitrary<string> = fc.integer({ min: from, max: to }).map(String),
) {
  const step = fc.integer({ min: 1, max: Math.max(2, Math.floor((to - from) / 2)) }).map((value) => `/${value}`);
  const entry = fc.oneof(
    { weight: 4, arbitrary: number },
    {
      weight: 2,
      arbitrary: fc.tuple(number, number).map((ends) => ends.toSorted((a, b) => Number(a) - Number(b)).join("..")),
    },
    { weight: 1, arbitrary: fc.tuple(number, number, step).map(([a, b, stride]) => `${a}..${b}${stride}`) },
    { weight: 2, arbitrary: fc.tuple(number, step).map((parts) => parts.join("")) },
  );
  const list = fc.array(entry, { minLength: 1, maxLength: 3 }).map((entries) => entries.join(","));
  return fc.oneof({ weight: 1, arbitrary: fc.constant("*") }, { weight: 2, arbitrary: list });
}

const padded = (to: number) => fc.integer({ min: 0, max: to }).map((value) => String(value).padStart(2, "0"));
const wholeSeconds = spans(0, 59);
const brokenSeconds = spans(
  0,
  59,
  fc
    .tuple(fc.integer({ min: 0, max: 58 }), fc.integer({ min: 0, max: 999 }))
    .map(([whole, part]) => `${whole}.${part}`),
);

const time = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(padded(23), padded(59)).map((parts) => parts.join(":")) },
  { weight: 3, arbitrary: fc.tuple(spans(0, 23), spans(0, 59)).map((parts) => parts.join(":")) },
  { weight: 2, arbitrary: fc.tuple(spans(0, 23), spans(0, 59), wholeSeconds).map((parts) => parts.join(":")) },
  { weight: 1, arbitrary: fc.tuple(spans(0, 23), spans(0, 59), brokenSeconds).map((parts) => parts.join(":")) },
);
const year = fc.oneof(
  { weight: 6, arbitrary: fc.constant("*") },
  { weight: 1, arbitrary: spans(2015, 2060) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 99 }).map(String) },
);
const date = fc.oneof(
  fc.tuple(year, spans(1, 12), spans(1, 31)).map((parts) => parts.join("-")),
  fc.tuple(spans(1, 12), spans(1, 31)).map((parts) => parts.join("-")),
  fc.tuple(year, spans(1, 12), spans(1, 28)).map(([y, m, d]) => `${y}-${m}~${d}`),
  fc.tuple(spans(1, 12), spans(1, 28)).map((parts) => parts.join("~")),
  fc.constantFrom("*-*-*", "*-2-29", "*-02~1", "*-10..11-*"),
);

const body = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...SHORTHANDS) },
  { weight: 2, arbitrary: fc.tuple(weekdays, time).map((parts) => parts.join(" ")) },
  { weight: 1, arbitrary: weekdays },
  { weight: 3, arbitrary: time },
  { weight: 2, arbitrary: date },
  { weight: 3, arbitrary: fc.tuple(date, time).map((parts) => parts.join(" ")) },
  { weight: 3, arbitrary: fc.tuple(weekdays, date, time).map((parts) => parts.join(" ")) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 5_000_000_000 }).map((second) => `@${second}`) },
);

/** An expression of the grammar; a few are refused for what they say. */
export const expression = fc.oneof(
  { weight: 5, arbitrary: body },
  { weight: 1, arbitrary: fc.tuple(body, fc.constantFrom(...ZONES, ...ODD_ZONES)).map((parts) => parts.join(" ")) },
);

/** An expression with a few characters lost, doubled, changed or added. */
export const damagedExpression = fc
  .tuple(
    expression,
    fc.array(fc.tuple(fc.nat(), fc.constantFrom(..."0159*-~:,./ TMou@".split(""), "..", "")), {
      minLength: 1,
      maxLength: 2,
    }),
  )
  .map(([text, edits]) =>
    edits.reduce((damaged, [seed, piece]) => {
      const at = seed % (damaged.length + 1);
      return damaged.slice(0, at) + piece + damaged.slice(at + (seed % 3 === 0 ? 0 : 1));
    }, text),
  );
