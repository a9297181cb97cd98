import { constants } from "node:fs";
import { access, lstat, readFile, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { Level } from "../../shared/approval.ts";
import { HookName } from "../../shared/contract.ts";
import type { HostTrouble } from "../../shared/host.ts";
import { messageOf } from "../../shared/error-message.ts";
import { AbsolutePath } from "../../shared/ids.ts";
import { ContainerName, ServiceName, UserName } from "../../shared/unix.ts";
import type { Paths } from "../config.ts";
import { isMissing, namesIn } from "../../shared/node/files.ts";

const OUTGOING_FAULT = 'must be "off", "public", or a list of origins such as "http://192.168.1.5:8080"';
const Origin = z
  .url({ protocol: /^https?$/ })
  .refine((text) => URL.canParse(text) && new URL(text).origin === text.replace(/\/$/, ""))
  .transform((text) => new URL(text).origin);

/** What no order and no retention removes, for each binding. */
const Keep = z
  .strictObject({
    snapshots: z.int().min(1).max(1000).default(3).describe("the newest good ones"),
    days: z.int().min(0).max(366).default(7).describe("the last good one of each of so many days that had one"),
  })
  .prefault({})
  .describe("what no order and no retention removes, for each binding");

/** What root may write into policy.json; the reference is made from it. */
export const PolicyFile = z.strictObject({
  level: Level.default("guarded").describe("how far the control plane is trusted: guarded, ask or open"),
  keep: Keep,
  appendOnly: z.array(z.string().min(1)).default([]).describe("locations of repositories that this host only adds to"),
  secrets: z
    .array(AbsolutePath)
    .default([])
    .describe("files and directories, besides /etc/holdfast/secrets, that secrets of repositories may be read from"),
  hooks: z
    .union([z.enum(["off", "named", "inline"]), z.array(z.string().regex(HookName, "must be the name of a hook"))], {
      error: 'must be "off", "named", "inline", or a list of names of hooks',
    })
    .default("named")
    .describe(
      "off: none; named: those of hooks.d, each waits for root; a list: these and no others; inline: also shell",
    ),
  sources: z
    .array(AbsolutePath)
    .nullable()
    .default(null)
    .describe("only these are backed up and restored in place; null: everything that is not protected"),
  repositories: z
    .array(z.string().min(1))
    .nullable()
    .default(null)
    .describe("only places at or below these are used, and they are granted; null: each place waits for root"),
  users: z.array(UserName).nullable().default(null).describe("only these users run anything; null: every user"),
  services: z
    .array(z.union([ServiceName, ContainerName]))
    .nullable()
    .default(null)
    .describe(
      "only these units and containers are stopped or entered, and they are granted; null: each waits for root",
    ),
  restore: z
    .enum(["off", "staging", "in-place"])
    .default("in-place")
    .describe("off: none; staging: only to a directory of their own; in-place: also to where the files were"),
  detect: z.boolean().default(true).describe("whether services of the control plane's catalogue are looked for"),
  outgoing: z
    .union([z.enum(["off", "public"]), z.array(Origin)], OUTGOING_FAULT)
    .nullable()
    .default(null)
    .describe("where notifications and pings may be sent; null: each origin waits for root (open: public addresses)"),
  approve: z
    .enum(["none", "widening"], { error: 'must be "none" or "widening", which is the level "ask"' })
    .default("none")
    .describe("before there were levels: widening is the level ask"),
});

/** What the host's owner allows. A list that is null allows everything. */
export interface Policy {
  readonly level: Level;
  readonly keep: { readonly snapshots: number; readonly days: number };
  /** Locations of repositories that this host only adds to, whatever the control plane says. */
  readonly appendOnly: readonly string[];
  /** Files and directories, besides the agent's own directory for them, that secrets may be read from. */
  readonly secrets: readonly string[];
  readonly hooks: "off" | "named" | "inline";
  /** Names of hooks that root grants; only these may run when the list is given. Null: it is not. */
  readonly hookNames: readonly string[] | null;
  readonly sources: readonly string[] | null;
  readonly repositories: readonly string[] | null;
  readonly users: readonly string[] | null;
  /** Units and containers that may be halted, and containers in which commands may be run. */
  readonly services: readonly string[] | null;
  readonly restore: "off" | "staging" | "in-place";
  /** Whether services from the control plane's catalogue are detected and reported. */
  readonly detect: boolean;
  /**
   * Where notifications and pings may be sent: nowhere, to public addresses only, or to these origins only. Null: not
   * said, so the level decides: `open` sends to public addresses, otherwise each origin waits for root.
   */
  readonly outgoing: "off" | "public" | readonly string[] | null;
  /** Why the file is invalid; then nothing at all is allowed. Null when it is valid, or there is none. */
  readonly fault: string | null;
  /** Whether it is for a contract that root declared on the host: its shell snippets are run by bash. */
  readonly isDeclared: boolean;
}

/** Reads policy.json. An invalid file allows nothing: it never falls back to the defaults. */
export async function loadPolicy(paths: Pick<Paths, "policyJson">): Promise<Policy> {
  return await readPolicy(paths.policyJson);
}

/** A policy that can't be followed stops everything: a person has to be told. */
export async function policyTroubles(paths: Pick<Paths, "policyJson">): Promise<HostTrouble[]> {
  const { fault } = await loadPolicy(paths);
  if (fault === null) return [];
  const message = `${fault}. Until it is fixed, nothing is allowed here`.slice(0, 1000);
  return [{ code: "policy.invalid", subject: paths.policyJson.slice(0, 512), message }];
}

/** The same for any file, as `policy check` reads it. */
export async function readPolicy(file: string): Promise<Policy> {
  try {
    const fault = (await ownershipFault(dirname(file))) ?? (await ownershipFault(file));
    if (fault !== null) return denyAll(fault);
    return policyOf(PolicyFile.parse(JSON.parse(await readFile(file, "utf8"))));
  } catch (error) {
    if (isMissing(error)) return DEFAULT_POLICY;
    return denyAll(`${file} can't be followed: ${faultOf(error)}`);
  }
}

/** The names in hooks.d that may be run, sorted. Empty when the directory itself can't be trusted. */
export async function listHooks(paths: Pick<Paths, "hooksDir">): Promise<string[]> {
  const names = await namesIn(paths.hooksDir);
  const found = await Promise.all(names.map(async (name) => ({ name, hook: await findHook(paths, name) })));
  return found
    .filter(({ hook }) => hook?.fault === null)
    .map(({ name }) => name)
    .toSorted();
}

/** @returns null when hooks.d has no file of this name; `fault`: why it may not be run, null when it may */
export async function findHook(
  paths: Pick<Paths, "hooksDir">,
  name: string,
): Promise<{ path: string; fault: string | null } | null> {
  if (!HookName.test(name)) return null;
  const path = join(paths.hooksDir, name);
  try {
    const real = await realpath(path);
    if (dirname(real) !== (await realpath(paths.hooksDir))) {
      return { path, fault: `${path} is a link out of ${paths.hooksDir}: copy the hook there` };
    }
    const fault = (await ownershipFault(paths.hooksDir)) ?? (await ownershipFault(real));
    if (fault !== null) return { path, fault };
    if (!(await lstat(real)).isFile()) return { path, fault: `${path} is not a regular file` };
    await access(real, constants.X_OK);
    return { path, fault: null };
  } catch (error) {
    if (isMissing(error)) return null;
    return { path, fault: `${path} is not executable: chmod 755 it` };
  }
}

function policyOf({ approve, hooks, ...file }: z.infer<typeof PolicyFile>): Policy {
  const isList = Array.isArray(hooks);
  return {
    ...file,
    level: approve === "widening" && file.level === "guarded" ? "ask" : file.level,
    hooks: isList ? "named" : hooks,
    hookNames: isList ? hooks : null,
    fault: null,
    isDeclared: false,
  };
}

const DEFAULT_POLICY: Policy = {
  level: "guarded",
  keep: { snapshots: 3, days: 7 },
  appendOnly: [],
  secrets: [],
  hooks: "named",
  hookNames: null,
  sources: null,
  repositories: null,
  users: null,
  services: null,
  restore: "in-place",
  detect: true,
  outgoing: null,
  fault: null,
  isDeclared: false,
};

function denyAll(fault: string): Policy {
  const nothing = {
    ...DEFAULT_POLICY,
    sources: [],
    repositories: [],
    users: [],
    services: [],
    detect: false,
    isDeclared: false,
  };
  return { ...nothing, hooks: "off", restore: "off", outgoing: "off", fault };
}

/**
 * Whoever may write the file decides what runs here: only root or the agent's own user may.
 * @returns null when that holds
 */
export async function ownershipFault(path: string): Promise<string | null> {
  const { uid, mode } = await lstat(path);
  if (uid !== 0 && uid !== process.getuid?.()) return `${path} must belong to root: chown root ${path}`;
  if ((mode & 0o022) !== 0) return `${path} must be writable by its owner alone: chmod go-w ${path}`;
  return null;
}

function faultOf(error: unknown): string {
  if (!(error instanceof z.ZodError)) return messageOf(error);
  return error.issues.map(({ path, message }) => `${path.join(".") || "it"}: ${message}`).join("; ");
}
