const utf8 = new TextDecoder("utf-8", { fatal: true });

/** A name as an engine's listing shows it: each byte that is not UTF-8 is replaced by `standIn`. */
export function shownName(name: Buffer, standIn: string): string {
  try {
    return utf8.decode(name);
  } catch {
    let text = "";
    for (let at = 0; at < name.length;) {
      const length = [1, 2, 3, 4].find((size) => isWhole(name.subarray(at, at + size)));
      text += length === undefined ? standIn : name.toString("utf8", at, at + length);
      at += length ?? 1;
    }
    return text;
  }
}

function isWhole(bytes: Buffer): boolean {
  try {
    return utf8.decode(bytes).length > 0;
  } catch {
    return false;
  }
}
