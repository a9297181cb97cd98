import { createHash, type Hash } from "node:crypto";
import * as z from "zod";
import { shownName } from "../../system/display-name.ts";
import {
  isSelected,
  type NodeList,
  type NodeContent,
  type NodeType,
  type Selection,
  type SnapshotNode,
} from "../contents.ts";
import { RunError, runError } from "../../run-error.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { readMessage } from "./messages.ts";
import { tarReader } from "../tar-reader.ts";

/** What restic's listings show for a byte that is not UTF-8. */
export const STAND_IN = "\ufffd";

/** A Map, so that no name collides with JavaScript's own properties. */
const TYPES = new Map<string, NodeType>(
  Object.entries({
    file: "file",
    dir: "dir",
    symlink: "symlink",
    fifo: "fifo",
    socket: "socket",
    chardev: "chardev",
    dev: "blockdev",
  }),
);

const Node = z.object({
  struct_type: z.literal("node"),
  type: z.string(),
  path: z.string(),
  size: z.int().optional(),
  mode: z.int(),
  uid: z.int(),
  gid: z.int(),
  mtime: z.string(),
});

/** See SnapshotContents.list. */
export async function listNodes(
  runner: ResticRunner,
  snapshot: string,
  onNode: (node: SnapshotNode) => void,
): Promise<void> {
  const { restic, access } = runner;
  const ended = await runner.call({
    args: ["ls", "--json", "--no-lock", snapshot],
    onStdout(line) {
      const found = readMessage(Node, line);
      const type = found === null ? undefined : TYPES.get(found.type);
      if (found === null || type === undefined) return;
      const { path, size = 0, mode, uid, gid, mtime } = found;
      onNode({ path, type, size, uid, gid, mode: permissions(mode), mtimeUs: microseconds(mtime) });
    },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0) throw new RunError(resticFailure(restic, ended, { what: "ls", redact: access.log.redact }));
}

/** With more paths than this, the directory they share is read instead of each one. */
const MOST_DUMPS = 20;

/** See SnapshotContents.readContents. Reads restic's tar archive of each path, written from the repository. */
export async function readContents(
  runner: ResticRunner,
  { snapshot, include, nodes }: Selection & NodeList,
  onContent: (content: NodeContent) => void,
): Promise<void> {
  const asked = new Set(include);
  const types = new Map(nodes.flatMap(({ path, type }) => (asked.has(path) ? [[path, type] as const] : [])));
  const separate = include.length === 0 ? ["/"] : include.length > MOST_DUMPS ? [shared(include)] : include;
  for (const path of separate) {
    const type = path === "/" ? "dir" : (types.get(path) ?? "dir");
    if (type === "file") await dumpFile(runner, { snapshot, path }, onContent);
    else if (type === "dir") {
      await dumpDirectory(runner, { snapshot, path }, (content) => {
        if (isSelected(content.path, { include })) onContent(content);
      });
    }
  }
}

async function dumpFile(
  runner: ResticRunner,
  { snapshot, path }: { snapshot: string; path: string },
  onContent: (content: NodeContent) => void,
): Promise<void> {
  const hash = createHash("sha256");
  await dump(runner, [snapshot, path], (chunk) => void hash.update(chunk));
  onContent({ path, sha256: hash.digest("hex"), linkTarget: null, sameFileAs: null });
}

async function dumpDirectory(
  runner: ResticRunner,
  { snapshot, path }: { snapshot: string; path: string },
  onContent: (content: NodeContent) => void,
): Promise<void> {
  let hash: Hash | null = null;
  const reader = tarReader({
    onEntry: ({ type }) => (hash = type === "file" ? createHash("sha256") : null),
    onData: (bytes) => void hash?.update(bytes),
    onEnd({ name, type, linkTarget }) {
      const sha256 = hash?.digest("hex") ?? null;
      const target = type === "symlink" ? linkTarget : null;
      onContent({ path: `/${shownName(name, STAND_IN)}`, sha256, linkTarget: target, sameFileAs: null });
    },
  });
  // Thrown in the data callback, it would end the agent.
  let fault: Error | null = null;
  const reading = (read: () => void): void => {
    try {
      if (fault === null) read();
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error));
    }
  };
  await dump(runner, ["--archive", "tar", snapshot, path], (chunk) => reading(() => reader.push(chunk)));
  reading(() => reader.finish());
  throwIfAny(fault);
}

function throwIfAny(fault: Error | null): void {
  if (fault !== null) throw runError("engine.failed", `restic dump: ${fault.message}`);
}

async function dump(runner: ResticRunner, args: string[], onStdoutBytes: (chunk: Uint8Array) => void): Promise<void> {
  const { restic, access } = runner;
  const ended = await runner.call({ args: ["dump", "--no-lock", ...args], onStdoutBytes });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode === 0) return;
  throw new RunError(resticFailure(restic, ended, { what: "dump", redact: access.log.redact }));
}

/** Converts a file mode of Go, which has the three special bits elsewhere. */
function permissions(mode: number): number {
  const special =
    ((mode >>> 23) & 1 ? 0o4000 : 0) | ((mode >>> 22) & 1 ? 0o2000 : 0) | ((mode >>> 20) & 1 ? 0o1000 : 0);
  return (mode & 0o777) | special;
}

/** restic writes up to nanoseconds, and an offset of its own. */
function microseconds(time: string): number {
  const [, fraction = ""] = /\.(\d+)/.exec(time) ?? [];
  const whole = Date.parse(time.replace(/\.\d+/, ""));
  return whole * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

function shared(paths: readonly string[]): string {
  let [directory = "/"] = paths;
  for (const path of paths) {
    while (directory !== "" && path !== directory && !path.startsWith(`${directory}/`)) {
      directory = directory.slice(0, directory.lastIndexOf("/"));
    }
  }
  return directory === "" ? "/" : directory;
}
