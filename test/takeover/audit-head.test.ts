import { eq, sql } from "drizzle-orm";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { acceptChainHead } from "../../agent/link/chain-head.ts";
import { chainHeadTroubles } from "../../agent/state/chain-head.ts";
import { audit, marks } from "../../control/db/schema/service.ts";
import { adaptRestoredDatabase } from "../../control/domain/service/control-restore.ts";
import { CHAIN_HEAD_HEADER } from "../../shared/checkpoint.ts";
import { testControl, type TestControl } from "../support/control.ts";

// A host remembers the newest entry of the control plane's audit, so that one which was rewritten shows.

async function rememberingHost(control: TestControl) {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-head-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const paths = { chainHeadFile: join(directory, "chain-head.json") };
  const host = await control.enrol("one");
  const config = { url: "http://control.test", host: host.id, name: "one", audience: "a", controlKey: host.controlKey };
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const pull = async (): Promise<string | null> => {
    control.pass(60_000);
    const head = (await host.send("GET", "/agent/v1/orders")).headers.get(CHAIN_HEAD_HEADER);
    if (head !== null) await acceptChainHead({ paths, config, log }, head);
    return head;
  };
  return { host, pull, lines, paths, troubles: () => chainHeadTroubles(paths) };
}

/** A copy of the audit, and the way back to it. */
async function copyOf({ deps: { db } }: TestControl) {
  const rows = await db.select().from(audit);
  const [mark] = await db.select().from(marks).where(eq(marks.name, "audit"));
  return async () => {
    await db.delete(audit);
    await db.insert(audit).values(rows);
    if (mark !== undefined) await db.update(marks).set(mark).where(eq(marks.name, "audit"));
  };
}

const change = ({ admin }: TestControl) => admin.send("POST", "/api/v1/enrollments", {});

test("an older copy of the audit, right in itself, is reported by the hosts until a person has looked", async () => {
  const control = await testControl({ onError: () => undefined });
  const one = await rememberingHost(control);
  await change(control);
  await one.pull();
  const goBack = await copyOf(control);
  for (let count = 0; count < 3; count++) await change(control);
  await one.pull();
  expect(await one.troubles()).toEqual([]);
  await goBack();
  await one.pull();
  expect(await one.troubles()).toMatchObject([{ code: "audit.rewritten", subject: one.paths.chainHeadFile }]);
  // Longer again, it was rewritten all the same.
  for (let count = 0; count < 5; count++) await change(control);
  await one.pull();
  expect(await one.troubles()).toHaveLength(1);
});

test("an entry of the same number with another content is reported", async () => {
  const control = await testControl({ onError: () => undefined });
  const one = await rememberingHost(control);
  await change(control);
  const goBack = await copyOf(control);
  await change(control);
  await one.pull();
  await goBack();
  await change(control);
  await one.pull();
  expect(await one.troubles()).toMatchObject([{ message: expect.stringContaining("another one") }]);
});

test("a control plane restored from its own backup explains it by a signed checkpoint; a second time does not count", async () => {
  const control = await testControl({ onError: () => undefined });
  const one = await rememberingHost(control);
  await change(control);
  const goBack = await copyOf(control);
  for (let count = 0; count < 3; count++) await change(control);
  await one.pull();
  await goBack();
  const from = { host: "", binding: "", snapshot: "a".repeat(64), takenAt: "2026-11-23T08:00:00.000Z", moved: null };
  await adaptRestoredDatabase(control.deps, { ...from, staging: { directory: "/srv", user: "root" } });
  await one.pull();
  expect(await one.troubles()).toEqual([]);
  expect(one.lines).toEqual([expect.stringContaining("its audit begins again after entry")]);
  for (let count = 0; count < 3; count++) await change(control);
  await one.pull();
  await goBack();
  await one.pull();
  expect(await one.troubles()).toHaveLength(1);
});

test("a head that nobody signed, of another host or sent again is ignored; a forged mark gives none", async () => {
  const control = await testControl({ onError: () => undefined });
  const one = await rememberingHost(control);
  const other = await rememberingHost({ ...control, enrol: () => control.enrol("two") });
  await change(control);
  const old = await one.pull();
  await change(control);
  await one.pull();
  const before = await readFile(one.paths.chainHeadFile, "utf8");
  const config = { url: "u", host: one.host.id, name: "one", audience: "a", controlKey: one.host.controlKey };
  const foreign = await other.pull();
  for (const head of [old, foreign, "invented"])
    await acceptChainHead({ paths: one.paths, config, log: () => undefined }, head ?? "");
  expect(await readFile(one.paths.chainHeadFile, "utf8")).toBe(before);
  await control.deps.db.update(marks).set({ value: sql`json_set(value, '$.sequence', 1)` });
  expect(await one.pull()).toBeNull();
});
