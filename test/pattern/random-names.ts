import type { Dice } from "../support/random.ts";

/** Pieces of names, byte for byte: not all of them are UTF-8, and some are only beside another. */
const PIECES = [
  "a",
  "a",
  "b",
  "ab",
  "B",
  "0",
  "9",
  ".",
  "-",
  "_",
  " ",
  "\n",
  "\t",
  "$",
  "$HOME",
  "\\",
  "[",
  "]",
  "*",
  "?",
  "!",
  "^",
  "{",
  "}",
  "{now}",
  "(",
  ")",
  "|",
  "+",
  "#",
  "~",
  "%",
  ...["'", '"', ",", ":", "é", "€", "😀", "ﬃ", "\u{e000}", "\ufffd"].map(bytesOf),
  "\xff",
  "\x80",
  "\xe2\x82",
  "\xf0\x9f\x98",
  "\xc3",
  "\xed\xa0\x80",
] as unknown as readonly [string, ...string[]];

/** A file's name, one character for each byte. */
export function randomName(dice: Dice): string {
  const count = 1 + dice.below(3);
  let name = "";
  while (name === "" || name === "." || name === "..") {
    name = Array.from({ length: count }, () => dice.pick(PIECES)).join("");
  }
  return name;
}

/** Paths of files, one to three names deep; no file is where another's directory is. */
export function randomPaths(dice: Dice, count: number, tag: string): string[] {
  const paths = new Set<string>();
  const directories = new Set<string>([""]);
  for (let tries = 0; paths.size < count && tries < count * 20; tries++) {
    const parent = dice.pick([...directories] as [string, ...string[]]);
    const path = parent + bytesOf(tag) + randomName(dice);
    if (paths.has(path) || directories.has(`${path}/`)) continue;
    if (dice.isLucky(0.3) && parent.split("/").length < 3) directories.add(`${path}/`);
    else paths.add(path);
  }
  return [...paths];
}

export function bytesOf(text: string): string {
  return Buffer.from(text).toString("latin1");
}
