import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { openApi, requestTimeoutMs } from "../../agent/link/api.ts";
import { loadOrCreateIdentity } from "../../agent/link/identity.ts";
import { deliverReports, startReporter } from "../../agent/link/reporter.ts";
import { openSpool } from "../../agent/state/spool.ts";
import { ErrorBody } from "../../shared/failure.ts";
import { Reports } from "../../shared/report.ts";
import type { Report } from "../../shared/report.ts";
import { entryOf, idOf } from "./entry.ts";
import { holdTime } from "./held-time.ts";
import { scratchRoot } from "./scratch.ts";
import { configOf, makeSigner, newId } from "./signer.ts";

type Answer =
  | "accept"
  | "commit and hang up"
  | "hang up"
  | "accept nothing"
  | { refuseWith: (reports: Report[]) => number | null };

/** A control plane that does nothing but take reports, as badly as a test wants. */
async function bench() {
  const { paths } = await scratchRoot();
  const committed: { id: string; sequence: number }[] = [];
  const batches: number[] = [];
  let answers: Answer[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const { reports } = Reports.parse(JSON.parse(body));
    batches.push(reports.length);
    const answer = answers[0] ?? "accept";
    const refusal = typeof answer === "object" ? answer.refuseWith(reports) : null;
    // How to refuse stays; the other answers are for one request each.
    if (typeof answer !== "object") answers.shift();
    if (answer === "hang up") return void request.socket.destroy();
    const isTaken = refusal === null && answer !== "accept nothing";
    if (isTaken) {
      for (const report of reports) {
        if (report.type === "run") committed.push({ id: report.run.id, sequence: report.sequence });
      }
    }
    if (answer === "commit and hang up") return void request.socket.destroy();
    const ids = reports.map((report) => (report.type === "run" ? report.run.id : report.id));
    const refused = ErrorBody.parse({ error: { code: "request.invalid", message: "no" } });
    response.writeHead(refusal ?? 200, { "content-type": "application/json" });
    response.end(JSON.stringify(refusal === null ? { accepted: isTaken ? ids : [] } : refused));
  };
  const server = createServer((request, response) => void serve(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = configOf(await makeSigner(), { url, audience: url });
  const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
  const api = openApi({ config, identity: await loadOrCreateIdentity(paths), clock: Date, random });
  const spool = openSpool(paths);
  const accepted: string[] = [];
  const lines: string[] = [];
  const deps = {
    spool,
    api,
    log: (line: string) => void lines.push(line),
    onAccepted: async (ids: readonly string[]) => void accepted.push(...ids),
  };
  return {
    deps,
    spool,
    committed,
    accepted,
    batches,
    lines,
    answer: (...next: Answer[]) => void (answers = next),
    held: async () => (await spool.list()).length,
  };
}

test("finished runs are delivered, acknowledged and removed; running ones are delivered and kept", async () => {
  const { deps, spool, committed, accepted } = await bench();
  const [over, running] = [entryOf("succeeded"), entryOf("running", 1)];
  await spool.write(over);
  await spool.write(running);

  expect(await deliverReports(deps)).toBe(0);
  expect(committed.map(({ id }) => id)).toEqual([idOf(over), idOf(running)]);
  expect(accepted).toEqual([idOf(over), idOf(running)]);
  expect((await spool.list()).map(idOf)).toEqual([idOf(running)]);
});

test("a connection cut between commit and answer: delivered again, removed once", async () => {
  const { deps, spool, committed, answer, held } = await bench();
  const over = entryOf("failed");
  await spool.write(over);
  answer("hang up", "commit and hang up", "commit and hang up");
  for (let cut = 0; cut < 3; cut++) await expect(deliverReports(deps)).rejects.toMatchObject({ kind: "offline" });
  expect(await held()).toBe(1);

  await deliverReports(deps);
  expect(committed).toEqual(Array.from({ length: 3 }, () => ({ id: idOf(over), sequence: 2 })));
  expect(await held()).toBe(0);
});

test("a report that a 200 answer does not name is sent again", async () => {
  const { deps, spool, answer, held, accepted } = await bench();
  await spool.write(entryOf("succeeded"));
  answer("accept nothing");
  expect(await deliverReports(deps)).toBe(1);
  expect(await held()).toBe(1);
  expect(accepted).toEqual([]);
  expect(await deliverReports(deps)).toBe(0);
  expect(await held()).toBe(0);
});

test("a run that changed while its report was being sent is kept and sent again", async () => {
  const { deps, spool, committed, held } = await bench();
  const running = entryOf("running", 1);
  await spool.write(running);
  const seen = { accepted: new Map<string, number>(), rejected: new Set<string>() };
  const end = entryOf("succeeded", 2, idOf(running));
  await deliverReports({ ...deps, onAccepted: () => spool.write(end) }, seen);
  expect(await held()).toBe(1);
  await deliverReports(deps, seen);
  expect(committed.map(({ sequence }) => sequence)).toEqual([1, 2]);
  expect(await held()).toBe(0);
});

test("a run with a pending cleanup stays in the spool until the cleanup is done, even if it was accepted", async () => {
  const { deps, spool, held } = await bench();
  const after = { user: "root", timeLimitMs: 1000, binding: "photos-disk", contract: "photos", hooks: [], resume: [] };
  const withCleanup = { ...entryOf("interrupted"), after };
  await spool.write(withCleanup);
  const seen = { accepted: new Map<string, number>(), rejected: new Set<string>() };
  expect(await deliverReports(deps, seen)).toBe(0);
  expect(await held()).toBe(1);
  await spool.write({ ...withCleanup, after: null });
  await deliverReports(deps, seen);
  expect(await held()).toBe(0);
});

test("many reports go in batches of at most a hundred, and long logs in smaller ones", async () => {
  const { deps, spool, batches, held } = await bench();
  for (let index = 0; index < 230; index++) await spool.write(entryOf("succeeded"));
  await deliverReports(deps);
  expect(batches).toEqual([100, 100, 30]);

  batches.length = 0;
  for (let index = 0; index < 40; index++) await spool.write(entryOf("succeeded", 2, newId(), "x".repeat(60_000)));
  await deliverReports(deps);
  expect(batches.length).toBeGreaterThan(1);
  expect(await held()).toBe(0);
});

test("the largest batch has enough time at 4 kB/s, and a request without a body has half a minute", () => {
  // As many characters as a batch may have, give or take the last report's log.
  expect(requestTimeoutMs(1_000_000)).toBeGreaterThan((1_000_000 / 4_000) * 1000);
  expect(requestTimeoutMs(0)).toBe(30_000);
});

test("a report that the control plane rejects is kept and logged, and does not block the others", async () => {
  const { deps, spool, answer, committed, lines } = await bench();
  const entries = Array.from({ length: 9 }, () => entryOf("succeeded"));
  const bad = entries[4];
  for (const entry of entries) await spool.write(entry);
  answer({
    refuseWith: (reports) =>
      reports.some((report) => bad !== undefined && report.type === "run" && report.run.id === idOf(bad)) ? 400 : null,
  });
  expect(await deliverReports(deps)).toBe(1);
  expect(committed).toHaveLength(8);
  expect((await spool.list()).map(idOf)).toEqual(bad === undefined ? [] : [idOf(bad)]);
  expect(lines).toEqual([expect.stringContaining("rejected the report of")]);
});

test("the reporter retries with growing pauses, and does not resend unchanged reports", async () => {
  const { deps, spool, answer, batches, held } = await bench();
  const time = holdTime();
  const running = entryOf("running", 1);
  await spool.write(running);
  answer("hang up", "hang up");
  const reporter = startReporter({ ...deps, timers: time.timers, random: () => 1 });
  const settled = async (wait: number): Promise<void> => {
    await expect.poll(() => time.pending()).toEqual([wait]);
    await time.advance(wait);
  };
  await settled(4_000);
  await settled(8_000);
  await settled(60_000);
  await settled(60_000);
  expect(batches).toHaveLength(3);

  await spool.write(entryOf("succeeded", 2, idOf(running)));
  await reporter.stop();
  expect(await held()).toBe(0);
});
