import type { Dice } from "../support/random.ts";

/** What has broken other programs: sizes, signs, words that languages and databases take for something else. */
const ODD: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  0.5,
  1e308,
  -1e308,
  5e-324,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  1e21,
  "",
  " ",
  "\0",
  "a\0b",
  "\ud800",
  "\udc00x",
  "\u202e",
  "\ufeff",
  "ﬀ",
  "🦊",
  "\n",
  "\r\n",
  "\\",
  "'",
  '"',
  "%00",
  "%s",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "undefined",
  "NaN",
  "Infinity",
  "null",
  "true",
  "1e999",
  "../../etc/passwd",
  "/",
  "//",
  "/.",
  "/..",
  "/dev/zero",
  "~",
  "-rf",
  "--",
  "$(id)",
  "`id`",
  "${x}",
  "*",
  "?",
  "[",
  "!",
  "0",
  "-1",
  "007",
  "0x10",
  "1_000",
  "99999999999999999999",
  "9999-99-99T99:99:99.999Z",
  "1970-01-01T00:00:00.000Z",
  "+275760-09-13T00:00:00.000Z",
  "2026-02-30T00:00:00.000Z",
  "01936f0e-0000-7000-8000-000000000000",
  "daily",
  "* * * * *",
  "' or 1=1 --",
  "x'); drop table hosts; --",
  "http://[::ffff:7f00:1]/",
  "file:///etc/passwd",
  "javascript:1",
  "a@b@c",
  [],
  {},
  [[]],
  [{}],
  { "": "" },
  [null],
  ["", ""],
];

export function one<T>(dice: Dice, choices: readonly T[]): T {
  const chosen = choices[dice.below(choices.length)];
  if (chosen === undefined && choices.length === 0) throw new Error("there is nothing to choose from");
  return chosen as T;
}

/** Values of real traffic, by the key they stood under: one that is right elsewhere is often the worst. */
export type Spare = ReadonlyMap<string, readonly unknown[]>;

export const NO_SPARE: Spare = new Map();

/** A value nobody meant. */
export function oddValue(dice: Dice, spare: Spare): unknown {
  if (dice.isLucky(0.01))
    return dice.pick(["a", "\ud800", "é", "[", "{", "9"]).repeat(dice.pick([300, 5_000, 70_000, 300_000]));
  if (dice.isLucky(0.01))
    return Array.from({ length: dice.pick([101, 1001, 10_001]) }, () => structuredClone(one(dice, ODD)));
  if (dice.isLucky(0.2)) return dice.below(2 ** 31) * dice.pick([1, -1, 2 ** 22, 1e-9]);
  if (dice.isLucky(0.3) && spare.size > 0) return anySpare(dice, spare);
  if (dice.isLucky(0.1))
    return String.fromCharCode(...Array.from({ length: dice.below(12) }, () => dice.below(0x1_0000)));
  // A copy: what is spoiled next may be this.
  return structuredClone(one(dice, ODD));
}

function anySpare(dice: Dice, spare: Spare): unknown {
  return structuredClone(one(dice, one(dice, [...spare.values()])));
}

/** A copy of a JSON value with one to four places of it spoiled. */
export function spoilValue(dice: Dice, value: unknown, spare: Spare): unknown {
  const root = { value: structuredClone(value) };
  for (let left = 1 + (dice.isLucky(0.4) ? dice.below(4) : 0); left > 0; left--) spoilOnce(dice, root, spare);
  return root.value;
}

type Parent = Record<string, unknown> | unknown[];

function spoilOnce(dice: Dice, root: { value: unknown }, spare: Spare): void {
  const places = placesOf(root);
  const { parent, key } = one(dice, places);
  const there = read(parent, key);
  const known = spare.get(key) ?? [];
  if (known.length > 0 && dice.isLucky(0.25)) return put(parent, key, structuredClone(one(dice, known)));
  switch (dice.below(9)) {
    case 0:
      return remove(parent, key);
    case 1:
      return put(
        parent,
        one(dice, ["", "x", "id", "__proto__", "constructor", "kind", `${key}s`]),
        oddValue(dice, spare),
      );
    case 2:
      put(parent, `${key}${dice.pick(["", " ", "s", "\0"])}`, there);
      return remove(parent, key);
    case 3: {
      const other = one(dice, places);
      return put(parent, key, structuredClone(read(other.parent, other.key)));
    }
    case 4:
      return put(parent, key, dice.isLucky(0.5) ? [there] : { [key]: there });
    case 5:
      return put(parent, key, typeof there === "string" ? spoilText(dice, there) : String(there));
    case 6:
      if (Array.isArray(there)) return put(parent, key, repeated(there, dice.pick([2, 3, 101])));
      return put(
        parent,
        key,
        typeof there === "number" ? there + dice.pick([1, -1, 0.5, 1e15]) : oddValue(dice, spare),
      );
    default:
      return put(parent, key, oddValue(dice, spare));
  }
}

