import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Paths } from "../../agent/config.ts";
import { readContractState, updateContractState } from "../../agent/declared/contract-state.ts";
import { rememberAppendOnly, wasAppendOnly } from "../../agent/state/append-only.ts";
import { beginForgetGate, readForgetGate } from "../../agent/state/forget-gate.ts";
import { readNewestGood, recordGoodSnapshot } from "../../agent/state/good-snapshot.ts";
import { readMade, recordMade } from "../../agent/state/made-snapshots.ts";
import { acknowledgeOrders, removeExpiredOrders, type OrderDeps, acceptOrders } from "../../agent/link/orders.ts";
import { knownEngineIds, storeEngineId } from "../../agent/providers/engine-ids.ts";
import { nextDueAt, startScheduler } from "../../agent/daemon/scheduler.ts";
import { readSourceHistory, writeSourceHistory } from "../../agent/state/source-history.ts";
import { findTroubles } from "../../agent/state/troubles.ts";
import { changeUpkeep, readUpkeep } from "../../agent/state/upkeep-state.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { type Dice, diceOf } from "../support/random.ts";
import { holdTime } from "./held-time.ts";
import { scratchRoot } from "./scratch.ts";
import { assignmentOf, configOf, makeSigner, newId, orderOf } from "./signer.ts";

const ROUNDS = 60;

/** For what writes a thousand times: a real disk is asked each time whether it has it. */
async function inMemory(): Promise<Paths> {
  const { paths } = await scratchRoot();
  const disk = mountSmallDisk(paths.state, 16_384);
  onTestFinished(() => disk.unmount());
  return paths;
}

/** What a disk, or a power cut, makes of a file. */
function damaged(bytes: Buffer, dice: Dice): Buffer {
  const copy = Buffer.from(bytes);
  const at = dice.below(copy.length);
  switch (dice.below(5)) {
    case 0:
      copy[at] = (copy[at] ?? 0) ^ (1 << dice.below(8));
      return copy;
    case 1:
      return copy.subarray(0, at);
    case 2:
      return Buffer.alloc(0);
    case 3:
      return copy.fill(0, at);
    default:
      return Buffer.from(copy.map((byte, index) => (index < at ? byte : dice.below(256))));
  }
}

interface Memory<T> {
  readonly file: string;
  /** What may be read of a file that was damaged, besides what it held. */
  readonly safe: unknown;
  readonly read: () => Promise<T>;
}

/**
 * Damages the file in many ways: each time what is read is what was written, or what is safe, and the file is kept and
 * told.
 */
async function damageOften<T>(paths: Paths, { file, safe, read }: Memory<T>): Promise<void> {
  const [good, before] = [await readFile(file), await read()];
  const dice = diceOf(7);
  let noticed = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await writeFile(file, damaged(good, dice));
    const found: unknown = await read().catch((error: unknown) => (error instanceof Error ? error.message : error));
    if (JSON.stringify(found) === JSON.stringify(before)) continue;
    noticed++;
    expect(found).toEqual(safe);
  }
  expect(noticed).toBeGreaterThan(ROUNDS / 2);
  await writeFile(file, good);
  await rm(`${file}.unreadable`, { force: true });
  expect(await read()).toEqual(before);
  expect(await findTroubles(paths)).toEqual([]);
}

test("damaged agent state is read unchanged or treated as lost, never as something else", async () => {
  const paths = await inMemory();
  const binding = newId();
  await updateContractState(paths, { settled: "digest" });
  const nothing = { texts: {}, refused: [], rejected: null, settled: null };
  await damageOften(paths, { file: paths.contractsFile, safe: nothing, read: () => readContractState(paths) });

  await writeSourceHistory(paths, binding, { of: "x", sizes: [{ files: 3, bytes: 9 }], mounts: { "/srv": "/srv" } });
  await damageOften(paths, {
    file: join(paths.state, "sources", `${binding}.json`),
    safe: { of: "", sizes: [], mounts: {} },
    read: () => readSourceHistory(paths, binding),
  });
  // Nothing is removed by a memory that is not whole.
  await recordGoodSnapshot(paths, { binding, snapshot: "a".repeat(64), at: "2026-11-23T08:00:00.000Z" });
  await damageOften(paths, {
    file: join(paths.bindingsDir, `${binding}.good.json`),
    safe: expect.stringContaining("is damaged: nothing is removed"),
    read: () => readNewestGood(paths, binding),
  });
});

