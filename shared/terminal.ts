/**
 * For a terminal: control characters, and those that turn or hide text, as the escapes that JSON has for them. Names
 * and messages come from hosts, storage and servers. Line feeds and tabs stay; JSON stays the JSON it was.
 */
export function forTerminal(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character === "\n" || character === "\t" ? character : escaped(character),
  );
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
