const encoder = new TextEncoder();

/** Text that is safe to show: without control characters and bidirectional overrides. */
export function printable(text: string): string {
  return (
    text
      .toWellFormed()
      .replace(/\r\n?/g, "\n")
      // oxlint-disable-next-line no-control-regex -- removing them is the point
      .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, " ")
  );
}

/** Cuts text to `max` UTF-16 units, with an ellipsis where it was cut. Never splits a surrogate pair. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** As `cut`, counted in bytes of UTF-8. */
export function cutBytes(text: string, max: number): string {
  if (encoder.encode(text).length <= max) return text;
  let rest = cut(text, Math.min(text.length - 1, max));
  while (encoder.encode(rest).length > max) rest = cut(rest, Math.min(rest.length - 1, Math.floor(rest.length * 0.9)));
  return rest;
}
