import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { acquireLock } from "../../agent/state/locks.ts";
import { processRefOf } from "../../agent/system/process/process-ref.ts";

let locksDir: string;
beforeEach(async () => {
  locksDir = await mkdtemp(join(tmpdir(), "holdfast-locks-"));
});
afterEach(() => rm(locksDir, { recursive: true, force: true }));

const forever = new AbortController().signal;
const take = (signal = forever, onWait: () => void = () => undefined) =>
  acquireLock({ locksDir }, { name: "nas", signal, onWait });

it("is held by one run at a time, and by the next one once it is released", async () => {
  const order: string[] = [];
  const first = await take();
  let waits = 0;
  const second = take(forever, () => waits++).then((lock) => {
    order.push("second has it");
    return lock;
  });
  const third = acquireLock({ locksDir }, { name: "other", signal: forever, onWait: () => undefined });
  await (await third).release();
  order.push("first gives it back");
  await first.release();
  await (await second).release();
  expect(order).toEqual(["first gives it back", "second has it"]);
  expect(waits).toBeLessThanOrEqual(1);
  expect(await readdir(locksDir)).toEqual([]);
});

it("is never held by two runs, however many wait for it", async () => {
  let holders = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      const lock = await take();
      most = Math.max(most, ++holders);
      await Promise.resolve();
      holders--;
      await lock.release();
    }),
  );
  expect(most).toBe(1);
});

it("is broken although the process that began to break it died and the clock was set back a day", async () => {
  const dead = { ...processRefOf(process.pid), pid: 999_999_999, token: "its" };
  await writeFile(join(locksDir, "nas.lock"), JSON.stringify(dead));
  await writeFile(join(locksDir, "nas.lock.break"), "");
  const tomorrow = Date.now() / 1000 + 86_400;
  await utimes(join(locksDir, "nas.lock.break"), tomorrow, tomorrow);
  await (await take()).release();
  expect(await readdir(locksDir)).toEqual([]);
});

it("of a process that is gone is broken, one of a living process is not", async () => {
  const child = spawn("sleep", ["60"]);
  const mark = processRefOf(child.pid ?? 0);
  await writeFile(join(locksDir, "nas.lock"), JSON.stringify({ ...mark, token: "its" }));
  const stop = new AbortController();
  const waiting = take(stop.signal, () => stop.abort(new Error("it waits")));
  await expect(waiting).rejects.toThrow("it waits");
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
  await (await take()).release();
});

it("with the pid of a later process is broken as well", async () => {
  await writeFile(
    join(locksDir, "nas.lock"),
    JSON.stringify({ pid: process.pid, startTicks: "1@00000000", token: "old" }),
  );
  const lock = await take();
  expect(await readFile(join(locksDir, "nas.lock"), "utf8")).not.toContain('"old"');
  await lock.release();
});

it("left half-written by a power cut is broken", async () => {
  await writeFile(join(locksDir, "nas.lock"), "");
  const lock = await take();
  expect(await readFile(join(locksDir, "nas.lock"), "utf8")).toContain(`"pid":${process.pid}`);
  await lock.release();
});

it("is respected by another process", async () => {
  const lock = await take();
  const script = `
    import { acquireLock } from ${JSON.stringify(join(import.meta.dirname, "../../agent/state/locks.ts"))};
    const signal = AbortSignal.timeout(1500);
    const taken = await acquireLock({ locksDir: ${JSON.stringify(locksDir)} }, { name: "nas", signal, onWait() {} }).then(() => "taken", () => "refused");
    process.stdout.write(taken);`;
  const said = execFileSync(process.execPath, ["--input-type=module-typescript", "-e", script], { encoding: "utf8" });
  await lock.release();
  expect(said).toBe("refused");
});
