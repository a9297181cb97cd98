import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it, onTestFinished } from "vitest";
import { processRefOf } from "../../agent/system/process/process-ref.ts";
import { startActivityMonitor } from "../../agent/run/activity.ts";
import type { Progress } from "../../shared/run.ts";

/** A child in a session of its own, as the agent's are, that is there as long as the test. */
async function child(script: string) {
  const started = spawn("bash", ["-c", script], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
  const { pid } = started;
  if (pid === undefined) throw new Error("bash did not start");
  onTestFinished(async () => {
    const ended = once(started, "exit");
    process.kill(-pid, "SIGKILL");
    await ended;
  });
  await once(started.stdout, "data");
  const mark = processRefOf(pid);
  if (mark === null) throw new Error("it is gone");
  return mark;
}

function activity() {
  const reported: Progress[] = [];
  const listeners = new Set<() => void>();
  const begun = startActivityMonitor(
    { now: Date.now },
    (progress) => {
      reported.push(progress);
      for (const each of listeners) each();
    },
    100,
  );
  onTestFinished(() => begun.stop());
  /** What it says after so many more times. */
  const after = async (times: number): Promise<number> => {
    const until = reported.length + times;
    while (reported.length < until) {
      await new Promise<void>((resolve) => {
        const hear = (): void => {
          listeners.delete(hear);
          resolve();
        };
        listeners.add(hear);
      });
    }
    return reported.at(-1)?.worked ?? -1;
  };
  return { begun, after, reported };
}

it("grows while the run's processes read, and stands still while they hang, despite their output", async () => {
  const { begun, after, reported } = activity();
  begun.progress({ fraction: 0.5, bytesDone: 7, at: "2026-11-23T08:00:00.000Z" });
  const hangs = await child("while :; do echo '{\"percent_done\":0.5}'; sleep 0.1; done");
  begun.addProcess(hangs);
  const seen = await after(2);
  expect(await after(3)).toBe(seen);
  expect(reported.at(-1)).toMatchObject({ fraction: 0.5, bytesDone: 7 });
  begun.addProcess(await child("echo; (while :; do head -c 10000000 /dev/zero >/dev/null; sleep 0.05; done) & wait"));
  const started = await after(1);
  while ((await after(1)) < started + 3) expect(reported.length).toBeLessThan(1000);
});

it("counts waiting for another run as activity", async () => {
  const { begun, after } = activity();
  expect(await after(2)).toBe(0);
  let free = (): void => {};
  const wait = begun.whileWaiting(new Promise<void>((resolve) => (free = resolve)));
  expect(await after(2)).toBe(2);
  free();
  await wait;
  expect(await after(2)).toBe(2);
});
