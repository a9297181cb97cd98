import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ApiError } from "../../agent/link/api.ts";
import { startDetector } from "../../agent/detect/detector.ts";
import type { Detection } from "../../shared/catalog.ts";
import { holdTime } from "../agent/held-time.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { configOf, makeSigner } from "../agent/signer.ts";
import { until } from "../support/until.ts";

const HOUR = 60 * 60_000;

/** A detector over one unit that can come and go, and a control plane that takes what it tells. */
async function bench(change: { host?: string; type?: string } = {}) {
  const { root, paths } = await scratchRoot();
  const signer = await makeSigner();
  const config = configOf(signer);
  const time = holdTime();
  const units = join(root, "units");
  await mkdir(units);
  const reported: Detection[][] = [];
  const lines: string[] = [];
  const state = { asked: 0, isOffline: false };
  const probes = [{ entry: "radarr", layout: "debian", units: ["radarr.service"] }];
  const payload = { host: change.host ?? config.host, issuedAt: "2026-11-23T08:00:00.000Z", probes };
  const jws = await signer.sign(payload, change.type ?? "holdfast-probes+jws");
  const check = (): void => {
    if (state.isOffline) throw new ApiError("offline", "nobody answers");
  };
  const start = (): void => {
    const { stop } = startDetector({
      config,
      paths,
      clock: time.clock,
      timers: time.timers,
      random: () => 0.5,
      searchPaths: { unitDirectories: [units], sockets: [] },
      log: (line) => lines.push(line),
      api: {
        getProbes: async () => {
          check();
          state.asked++;
          return jws;
        },
        putDetections: async (detections) => {
          check();
          reported.push(detections);
        },
      },
    });
    onTestFinished(stop);
  };
  /** Until it has looked, it sets no timer. */
  const looked = () => until("a look", () => time.pending().length === 1);
  const after = async (milliseconds: number): Promise<void> => {
    await looked();
    await time.advance(milliseconds);
    await looked();
  };
  const policy = async (text: string): Promise<void> => {
    await mkdir(dirname(paths.policyJson), { recursive: true });
    await writeFile(paths.policyJson, text, { mode: 0o644 });
  };
  return { start, looked, after, reported, lines, state, policy, unit: join(units, "radarr.service") };
}

test("detections are reported at once, on changes, and daily; probes are fetched daily", async () => {
  const { start, after, looked, reported, state, unit } = await bench();
  start();
  await looked();
  expect(reported).toEqual([[]]);
  await after(HOUR);
  expect(reported).toHaveLength(1);
  await writeFile(unit, "");
  await after(HOUR);
  expect(reported.slice(1)).toMatchObject([[{ entry: "radarr" }]]);
  for (let hour = 0; hour < 23; hour++) await after(HOUR);
  expect([reported.length, state.asked]).toEqual([2, 2]);
  await after(HOUR);
  expect(reported).toHaveLength(3);
});

test("without a control plane it retries soon, and logs nothing, because others log it already", async () => {
  const { start, after, looked, reported, lines, state } = await bench();
  state.isOffline = true;
  start();
  await looked();
  state.isOffline = false;
  await after(HOUR / 12);
  expect([reported, lines]).toEqual([[[]], []]);
});

test("when root forbids it, nothing is fetched, probed or reported, and earlier reports are withdrawn", async () => {
  const { start, after, looked, reported, state, unit, policy } = await bench();
  await writeFile(unit, "");
  start();
  await looked();
  await policy('{"detect":false}');
  await after(HOUR);
  expect(reported).toMatchObject([[{ entry: "radarr" }], []]);
  expect(state.asked).toBe(1);
});

test.each([
  ["for another host", { host: "01936f0e-0000-7000-8000-000000000000" }, "is for host 01936f0e"],
  ["that is another kind of JWS", { type: "holdfast-assignment+jws" }, "is signed as holdfast-assignment+jws"],
])("a list of probes %s is rejected, and that is logged once", async (_what, change, says) => {
  const { start, after, looked, reported, lines } = await bench(change);
  start();
  await looked();
  await after(HOUR);
  expect(reported).toEqual([]);
  expect(lines).toEqual([expect.stringContaining(says)]);
});
