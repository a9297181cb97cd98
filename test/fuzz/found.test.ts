import { describe, expect, test } from "vitest";
import { backup } from "../../agent/providers/restic/backup.ts";
import { listNodes as resticNodes, readContents } from "../../agent/providers/restic/contents.ts";
import { removeStaleLocks } from "../../agent/providers/restic/locks.ts";
import { listSnapshots as resticSnapshots } from "../../agent/providers/restic/snapshots.ts";
import { listNodes as borgNodes } from "../../agent/providers/borg/contents.ts";
import { borgFailure } from "../../agent/providers/borg/failures.ts";
import { readProgress } from "../../agent/providers/borg/messages.ts";
import { parseByteSize } from "../../agent/providers/byte-size.ts";
import { listArchives as borgSnapshots } from "../../agent/providers/borg/snapshots.ts";
import type { EngineCall } from "../../agent/providers/engine-calls.ts";
import { accessOf, ENDED_WELL, memoryOf } from "./fake-engine.ts";

// What the fuzzer has found in what restic and borg may print, each once more by itself.

const OLD = "a".repeat(64);

/** A tool that answers each command with that text. */
function saying(tool: "restic" | "borg", answers: Readonly<Record<string, string>>) {
  const engine = { path: `/usr/bin/${tool}`, version: "1.4.0", isAtLeast: () => true };
  return {
    restic: engine,
    cache: null,
    borg: engine,
    access: accessOf(tool),
    callInherited: () => Promise.resolve(0),
    call({ args, onStdout, onStdoutBytes }: EngineCall) {
      const text = answers[args[0] ?? ""] ?? "";
      for (const line of text.split("\n")) onStdout?.(line);
      onStdoutBytes?.(Buffer.from(text));
      return Promise.resolve(ENDED_WELL);
    },
  };
}

describe("what a tool prints", () => {
  test("a summary without a snapshot never stands for the newest existing one", async () => {
    const listed = JSON.stringify([{ id: OLD, time: "2026-11-22T08:00:00Z", paths: ["/srv"] }]);
    const summary = JSON.stringify({ message_type: "summary", total_files_processed: 1, snapshot_id: "" });
    const runner = saying("restic", { backup: summary, snapshots: listed });
    const input = { sources: ["/srv"], excludes: [], onProgress: () => undefined };
    for (const memory of [memoryOf(null), memoryOf([])]) {
      expect(await backup({ runner, memory }, input)).toMatchObject({
        snapshot: null,
        failure: { code: "snapshot.not_listed" },
      });
    }
  });

  test.each(["yesterday", "+275760-09-13T00:00:00Z", ""])("a snapshot's time can't be %j", async (time) => {
    const snapshots = JSON.stringify([{ id: OLD, time }]);
    const list = JSON.stringify({ repository: { id: OLD }, archives: [{ id: OLD, name: "x", start: time }] });
    const unreadable = { failure: { code: "engine.failed", message: expect.stringContaining("can't be read") } };
    await expect(resticSnapshots(saying("restic", { snapshots }))).rejects.toMatchObject(unreadable);
    await expect(borgSnapshots(saying("borg", { list }))).rejects.toMatchObject(unreadable);
  });

  test("an unreadable archive ends the comparison with an error, not the agent", async () => {
    const header = Buffer.alloc(512);
    header.write("77777777777", 124);
    header.write("x", 156);
    const runner = saying("restic", { dump: header.toString("latin1") });
    const all = { snapshot: OLD, include: [], nodes: [] };
    await expect(readContents(runner, all, () => undefined)).rejects.toMatchObject({
      failure: { code: "engine.failed", message: expect.stringContaining("the archive can't be read") },
    });
  });

  test.each(["constructor", "toString", "__proto__", "hasOwnProperty"])(
    "%s is the name of nothing borg knows",
    async (msgid) => {
      const stderr = JSON.stringify({ type: "log_message", levelname: "ERROR", message: "x", msgid });
      const redact = (text: string): string => text;
      const failure = borgFailure({ ...ENDED_WELL, exitCode: 2, stderr }, { what: "list", redact });
      expect(failure).toMatchObject({ code: "engine.failed", message: expect.stringContaining("exited with 2") });
      const node = {
        struct_type: "node",
        type: msgid,
        path: "/srv/a",
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: "2026-11-23T08:00:00Z",
      };
      const item = { type: msgid, path: "srv/a", mode: "-rw-r--r--", uid: 0, gid: 0, mtime: "2026-11-23T08:00:00" };
      const found: unknown[] = [];
      await resticNodes(saying("restic", { ls: JSON.stringify(node) }), OLD, (one) => found.push(one));
      await borgNodes(saying("borg", { list: JSON.stringify(item) }), OLD, (one) => found.push(one));
      expect(found).toEqual([]);
    },
  );

  test("a number the control plane would reject is not sent", () => {
    const line = (current: number): string => JSON.stringify({ type: "progress_percent", current, total: 7 });
    expect([readProgress(line(1e29), 0), readProgress(line(3), 0)]).toMatchObject([null, { bytesDone: 3 }]);
    expect([parseByteSize("total prune: 9 blobs / 99999999999 TiB"), parseByteSize("7 blobs / 2 kB")]).toEqual([
      null,
      2000,
    ]);
  });

  test("a lock that is not JSON has no owner", async () => {
    const runner = saying("restic", { list: OLD, cat: "{ half" });
    await expect(removeStaleLocks(runner, { pid: 999_999_999, startTicks: "1@none" })).resolves.toBeUndefined();
  });
});
