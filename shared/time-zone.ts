// Intl knows more three-letter names than the time zone database, such as IST, which three countries claim.
const THREE_LETTER_NAMES = new Set([
  "CET",
  "EET",
  "EST",
  "GMT",
  "HST",
  "MET",
  "MST",
  "PRC",
  "ROC",
  "ROK",
  "UCT",
  "UTC",
  "WET",
]);
const formats = new Map<string, Intl.DateTimeFormat>();

// Words in zone names that are not written as a capital and small letters.
const ODD_WORDS = new Map(
  "ACT BajaNorte BajaSur CET CHAT ComodRivadavia CST6CDT DeNoronha EasterIsland EET EST EST5EDT GB GMT GMT0 HST IN LHI MET MST MST7MDT NSW NZ PRC PST8PDT ROC ROK SU UCT US UTC WET"
    .split(" ")
    .map((word) => [word.toLowerCase(), word]),
);

/** Whether `name` is an IANA zone, written as in the time zone database ("Europe/Berlin", "US/Pacific", "UTC"). */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Z][A-Za-z0-9_+-]*(\/[A-Z][A-Za-z0-9_+-]*)*$/.test(name)) return false;
  if (name.startsWith("SystemV/") || (/^[A-Z]{3}$/.test(name) && !THREE_LETTER_NAMES.has(name))) return false;
  try {
    const canonical = new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
    // Intl accepts any case, and answers an old name with the new one: then only the words can be checked.
    return canonical === name || (canonical.toLowerCase() !== name.toLowerCase() && name === withOwnCase(name));
  } catch {
    return false;
  }
}

function withOwnCase(name: string): string {
  return name.replaceAll(/[A-Za-z0-9]+/g, (word) => {
    const lower = word.toLowerCase();
    return ODD_WORDS.get(lower) ?? lower.charAt(0).toUpperCase() + lower.slice(1);
  });
}

/**
 * Seconds the zone's clocks are ahead of UTC at an instant (seconds since 1970). Throws a RangeError for an unknown
 * zone.
 */
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
 * When the zone's clocks show a time. `instants`: earliest first, two where the clocks go back, none where they skip
 * it. `jump`: by how much the clocks change from the day before to the day after.
 * @param civil what the clocks show, in seconds, counted as if they showed UTC
 */
export function instantsShowing(zone: string, civil: number): { instants: number[]; jump: number } {
  const before = offsetAt(zone, civil - DAY);
  const after = offsetAt(zone, civil + DAY);
  if (before === after) return { instants: [civil - before], jump: 0 };
  const instants = [before, after]
    .filter((offset) => offsetAt(zone, civil - offset) === offset)
    .map((offset) => civil - offset);
  return { instants, jump: after - before };
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
