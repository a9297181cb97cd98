const formats = new Map<string, Intl.DateTimeFormat>();

/**
 * Whether `name` is an IANA zone, written in its own case as in the time zone database ("Europe/Berlin", "UTC").
 * An old name for another zone ("US/Pacific") is checked for its shape only, since `Intl` answers with the new one.
 */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Z][A-Za-z0-9_+-]*(\/[A-Z][A-Za-z0-9_+-]*)*$/.test(name)) return false;
  try {
    const canonical = new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
    return canonical === name || canonical.toLowerCase() !== name.toLowerCase();
  } catch {
    return false;
  }
}

/** Seconds the zone's clocks are ahead of UTC at an instant (seconds since 1970). Throws a RangeError for an unknown zone. */
export function offsetAt(zone: string, second: number): number {
  if (zone === "UTC") return 0;
  const text = formatOf(zone).format(second * 1000);
  const match = /GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?$/.exec(text);
  if (match === null) throw new Error(`the zone ${zone} has no offset in "${text}"`);
  const [, sign, hours = "0", minutes = "0", seconds = "0"] = match;
  const size = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return sign === "-" ? -size : size;
}

/**
 * The instant at which the zone's clocks show `civil` (seconds, counted as if the clocks were UTC).
 * A time shown twice is the one reached from the offset `guess`; null for a time that is skipped.
 */
export function instantOf(zone: string, civil: number, guess: number): number | null {
  let second = civil - guess;
  for (let probe = 0; probe < 4; probe++) {
    const shown = second + offsetAt(zone, second);
    if (shown === civil) return second;
    second += civil - shown;
  }
  return null;
}

/** The first civil second after the gap that holds `civil`. */
export function gapEnd(zone: string, civil: number): number {
  let before = civil - DAY;
  let after = civil + DAY;
  const start = offsetAt(zone, before);
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (offsetAt(zone, middle) === start) before = middle;
    else after = middle;
  }
  return after + offsetAt(zone, after);
}

const DAY = 86_400;

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
    formats.set(zone, format);
  }
  return format;
}
