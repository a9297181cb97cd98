import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAtLeast } from "../../agent/providers/engine-version.ts";
import { everyVersion, type FoundEngine, IS_WHOLE, oldestAndNewest } from "../support/engines.ts";
import { type EngineHost, openEngineHost, type Work } from "./engine-host.ts";
import { ODDITIES } from "./oddities.ts";

/** What becomes of each kind, by what: the columns of the table in docs/restore.md. */
const COLUMNS = ["restic 0.14", "restic 0.16 and newer", "borg 1.2 and 1.4"];
const DOCUMENTED = readTable(readFileSync(join(import.meta.dirname, "../../docs/restore.md"), "utf8"));

// The oldest restic and the oldest borg have all that a newer one has, and more.
const ENGINES = IS_WHOLE
  ? [...everyVersion("restic"), ...everyVersion("borg")]
  : [oldestAndNewest("restic")[0], oldestAndNewest("borg")[0]];

describe.each(ENGINES)("odd entries with $provider $version", (engine) => {
  let host: EngineHost;
  let data: string;
  let work: Work;
  const before = new Map<string, unknown>();
  const documented = DOCUMENTED.get(columnOf(engine)) ?? {};

  beforeAll(async () => {
    host = await openEngineHost(engine);
    data = join(host.root, "data");
    for (const [index, { what, make, read }] of ODDITIES.entries()) {
      const place = join(data, String(index));
      mkdirSync(place, { recursive: true });
      await make(place);
      before.set(what, read(place));
    }
    work = host.work({ settings: { retention: { keep_last: 1 } } });
  });
  afterAll(async () => {
    unprotect();
    await host.close();
  });
  // A special file is an error to it.
  const unprotect = (): void => void spawnSync("chattr", ["-R", "-f", "-ia", host.root], { stdio: "ignore" });

  /** What is there of each kind below a directory. */
  const found = (root: string): Record<string, string> =>
    Object.fromEntries(
      ODDITIES.map(({ what, read }, index): [string, string] => {
        const place = join(root, String(index));
        if (readdirSync(place).length === 0) return [what, "left out"];
        return [what, isDeepStrictEqual(read(place), before.get(what)) ? "kept" : "otherwise"];
      }),
    );

  it("are warned of when the tool can't keep them, and put right where this host remembers them", async () => {
    expect(Object.keys(documented)).toEqual(ODDITIES.map(({ what }) => what));
    const isPutRight = Object.values(documented).includes("put right");
    const stored = await host.backup(work);
    expect(stored).toMatchObject({ state: isPutRight ? "warned" : "succeeded", failure: null });
    expect(stored.warnings).toHaveLength(isPutRight ? 1 : 0);
    if (isPutRight) expect(stored.warnings[0]).toMatch(engine.provider === "borg" ? TIMES : TARGETS);
    const { log } = await host.report({ kind: "backup" });
    expect(log.split("\n").filter((line) => line.includes("sockets are not restored"))).toHaveLength(1);
    // What the tool can't keep is there for good: the retention works all the same.
    expect(log).not.toContain("old snapshots are not removed");

    unprotect();
    rmSync(data, { recursive: true });
    const inPlace = await host.restore(work, {});
    expect(inPlace).toMatchObject({ state: "succeeded", failure: null, stats: { filesDiffering: 0 } });
    expect(found(data)).toEqual(
      Object.fromEntries(
        Object.entries(documented).map(([what, fate]) => [what, fate === "put right" ? "kept" : fate]),
      ),
    );

    for (const name of readdirSync(host.paths.bindingsDir)) {
      if (name.includes("kept-otherwise")) rmSync(join(host.paths.bindingsDir, name));
    }
    const elsewhere = join(host.root, "by-another-host");
    expect(await host.restore(work, { target: elsewhere })).toMatchObject({ state: "succeeded", failure: null });
    expect(found(join(elsewhere, data))).toEqual(
      Object.fromEntries(
        Object.entries(documented).map(([what, fate]) => [what, fate === "put right" ? "otherwise" : fate]),
      ),
    );
  });
});

const TIMES = /^borg \S+ does not store times before 1970-01-01 or after 2038-01-17, .* and 19 more$/;
const TARGETS = /^restic \S+ stores another target for links whose target is not UTF-8: \S+, \S+$/;

function columnOf({ provider, version }: FoundEngine): string {
  if (provider === "borg") return "borg 1.2 and 1.4";
  return isAtLeast(version, "0.16.0") ? "restic 0.16 and newer" : "restic 0.14";
}

/** Of each column, the cells by the first cell of their row. */
function readTable(text: string): Map<string, Record<string, string>> {
  const columns = new Map<string, Record<string, string>>(COLUMNS.map((column) => [column, {}]));
  const lines = text.split("\n");
  const head = lines.findIndex((line) => COLUMNS.every((column) => line.includes(`| ${column} `)));
  for (const line of lines.slice(head + 2)) {
    const [, what, ...cells] = line.split(" | ").flatMap((cell, at) => (at === 0 ? ["", cell.slice(2)] : [cell]));
    if (what === undefined || cells.length !== COLUMNS.length) break;
    for (const [at, column] of COLUMNS.entries()) {
      Object.assign(columns.get(column) ?? {}, { [what]: cells[at]?.replace(/ \|$/, "").trim() });
    }
  }
  return columns;
}