test("a damaged record of the snapshots that were made, or of append-only repositories, lets nothing be removed", async () => {
  const paths = await inMemory();
  const subject = { binding: newId(), engineId: "e".repeat(64) };
  await recordMade({ paths, clock: Date }, { ...subject, snapshot: "a".repeat(64), stats: { filesTotal: 3 } });
  await damageOften(paths, {
    file: join(paths.bindingsDir, `${subject.binding}.made-${"e".repeat(16)}.json`),
    safe: { snapshots: [], isComplete: false, wasDamaged: true, newest: null },
    read: () => readMade(paths, subject),
  });
  await beginForgetGate(paths, { binding: subject.binding, retention: { keep_last: 3 } });
  await damageOften(paths, {
    file: join(paths.bindingsDir, `${subject.binding}.forget.json`),
    safe: { retention: null, most: [], waiting: null },
    read: () => readForgetGate(paths, subject.binding),
  });
  const place = { location: "/srv/backup", engineId: subject.engineId };
  await rememberAppendOnly(paths, place);
  await damageOften(paths, {
    file: join(paths.state, "append-only.json"),
    safe: expect.stringContaining("was damaged: nothing is removed"),
    read: () => wasAppendOnly(paths, place),
  });
});

test("a repository whose stored id is damaged is never treated as new, nor as checked", async () => {
  const paths = await inMemory();
  const [repository] = assignmentOf(newId(), 1).repositories;
  if (repository === undefined) throw new Error("no repository");
  await storeEngineId(paths, repository, "e".repeat(64));
  const file = join(paths.repositoriesDir, `${repository.id}.json`);
  const read = () => knownEngineIds(paths, repository);
  await damageOften(paths, { file, safe: expect.stringContaining("was damaged"), read });

  // Where the control plane knows it as well, backups go on.
  await writeFile(file, "");
  expect(await knownEngineIds(paths, { ...repository, engineId: "e".repeat(64) })).toEqual(["e".repeat(64)]);
  await expect(read()).rejects.toThrow("was damaged");
  expect(await findTroubles(paths)).toMatchObject([{ code: "state.damaged", subject: `${file}.unreadable` }]);

  await changeUpkeep(paths, repository.id, { nextPart: 3, damagedSince: "2026-11-23T08:00:00.000Z" });
  const upkeep = join(paths.repositoriesDir, `${repository.id}.upkeep.json`);
  await rm(`${file}.unreadable`);
  const lost = { nextPart: 1, damagedSince: null, prune: null, check: null, isForgotten: true };
  await damageOften(paths, { file: upkeep, safe: lost, read: () => readUpkeep(paths, repository.id) });
});

test("an order whose record is damaged is not run again, and one that expired before the limit never", async () => {
  const paths = await inMemory();
  const signer = await makeSigner();
  const config = configOf(signer);
  const time = holdTime();
  const refused: string[] = [];
  const deps: OrderDeps = {
    paths,
    config,
    clock: time.clock,
    isGranted: async () => true,
    isKnown: async () => false,
    refuse: async (code) => void refused.push(code),
  };
  const order = orderOf(config.host, { expiresAt: "2026-11-25T08:00:00.000Z" });
  const jws = await signer.sign(order, JWS_TYPES.order);
  expect(await acceptOrders(deps, [jws])).toHaveLength(1);
  await acknowledgeOrders(deps, [order.id]);
  await writeFile(join(paths.ordersDir, `${order.id}.json`), "");
  for (let pull = 0; pull < 3; pull++) expect(await acceptOrders(deps, [jws])).toEqual([]);
  expect(refused).toContain("order.replayed");
  expect(await findTroubles(paths)).toMatchObject([{ code: "state.damaged" }]);

  await writeFile(join(paths.ordersDir, "floor.json"), "{");
  await removeExpiredOrders(deps);
  time.jump(-48 * 3_600_000);
  const old = orderOf(config.host, { expiresAt: "2026-11-22T12:00:00.000Z" });
  expect(await acceptOrders(deps, [await signer.sign(old, JWS_TYPES.order)])).toEqual([]);
});

test("a lost schedule starts fresh: it runs at its next time, not at once", async () => {
  const paths = await inMemory();
  const time = holdTime();
  const assignment = assignmentOf(newId(), 1, {
    timerConfig: { OnCalendar: "hourly", RandomizedDelaySec: "0" },
    zone: "UTC",
  });
  const [binding] = assignment.bindings;
  if (binding === undefined) throw new Error("no binding");
  const file = join(paths.bindingsDir, `${binding.id}.json`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, "\0".repeat(200));
  const now = { now: time.clock.now(), zone: "UTC" };
  expect(await nextDueAt(paths, { kind: "backup", binding }, now)).toBe(now.now + 3_600_000);
  const dues: unknown[] = [];
  const deps = { ...time, paths, zone: "UTC", log: () => undefined, assignment: () => assignment };
  const scheduler = startScheduler({ ...deps, onDue: (due) => dues.push(due) });
  await scheduler.wake();
  scheduler.stop();
  expect(dues).toEqual([]);
  expect(await findTroubles(paths)).toMatchObject([{ code: "state.damaged", subject: `${file}.unreadable` }]);
});
