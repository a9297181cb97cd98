import { beforeEach, expect, it } from "vitest";
import type { Paths } from "../../agent/config.ts";
import type { SnapshotContents, SnapshotNode } from "../../agent/providers/contents.ts";
import { putRight } from "../../agent/restore/put-right.ts";
import { openRunLog } from "../../agent/run-log.ts";
import { type KeptOtherwise, readKeptOtherwise, recordKeptOtherwise } from "../../agent/state/kept-otherwise.ts";
import { scratchRoot } from "./scratch.ts";

const OF = { binding: "01930000-0000-7000-8000-000000000001", engineId: "0123456789abcdef0123" };
const OLD: KeptOtherwise = { path: "/data/old", mtime: { us: -1_876_543, storedUs: 0 } };
const LINK: KeptOtherwise = { path: "/data/link", target: Buffer.from([0xff]).toString("base64") };

let paths: Paths;
beforeEach(async () => {
  ({ paths } = await scratchRoot());
});

const record = (snapshot: string, entries: KeptOtherwise[], listed: string[] | null): Promise<void> =>
  recordKeptOtherwise(paths, { ...OF, snapshot, entries, more: 0, listed });
const read = async (snapshot: string) => (await readKeptOtherwise(paths, { ...OF, snapshot })).entries;

it("what a tool could not keep is remembered of each snapshot, as long as it is listed", async () => {
  await record("first", [OLD], ["first"]);
  await record("second", [OLD], ["first", "second"]);
  await record("third", [OLD, LINK], ["first", "second", "third"]);
  expect(await Promise.all(["first", "second", "third", "another"].map(read))).toEqual([[OLD], [OLD], [OLD, LINK], []]);
  await record("fourth", [OLD, LINK], ["second", "fourth"]);
  expect(await Promise.all(["first", "second", "third", "fourth"].map(read))).toEqual([[], [OLD], [], [OLD, LINK]]);
  await record("fifth", [LINK], null);
  expect(await Promise.all(["second", "fifth"].map(read))).toEqual([[OLD], [LINK]]);
});

it("the oldest are forgotten when there are too many", async () => {
  const many = (count: number, name: string): KeptOtherwise[] =>
    Array.from({ length: count }, (_, at) => ({ ...OLD, path: `/data/${name}-${at}` }));
  for (const name of ["first", "second", "third"]) await record(name, many(9_000, name), null);
  const left = await Promise.all(["first", "second", "third"].map(read));
  expect(left.map((entries) => entries.length)).toEqual([0, 9_000, 9_000]);
});

it("an entry that has changed since the host looked at it is as the snapshot says", async () => {
  const node = (path: string, mtimeUs: number): SnapshotNode => ({
    path,
    type: "file",
    size: 0,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeUs,
  });
  const tool: SnapshotContents = {
    keeps: { engine: "borg 1.2.4", oldestMs: 0, newestMs: 1, keepsRawTargets: true },
    replacementChar: "?",
    needsSingleNames: false,
    list: async (snapshot, onNode) => onNode(node(OLD.path, snapshot === "as it was" ? 0 : 5_000_000)),
    readContents: async () => undefined,
    extract: async () => ({ failed: [], failure: null }),
  };
  const times: number[] = [];
  const right = putRight(tool, { entries: [OLD], more: 0, log: openRunLog(Date) });
  for (const snapshot of ["as it was", "changed"]) await right.list(snapshot, ({ mtimeUs }) => times.push(mtimeUs));
  expect(times).toEqual([-1_876_543, 5_000_000]);
});
