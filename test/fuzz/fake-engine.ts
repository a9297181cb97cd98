import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import type { EngineCall, EngineCalls } from "../../agent/providers/engine-calls.ts";
import type { Access } from "../../agent/providers/provider.ts";
import type { Memory } from "../../agent/providers/recall.ts";
import type { ProcessResult } from "../../agent/system/process/process.ts";
import { lineSplitter } from "../../agent/system/process/lines.ts";
import { HOOK_LADDER } from "../../agent/system/process/kill-ladder.ts";
import { ownUser } from "../../agent/system/process/user.ts";
import { openRunLog } from "../../agent/run-log.ts";
import { agentPaths } from "../../agent/config.ts";
import { Performance } from "../../shared/binding.ts";
import type { SnapshotFacts } from "../../shared/run.ts";
import type { Dice } from "../support/random.ts";
import { assignmentOf, newId } from "../agent/signer.ts";
import { NO_SPARE, one, spoilBytes, spoilJson, spoilText } from "./mutation.ts";

/** What a real tool said in one run. */
interface Said {
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

type Tool = "restic" | "borg";

const Runs = z.record(z.string(), z.array(z.object({ stdout: z.array(z.string()), stderr: z.array(z.string()) })));
const RECORDED = z
  .object({ restic: Runs, borg: Runs })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, "recorded-engines.json"), "utf8")));

/** Which recording answers a command, by its first word. */
const OF_COMMAND: Readonly<Record<Tool, Readonly<Record<string, string>>>> = {
  restic: { cat: "config", list: "locks", snapshots: "snapshots", dump: "ls" },
  borg: { list: "list", compact: "compact" },
};

/** For one binding on one repository, as a run has it. Nothing is ever started or written. */
export function accessOf(provider: Tool): Access {
  const assignment = assignmentOf(newId(), 1);
  const [repository] = assignment.repositories;
  const [binding] = assignment.bindings;
  if (repository === undefined || binding === undefined) throw new Error("an assignment without a binding");
  const clock = { now: () => Date.parse("2026-11-23T08:00:00.000Z") };
  return {
    clock,
    repository: { ...repository, provider },
    secrets: { passphrase: "hunter2-hunter2", env: {} },
    paths: agentPaths("/nonexistent/holdfast-fuzz"),
    scope: { host: assignment.host, binding: binding.id },
    run: newId(),
    user: ownUser(),
    backupUser: null,
    log: openRunLog(clock),
    signal: new AbortController().signal,
    ladder: HOOK_LADDER,
    timeouts: { lockMs: 0, openMs: 1000 },
    limits: { uploadKiBs: null, downloadKiBs: null },
    performance: Performance.parse({}),
    onChild: async () => undefined,
  };
}

/** A tool that says what a real one once said, spoiled, and ends as it likes. */
export function fakeEngine(
  dice: Dice,
  tool: Tool,
  access: Access,
  overrides: { stdout?: () => Uint8Array } = {},
): EngineCalls {
  return {
    access,
    callInherited: () => Promise.resolve(0),
    call: (call) => {
      const said = saidTo(dice, tool, call);
      const stdout =
        overrides.stdout !== undefined && call.onStdoutBytes !== undefined
          ? overrides.stdout()
          : bytesOf(dice, said.stdout, call);
      const stderr = bytesOf(dice, said.stderr, call);
      feed(dice, stdout, call.onStdoutBytes ?? linesTo(call.onStdout));
      feed(dice, stderr, linesTo(call.onStderr));
      return Promise.resolve(ending(dice, stderr.toString("utf8").slice(-65_536)));
    },
  };
}

function saidTo(dice: Dice, tool: Tool, { args }: EngineCall): Said {
  const command = args[0] ?? "";
  const all = RECORDED[tool];
  const isNodes = command === "list" && args.includes("--json-lines");
  const name = isNodes
    ? args.some((arg) => arg.includes("{sha256}"))
      ? "contents"
      : "nodes"
    : (OF_COMMAND[tool][command] ?? command);
  const runs = dice.isLucky(0.9) ? (all[name] ?? []) : [];
  return one(dice, runs.length > 0 ? runs : Object.values(all).flat());
}

function bytesOf(dice: Dice, lines: readonly string[], { args }: EngineCall): Buffer {
  const scope = args.find((arg) => /^[0-9a-f-]{73}-\*$/.test(arg))?.slice(0, -1) ?? "";
  // Archives are found by their names, so that these get far.
  const own = lines.map((line) => line.replaceAll("h-b-2026", `${scope}2026`));
  if (dice.isLucky(0.1)) return Buffer.from(`${own.join("\n")}\n`);
  const spoiled = own.flatMap((line) => {
    if (dice.isLucky(own.length > 3 ? 0.7 : 0.1)) return [line];
    if (dice.isLucky(0.05)) return [];
    if (dice.isLucky(0.02)) return Array.from({ length: 200 }, () => line);
    return [spoiledLine(dice, line)];
  });
  const bytes = Buffer.from(`${spoiled.join("\n")}\n`);
  return dice.isLucky(0.15) ? spoilBytes(dice, bytes) : bytes;
}

function spoiledLine(dice: Dice, line: string): string {
  if (!/^[[{]/.test(line)) return spoilText(dice, line);
  try {
    return spoilJson(dice, JSON.parse(line), NO_SPARE);
  } catch {
    return spoilText(dice, line);
  }
}

function linesTo(onLine: ((line: string) => void) | undefined): (chunk: Uint8Array) => void {
  const lines = lineSplitter(onLine ?? (() => undefined));
  return (chunk) => (chunk.length === 0 ? lines.end() : lines.push(chunk));
}

/** In chunks that end anywhere, and an empty one for its end. */
function feed(dice: Dice, bytes: Uint8Array, to: (chunk: Uint8Array) => void): void {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + dice.below(dice.pick([3, 600, 65_536])));
    to(bytes.subarray(at, end));
    at = end;
  }
  to(new Uint8Array());
}

export const ENDED_WELL: ProcessResult = {
  exitCode: 0,
  child: null,
  signal: null,
  timedOut: false,
  cancelled: false,
  stderr: "",
  statusText: "",
  startFailure: null,
};

function ending(dice: Dice, stderr: string): ProcessResult {
  const exitCode = dice.pick([0, 0, 0, 0, 1, 2, 3, 10, 11, 12, 13, 100, 105, 130, 255, null]);
  return {
    ...ENDED_WELL,
    exitCode,
    stderr,
    signal: exitCode === null ? "SIGKILL" : null,
    timedOut: dice.isLucky(0.02),
    startFailure: dice.isLucky(0.01) ? "ENOENT" : null,
  };
}

/** A run's memory of this repository, on no disk. @param recalled what an earlier run knew; null: nothing */
export function memoryOf(recalled: readonly SnapshotFacts[] | null): Memory {
  return {
    engineId: "e".repeat(64),
    recalled,
    confirm: () => Promise.resolve(),
    listed: () => Promise.resolve(),
    added: (snapshot) => Promise.resolve([...(recalled ?? []), snapshot]),
  };
}