const MOST_PLACES = 400;

function placesOf(root: { value: unknown }): { parent: Parent; key: string }[] {
  const places: { parent: Parent; key: string }[] = [{ parent: root, key: "value" }];
  for (let index = 0; index < places.length && places.length < MOST_PLACES; index++) {
    const place = places[index];
    const value = place === undefined ? null : read(place.parent, place.key);
    if (typeof value !== "object" || value === null) continue;
    for (const key of Object.keys(value).slice(0, 50)) places.push({ parent: value as Parent, key });
  }
  return places;
}

function read(parent: Parent, key: string): unknown {
  return Object.getOwnPropertyDescriptor(parent, key)?.value;
}

/** Also `__proto__`, as a key like others: that is how JSON.parse has it. */
function put(parent: Parent, key: string, value: unknown): void {
  const at = Array.isArray(parent) && !/^\d+$/.test(key) ? `${parent.length}` : key;
  Object.defineProperty(parent, at, { value, enumerable: true, configurable: true, writable: true });
}

function remove(parent: Parent, key: string): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}

function repeated(items: readonly unknown[], times: number): unknown[] {
  return items.length * times > 5_000 ? [...items] : Array.from({ length: times }, () => items).flat();
}

const PIECES = [
  "\0",
  "\n",
  "\ud800",
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "-",
  ".",
  "e9",
  "9",
  " ",
  "/",
  "%",
  "é",
  "🦊",
  "\ufeff",
];

/** A text with one to three places of it spoiled. */
export function spoilText(dice: Dice, text: string): string {
  let spoiled = text;
  for (let left = 1 + dice.below(3); left > 0; left--) {
    const at = dice.below(spoiled.length + 1);
    const to = Math.min(spoiled.length, at + dice.below(dice.pick([2, 8, 200])));
    const [head, middle, tail] = [spoiled.slice(0, at), spoiled.slice(at, to), spoiled.slice(to)];
    switch (dice.below(7)) {
      case 0:
        spoiled = head;
        break;
      case 1:
        spoiled = head + tail;
        break;
      case 2:
        spoiled = head + middle + middle + tail;
        break;
      case 3:
        spoiled = head + one(dice, PIECES).repeat(dice.pick([1, 1, 1, 40])) + tail;
        break;
      case 4:
        spoiled = head + String.fromCharCode(dice.below(dice.pick([128, 0x1_0000]))) + middle.slice(1) + tail;
        break;
      case 5:
        spoiled = tail + head;
        break;
      default:
        spoiled = head + middle.split("").toReversed().join("") + tail;
    }
  }
  return spoiled;
}

/** Bytes with some bits of them flipped, cut, doubled or of another file altogether. */
export function spoilBytes(dice: Dice, bytes: Uint8Array): Buffer {
  let spoiled = Buffer.from(bytes);
  for (let left = 1 + dice.below(4); left > 0; left--) {
    const at = dice.below(spoiled.length + 1);
    switch (dice.below(6)) {
      case 0:
        spoiled = spoiled.subarray(0, at);
        break;
      case 1:
        spoiled = Buffer.concat([spoiled.subarray(0, at), spoiled.subarray(at + 1 + dice.below(512))]);
        break;
      case 2:
        spoiled = Buffer.concat([
          spoiled.subarray(0, at),
          Buffer.alloc(1 + dice.below(600), dice.below(256)),
          spoiled.subarray(at),
        ]);
        break;
      default:
        if (at < spoiled.length) spoiled[at] = (spoiled[at] ?? 0) ^ (1 << dice.below(8));
    }
  }
  return spoiled;
}

/** A JSON text of a value, as whoever writes one by hand might have it: at times not one at all. */
export function spoilJson(dice: Dice, value: unknown, spare: Spare): string {
  const text = JSON.stringify(spoilValue(dice, value, spare)) ?? "";
  if (dice.isLucky(0.12)) return spoilText(dice, text);
  // The same key twice, and numbers that no double holds: what JSON.stringify never writes.
  if (dice.isLucky(0.05))
    return text.replace("{", `{${dice.pick(['"name":1,', '"kind":"x",', '"__proto__":{"x":1},'])}`);
  if (dice.isLucky(0.01)) return text.replace(/:("[^"]*"|\d+|null)/, () => `:${nested(dice)}`);
  if (dice.isLucky(0.05))
    return text.replace(/\d+/, dice.pick(["1e999", "-1e999", "123456789012345678901234567890", "-0"]));
  return text;
}

/** Deeper than any function that calls itself can follow. */
function nested(dice: Dice): string {
  const depth = dice.pick([100, 2_000, 50_000]);
  const [open, close] = dice.pick([
    ["[", "]"],
    ['{"a":', "}"],
  ]);
  return `${open.repeat(depth)}1${close.repeat(depth)}`;
}
