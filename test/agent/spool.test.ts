import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import type { Paths } from "../../agent/config.ts";
import { openSpool } from "../../agent/state/spool.ts";
import { type SpoolEntry } from "../../agent/state/spool-entry.ts";
import { findTroubles, watchTroubles } from "../../agent/state/troubles.ts";
import type { HostTrouble } from "../../shared/host.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { entryOf, idOf } from "./entry.ts";
import { holdTime } from "./held-time.ts";
import { scratchRoot } from "./scratch.ts";
import { newId } from "./signer.ts";

const START = Date.parse("2026-11-23T08:00:00.000Z");

function idAt(minute: number): string {
  return uuidv7(START + minute * 60_000, crypto.getRandomValues(new Uint8Array(10)));
}

test("on a full disk no run starts, finished ones are delivered from memory, and all works again once there is space", async () => {
  const { paths } = await scratchRoot();
  const disk = mountSmallDisk(paths.spoolDir, 256);
  onTestFinished(() => disk.unmount());
  const spool = openSpool(paths);
  const running = entryOf("running", 1);
  const elsewhere = entryOf("running", 1);
  for (const entry of [running, elsewhere]) await spool.write(entry);
  await spool.ensureWritable();
  expect(spool.troubles()).toEqual([]);

  disk.fill();
  await expect(spool.ensureWritable()).rejects.toThrow("ENOSPC");
  await expect(spool.write(entryOf("running"))).rejects.toThrow("ENOSPC");
  const [over, gone] = [entryOf("succeeded", 2, idOf(running)), entryOf("failed", 2, idOf(elsewhere))];
  for (const entry of [over, gone]) await spool.write(entry);
  expect((await spool.list()).map(stateOf).toSorted(byName)).toEqual(["failed", "succeeded"]);
  expect(await findTroubles(paths, spool)).toMatchObject([{ code: "disk.full", subject: paths.spoolDir }]);
  expect((await readdir(paths.spoolDir)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  // What is on the disk is still what was written last, whole.
  expect((await openSpool(paths).list()).map(stateOf)).toEqual(["running", "running"]);
  await spool.removeIfUnchanged(idOf(gone), 2);
  expect((await spool.list()).map(idOf)).toEqual([idOf(over)]);

  disk.empty();
  expect((await spool.list()).map(stateOf)).toEqual(["succeeded"]);
  expect((await openSpool(paths).list()).map(stateOf)).toEqual(["succeeded"]);
  expect(spool.troubles()).toEqual([]);
});

test("reports are trimmed before they are dropped, oldest first; running runs are never touched", async () => {
  const paths = await inMemory();
  const bounds = { entries: 40, bytes: 120_000 };
  const spool = openSpool(paths, bounds);
  const binding = newId();
  const going = entryOf("running", 1, idAt(0));
  await spool.write(going);
  const withCleanup = { ...entryOf("failed", 2, idAt(1), "x".repeat(4000)), after: CLEANUP };
  await spool.write(withCleanup);
  let minute = 2;
  const end = async (): Promise<void> =>
    spool.write(withList(entryOf("succeeded", 2, idAt(minute++), "x".repeat(4000)), binding));
  const held = async (): Promise<SpoolEntry[]> => await openSpool(paths, bounds).list();
  const have = async (what: (entry: SpoolEntry) => boolean): Promise<number> => (await held()).filter(what).length;

  while (spool.troubles().length === 0) await end();
  // Said before anything is gone.
  expect(spool.troubles()).toMatchObject([{ code: "spool.full", subject: paths.spoolDir }]);
  const whole = await held();
  expect(whole.every(hasLog)).toBe(true);

  while (minute < 38) await end();
  const pared = await held();
  expect(pared).toHaveLength(38);
  expect(pared.slice(2).map(hasLog)).toEqual(
    pared
      .slice(2)
      .map(hasLog)
      .toSorted((one, other) => Number(one) - Number(other)),
  );
  expect(pared[2]).toMatchObject({
    report: { run: { state: "succeeded" }, log: expect.stringContaining("log dropped") },
  });
  expect(hasLog(pared.at(-1))).toBe(true);

  for (let more = 0; more < 60; more++) await end();
  expect(await have(() => true)).toBeLessThanOrEqual(40);
  const ids = (await held()).map(idOf);
  expect(ids.slice(0, 2)).toEqual([idOf(going), idOf(withCleanup)]);
  expect((await held())[1]).toMatchObject({ after: CLEANUP, report: { log: "x".repeat(4000) } });
  // The newest list of the binding's snapshots outlives the others.
  expect(await have(({ report }) => report.type === "run" && report.snapshots !== null)).toBeGreaterThan(0);
  expect((await held()).at(-1)).toMatchObject({ report: { snapshots: [{ id: "a" }] } });

  const kept = ids.length;
  const [lost] = (await findTroubles(paths)).filter(({ code }) => code === "spool.full");
  expect(lost?.message).toContain(`${98 - kept} run reports were dropped`);
});

test("a damaged spool file is moved aside and reported, and the others are delivered", async () => {
  const paths = await inMemory();
  const spool = openSpool(paths);
  const entry = entryOf("succeeded", 2, newId(), "all went well");
  const other = entryOf("succeeded");
  for (const one of [entry, other]) await spool.write(one);
  const file = join(paths.spoolDir, `${idOf(entry)}.json`);
  const good = await readFile(file);
  for (let at = 0; at < good.length; at += 7) {
    const bad = Buffer.from(good);
    bad[at] = (bad[at] ?? 0) ^ 4;
    await writeFile(file, bad);
    const found = (await spool.list()).find((one) => idOf(one) === idOf(entry));
    // Either as it was, or not at all: never something else.
    if (found !== undefined) expect(found).toEqual(entry);
  }
  for (const bad of [good.subarray(0, 100), Buffer.alloc(0), Buffer.alloc(good.length)]) {
    await writeFile(file, bad);
    expect((await spool.list()).map(idOf)).toEqual([idOf(other)]);
  }
  expect(await findTroubles(paths)).toMatchObject([{ code: "spool.damaged", subject: `${file}.unreadable` }]);
});

test("troubles are checked every minute, and each change is reported once", async () => {
  const time = holdTime();
  const trouble: HostTrouble = { code: "disk.full", subject: "/var", message: "no room" };
  let found: HostTrouble[] = [trouble];
  let changes = 0;
  const stop = watchTroubles({ timers: time.timers, find: async () => found }, () => changes++);
  const counts: number[] = [];
  for (const next of [[trouble], [], [], [trouble]]) {
    found = next;
    await time.advance(60_000);
    await setImmediate();
    counts.push(changes);
  }
  expect(counts).toEqual([0, 1, 1, 2]);
  stop();
  expect(time.pending()).toEqual([]);
});

/** For what writes a thousand times: a real disk is asked each time whether it has it. */
async function inMemory(): Promise<Paths> {
  const { paths } = await scratchRoot();
  const disk = mountSmallDisk(paths.spoolDir, 16_384);
  onTestFinished(() => disk.unmount());
  return paths;
}

const CLEANUP = { user: "root", timeLimitMs: 1000, binding: "b", contract: "c", hooks: [], resume: [] };

function stateOf({ report }: SpoolEntry): string {
  return report.type === "run" ? report.run.state : "refusal";
}

function hasLog(entry: SpoolEntry | undefined): boolean {
  const report = entry?.report;
  return report?.type === "run" && (report.run.state === "running" || report.log.startsWith("x"));
}

function withList(entry: SpoolEntry, binding: string): SpoolEntry {
  const { report } = entry;
  if (report.type !== "run") return entry;
  const snapshots = [{ id: "a", takenAt: "2026-11-23T08:00:00.000Z", paths: ["/srv"], bytesTotal: 1 }];
  return { ...entry, report: { ...report, snapshots, run: { ...report.run, binding } } };
}

function byName(one: string, other: string): number {
  return one < other ? -1 : 1;
}
