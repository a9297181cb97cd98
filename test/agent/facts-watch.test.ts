import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { watchFacts } from "../../agent/daemon/facts-watch.ts";
import { until } from "../support/until.ts";
import { holdTime } from "./held-time.ts";
import { scratchRoot } from "./scratch.ts";

test("a hook or a unit that is put there is noticed at once, also in a hooks.d that came later", async () => {
  const { root, paths } = await scratchRoot();
  const units = join(root, "units");
  await mkdir(units);
  await mkdir(paths.etc, { recursive: true });
  const time = holdTime();
  const calls: string[] = [];
  const stop = watchFacts({
    paths,
    searchPaths: { unitDirectories: [units, join(root, "none")] },
    timers: time.timers,
    onFacts: () => void calls.push("facts"),
    onServices: () => void calls.push("services"),
  });
  onTestFinished(stop);
  /** Repeats what is done until the kernel reports it: a watch begins a moment after it was asked for. */
  const noticed = async (what: string, act: () => Promise<unknown>): Promise<void> => {
    calls.length = 0;
    await until(`${what} to be noticed`, async () => {
      await act();
      await time.advance(1000);
      return calls.includes(what);
    });
  };
  await noticed("services", () => writeFile(join(units, "new.service"), ""));
  await noticed("facts", async () => {
    await rm(paths.hooksDir, { recursive: true, force: true });
    await mkdir(paths.hooksDir);
  });
  await noticed("facts", () => writeFile(join(paths.hooksDir, "stop-it"), ""));
  stop();
  expect(time.pending()).toEqual([]);
});
