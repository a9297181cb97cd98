import * as z from "zod";
import { isSelected, type NodeContent, type NodeType, type Selection, type SnapshotNode } from "../contents.ts";
import { RunError } from "../../run-error.ts";
import type { BorgRunner } from "./command.ts";
import { borgFailure } from "./failures.ts";
import { readMessage } from "./messages.ts";
import { selectBelow } from "./selection.ts";

/** What borg's listings show for a byte that is not UTF-8. */
export const STAND_IN = "?";

/** A Map, so that no name collides with JavaScript's own properties. */
const TYPES = new Map<string, NodeType>(
  Object.entries({
    "-": "file",
    d: "dir",
    l: "symlink",
    p: "fifo",
    s: "socket",
    c: "chardev",
    b: "blockdev",
  }),
);

/** As `ls -l` shows it. `source` is the first name of a hard link. */
const Item = z.object({
  type: z.string(),
  path: z.string(),
  mode: z.string().length(10),
  uid: z.int(),
  gid: z.int(),
  size: z.int().optional(),
  mtime: z.string(),
  source: z.string().optional(),
  flags: z.int().nullish(),
});

/** Bits of BSD, which borg uses on every system, and the letters of Linux's chattr for them. */
const FLAGS = [
  [0x01, "d"],
  [0x02, "i"],
  [0x04, "a"],
  [0x20, "c"],
] as const;

/** See SnapshotContents.list. */
export async function listNodes(
  runner: BorgRunner,
  archive: string,
  onNode: (node: SnapshotNode) => void,
): Promise<void> {
  await list(runner, { archive, format: "{type}{path}{mode}{uid}{gid}{size}{mtime}{source}{flags}" }, (line) => {
    const item = readMessage(Item, line);
    const type = item === null ? undefined : TYPES.get(item.type);
    if (item === null || type === undefined) return;
    const { path, uid, gid, size = 0, mtime, source = "" } = item;
    const isSecondName = type === "file" && source !== "";
    const flags = flagLetters(item.flags ?? 0);
    const facts = { type, uid, gid, mode: permissions(item.mode), mtimeUs: microseconds(mtime) };
    onNode({ path: `/${path}`, size: isSecondName ? null : size, ...facts, ...(flags === "" ? {} : { flags }) });
  });
}

const Content = z.object({
  type: z.string(),
  path: z.string(),
  source: z.string().optional(),
  linktarget: z.string().optional(),
  sha256: z.string().optional(),
});

/** See SnapshotContents.readContents. Borg itself computes the checksum of every file from its chunks. */
export async function readContents(
  runner: BorgRunner,
  { archive, include }: { archive: string; include: readonly string[] },
  onContent: (content: NodeContent) => void,
): Promise<void> {
  /** Hard links whose first name, which has the content, is not selected. */
  const orphans = new Map<string, string[]>();
  const read = (which: readonly string[], onItem: (item: z.infer<typeof Content>) => void): Promise<void> => {
    const call = { archive, format: "{type}{path}{source}{linktarget}{sha256}", include: which };
    return list(runner, call, (line) => {
      const item = readMessage(Content, line);
      if (item !== null) onItem(item);
    });
  };
  await read(include, ({ type, source = "", linktarget = "", sha256 = "", ...item }) => {
    const path = `/${item.path}`;
    const none = { path, sha256: null, linkTarget: null, sameFileAs: null };
    if (type === "l" && !linktarget.includes(STAND_IN)) onContent({ ...none, linkTarget: Buffer.from(linktarget) });
    if (type !== "-") return;
    const first = `/${source}`;
    if (source === "") onContent({ ...none, sha256 });
    else if (isSelected(first, { include })) onContent({ ...none, sameFileAs: first });
    else orphans.set(first, [...(orphans.get(first) ?? []), path]);
  });
  if (orphans.size === 0) return;
  await read([...orphans.keys()], ({ path: first, sha256 = "" }) => {
    for (const path of orphans.get(`/${first}`) ?? []) onContent({ path, sha256, linkTarget: null, sameFileAs: null });
  });
}

interface Listing extends Pick<Partial<Selection>, "include"> {
  readonly archive: string;
  readonly format: string;
}

async function list(
  runner: BorgRunner,
  { archive, format, include = [] }: Listing,
  onStdout: (line: string) => void,
): Promise<void> {
  const { access } = runner;
  const { args, files } = selectBelow(include);
  const options = ["--json-lines", "--log-json", "--bypass-lock", "--format", format, ...args];
  const ended = await runner.call({ args: ["list", ...options, `::${archive}`], files, onStdout });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0) throw new RunError(borgFailure(ended, { what: "list", redact: access.log.redact }));
}

function flagLetters(bits: number): string {
  return FLAGS.map(([bit, letter]) => ((bits & bit) === 0 ? "" : letter)).join("");
}

/** From nine letters: `s` and `S`, `t` and `T` are the special bits, with and without the right to execute. */
function permissions(mode: string): number {
  const letters = mode.slice(1);
  const plain = letters.replace(/[-ST]/g, "0").replace(/[^0]/g, "1");
  const special = [2, 5, 8].map((at) => (/[sStT]/.test(letters[at] ?? "") ? "1" : "0"));
  return Number.parseInt(special.join("") + plain, 2);
}

/** The time is in UTC, as set in borg's environment, with microseconds. */
function microseconds(time: string): number {
  const [whole = "", fraction = ""] = time.split(".");
  return Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}
