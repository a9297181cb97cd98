import { ExcludePattern } from "../../shared/pattern.ts";
import type { Dice } from "../support/random.ts";

/**
 * A pattern that the schema takes, most often made from one of the paths, so that it matches some of them and not
 * others.
 */
export function randomPattern(dice: Dice, paths: readonly string[], tag: string): string {
  for (;;) {
    const path = dice.pick(paths as [string, ...string[]]);
    const names = Buffer.from(path, "latin1").toString("utf8").split("/");
    const from = dice.below(names.length);
    const until = from + 1 + dice.below(names.length - from);
    const parts = names.slice(from, until).map((name) => randomPart(dice, name.slice(tag.length), tag));
    if (dice.isLucky(0.15)) parts.splice(dice.below(parts.length + 1), 0, "**");
    if (dice.isLucky(0.05)) parts.push("");
    if (dice.isLucky(0.05)) parts.splice(dice.below(parts.length), 0, ".");
    const pattern = parts.join("/");
    if (!pattern.includes("\ufffd") && ExcludePattern.safeParse(pattern).success) return pattern;
  }
}

function randomPart(dice: Dice, name: string, tag: string): string {
  if (dice.isLucky(0.05)) return `${tag}*`;
  let part = "";
  for (const character of Array.from(name)) {
    // What was not UTF-8 is U+FFFD here: only a wildcard can stand for it.
    const isBroken = character === "\ufffd";
    const roll = dice.below(100);
    if (roll < 15) part += dice.pick(["*", "*", "?*", "*?", "**", "*[^b]"]);
    else if (roll < (isBroken ? 60 : 28)) part += "?";
    else if (isBroken) part += dice.pick(["*", "[^a]", "[^b-z]", "??"]);
    else if (roll < 40) part += randomClass(dice, character);
    else part += /[\\*?[!]/.test(character) && dice.isLucky(0.8) ? `\\${character}` : character;
  }
  return tag + part;
}

function randomClass(dice: Dice, character: string): string {
  const member = /[\]\\^-]/.test(character) ? `\\${character}` : character;
  return dice.pick([
    `[${member}]`,
    `[^${member}]`,
    `[x${member}]`,
    `[^a${member}]`,
    `[${member}a-c]`,
    "[^é€]",
    "[+-9]",
    "[ -~]",
    "[^ -~]",
    "[a-é]",
    "[\u{80}-\u{d7ff}]",
    "[\u{10000}-\u{10ffff}]",
    `[!${member}]`,
  ] as [string, ...string[]]);
}
