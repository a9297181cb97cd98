const encoder = new TextEncoder();

/** As people may be shown it: no control characters, and none that turn the direction of what follows. */
export function printable(text: string): string {
  return (
    text
      .toWellFormed()
      .replace(/\r\n?/g, "\n")
      // oxlint-disable-next-line no-control-regex -- removing them is the point
      .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, " ")
  );
}

/** @returns at most so many UTF-16 units, with an ellipsis where something was cut off; never half a character */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  return `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** As `cut`, counted in bytes of UTF-8. */
export function cutBytes(text: string, most: number): string {
  if (encoder.encode(text).length <= most) return text;
  let rest = cut(text, Math.min(text.length - 1, most));
  while (encoder.encode(rest).length > most) rest = cut(rest, Math.min(rest.length - 1, Math.floor(rest.length * 0.9)));
  return rest;
}
