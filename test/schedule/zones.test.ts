import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isTimeZone } from "../../shared/time-zone.ts";
import { askSystemd, systemdAnalyzeIsHere } from "./systemd.ts";

const directory = "/usr/share/zoneinfo";
/**
 * What the machine's zone files hold beside zones: its own choice, an unset one, and the same zones under another count
 * of seconds.
 */
const NO_ZONES = /^(posix|right|localtime|posixrules|Factory)(\/|$)/;

test.skipIf(!systemdAnalyzeIsHere)(
  "every zone of the time zone database is known, in its own case and no other",
  async () => {
    const names = readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((name) => !NO_ZONES.test(name) && statSync(join(directory, name)).isFile())
      .filter((name) => !name.includes("."));
    const capitals = (name: string, pattern: RegExp): string =>
      name.toLowerCase().replaceAll(pattern, (letter) => letter.toUpperCase());
    const written = new Set(
      names.flatMap((name) => [
        name,
        name.toLowerCase(),
        name.toUpperCase(),
        capitals(name, /(?<=^|\/)[a-z]/g),
        capitals(name, /(?<=^|[/_-])[a-z]/g),
      ]),
    );
    const texts = [...written].filter((name) => name.toLowerCase() !== "utc" && !/^(leap|tzdata)/.test(name));
    const theirs = await askSystemd(
      texts.map((name) => `12:00 ${name}`),
      0,
      "UTC",
      1,
    );
    expect(names.length).toBeGreaterThan(400);
    expect(texts.filter((name, index) => isTimeZone(name) !== (theirs[index] !== null))).toEqual([]);
  },
);
