const UNITS: Record<string, number> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/**
 * Parses the last size in a line of an engine's output.
 * @returns bytes, as exact as the output; null when there is none
 */
export function parseByteSize(line: string): number | null {
  const sizes = [...line.matchAll(/(\d+(?:\.\d+)?) ([kKMGT]?i?B)\b/g)];
  const [, number = "", unit = ""] = sizes.at(-1) ?? [];
  const factor = UNITS[unit];
  const bytes = factor === undefined ? Number.NaN : Math.round(Number(number) * factor);
  return Number.isSafeInteger(bytes) ? bytes : null;
}
