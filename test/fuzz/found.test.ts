import { describe, expect, test } from "vitest";
import { backup } from "../../agent/providers/restic-backup.ts";
import { readContents } from "../../agent/providers/restic-contents.ts";
import { releaseDeadLocks } from "../../agent/providers/restic-locks.ts";
import { listSnapshots as resticSnapshots } from "../../agent/providers/restic-snapshots.ts";
import { listSnapshots as borgSnapshots } from "../../agent/providers/borg-snapshots.ts";
import type { EngineCall } from "../../agent/providers/engine-calls.ts";
import { accessOf, ENDED_WELL } from "./fake-engine.ts";

// What the fuzzer has found in what restic and borg may print, each once more by itself.

const OLD = "a".repeat(64);

/** A tool that answers each command with that text. */
function saying(tool: "restic" | "borg", answers: Readonly<Record<string, string>>) {
  const engine = { path: `/usr/bin/${tool}`, version: "1.4.0", isAtLeast: () => true };
  return {
    ...{ restic: engine, borg: engine, access: accessOf(tool), callInherited: () => Promise.resolve(0) },
    call({ args, onStdout, onStdoutBytes }: EngineCall) {
      const text = answers[args[0] ?? ""] ?? "";
      for (const line of text.split("\n")) onStdout?.(line);
      onStdoutBytes?.(Buffer.from(text));
      return Promise.resolve(ENDED_WELL);
    },
  };
}

describe("what a tool prints", () => {
  test("a summary that names no snapshot is never taken for the newest that was there before", async () => {
    const listed = JSON.stringify([{ id: OLD, time: "2026-11-22T08:00:00Z", paths: ["/srv"] }]);
    const summary = JSON.stringify({ message_type: "summary", total_files_processed: 1, snapshot_id: "" });
    const runner = saying("restic", { backup: summary, snapshots: listed });
    const input = { sources: ["/srv"], excludes: [], onProgress: () => undefined };
    expect(await backup(runner, input)).toMatchObject({ snapshot: null, failure: { code: "snapshot.not_listed" } });
  });

  test.each(["yesterday", "+275760-09-13T00:00:00Z", ""])("a snapshot's time can't be %j", async (time) => {
    const snapshots = JSON.stringify([{ id: OLD, time }]);
    const list = JSON.stringify({ repository: { id: OLD }, archives: [{ id: OLD, name: "x", start: time }] });
    const unreadable = { failure: { code: "engine.failed", message: expect.stringContaining("can't be read") } };
    await expect(resticSnapshots(saying("restic", { snapshots }))).rejects.toMatchObject(unreadable);
    await expect(borgSnapshots(saying("borg", { list }))).rejects.toMatchObject(unreadable);
  });

  test("an archive that can't be read ends the comparison with a word for it, and not the agent", async () => {
    const header = Buffer.alloc(512);
    header.write("77777777777", 124);
    header.write("x", 156);
    const runner = saying("restic", { dump: header.toString("latin1") });
    const all = { snapshot: OLD, include: [], nodes: [] };
    await expect(readContents(runner, all, () => undefined)).rejects.toMatchObject({
      failure: { code: "engine.failed", message: expect.stringContaining("the archive can't be read") },
    });
  });

  test("a lock that is no JSON is nobody's", async () => {
    const runner = saying("restic", { list: OLD, cat: "{ half" });
    await expect(releaseDeadLocks(runner, { pid: 999_999_999, startTicks: "1@none" })).resolves.toBeUndefined();
  });
});
