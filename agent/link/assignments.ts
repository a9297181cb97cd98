import { rm } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { Assignment, JWS_TYPES, MAX_REVISION_STEP } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import type { RefusalCode } from "../../shared/report.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { writeFileAtomically } from "../../shared/node/files.ts";
import { noteAppendOnly } from "../policy/append-only.ts";
import { loadPolicy } from "../policy/policy.ts";
import type { Refuse } from "./refusals.ts";
import { takeNextKey } from "./control-keys.ts";
import { verifyPinned } from "./signed.ts";
import { QUARANTINE_SUFFIX, quarantine, readStateText } from "../system/state-file.ts";

export interface AssignmentDeps {
  paths: Paths;
  config: AgentConfig;
  clock: { now(): number };
  log: (line: string) => void;
}

export type AssignmentVerdict =
  | { verdict: "accept"; assignment: Assignment; by: "present" | "next" }
  | { verdict: "keep" }
  | { verdict: "refuse"; code: RefusalCode; subject: string; message: string };

/**
 * Verifies an assignment and stores it, if it is for this host and not older than the current one.
 * @returns the assignment in force from now on
 */
export async function acceptAssignment(
  deps: AssignmentDeps & { refuse: Refuse },
  input: { jws: string; current: Assignment | null },
): Promise<Assignment | null> {
  const verified = refuseLeap(deps, await verifyAssignment(deps.config, input), input.current);
  switch (verified.verdict) {
    case "keep":
      return input.current;
    case "refuse":
      await deps.refuse(verified.code, verified.subject, verified.message);
      return input.current;
    case "accept":
      await store(deps, input.jws);
      await noteAppendOnlyRepositories(deps, verified.assignment);
      if (verified.by === "next") await takeNextKey(deps);
      deps.log(`assignment ${verified.assignment.revision}: ${countOf(verified.assignment)}`);
      return verified.assignment;
  }
}

/** An honest control plane is never far ahead; after a leap, it would be far behind. */
function refuseLeap(
  { clock }: AssignmentDeps,
  verified: AssignmentVerdict,
  current: Assignment | null,
): AssignmentVerdict {
  // The first assignment of the next key ends whatever was signed with the old one, however it was numbered.
  if (verified.verdict !== "accept" || verified.by === "next") return verified;
  const { revision } = verified.assignment;
  const known = current?.revision ?? 0;
  if (revision <= Math.max(known, Math.floor(clock.now() / 1000)) + MAX_REVISION_STEP) return verified;
  const message =
    `the assignment has revision ${revision}, this host has ${known === 0 ? "none" : known}: no honest control plane is that far ahead. ` +
    "Has somebody else used its signing key?";
  return { verdict: "refuse", code: "assignment.invalid", subject: `revision ${revision}`, message };
}

/** Whether an assignment may replace the current one, and why not. Reads only. */
export async function verifyAssignment(
  config: AgentConfig,
  input: { jws: string; current: Assignment | null },
): Promise<AssignmentVerdict> {
  const opened = await verifyPinned(input.jws, config, JWS_TYPES.assignment, Assignment);
  if (!opened.ok) {
    const message = `the assignment ${opened.message}`;
    return { verdict: "refuse", code: `assignment.${opened.fault}`, subject: "assignment", message };
  }
  const { current } = input;
  const { value: assignment, by } = opened;
  const subject = `revision ${assignment.revision}`;
  if (assignment.host !== config.host) {
    const message = `the assignment is for host ${assignment.host}, this host is ${config.host}`;
    return { verdict: "refuse", code: "assignment.foreign", subject, message };
  }
  if (current === null || by === "next" || assignment.revision > current.revision)
    return { verdict: "accept", assignment, by };
  const isSame = assignment.revision === current.revision;
  if (isSame && isDeepStrictEqual({ ...assignment, issuedAt: current.issuedAt }, current)) return { verdict: "keep" };
  const message =
    `the assignment has revision ${assignment.revision}${isSame ? " and other content" : ""}, this host has revision ` +
    `${current.revision} already: an old assignment was sent again, or the control plane was restored from an older backup; the next pull shows which`;
  return { verdict: "refuse", code: "assignment.older", subject, message };
}

/** The stored assignment, verified again. If the file is damaged, it is quarantined, and the copy is used. */
export async function loadAssignment(deps: AssignmentDeps): Promise<Assignment | null> {
  const { assignmentFile, assignmentCopy } = deps.paths;
  const first = await loadFrom(deps, assignmentFile);
  if (first !== null) return first.assignment;
  const copy = await loadFrom(deps, assignmentCopy);
  if (copy === null) return null;
  await writeFileAtomically(assignmentFile, copy.jws).catch((error: unknown) => deps.log(String(error)));
  return copy.assignment;
}

/** Removes the assignment of the host this machine was before it was enrolled again. */
export async function removeAssignment({ assignmentFile, assignmentCopy }: Paths): Promise<void> {
  for (const file of [assignmentFile, assignmentCopy]) await rm(file, { force: true });
}

/** From now on they are append-only for this host: a later assignment may say otherwise, and be somebody else's. */
async function noteAppendOnlyRepositories({ paths, log }: AssignmentDeps, { repositories }: Assignment): Promise<void> {
  const policy = await loadPolicy(paths);
  for (const repository of repositories) {
    await noteAppendOnly({ paths, policy, repository, engineId: repository.engineId }).catch((error: unknown) =>
      log(messageOf(error)),
    );
  }
}

async function store({ paths, log }: AssignmentDeps, jws: string): Promise<void> {
  await writeFileAtomically(paths.assignmentFile, jws);
  await writeFileAtomically(paths.assignmentCopy, jws).catch((error: unknown) => log(String(error)));
}

async function loadFrom(deps: AssignmentDeps, file: string): Promise<{ jws: string; assignment: Assignment } | null> {
  const jws = await readStateText(file);
  if (jws === null) return null;
  const verified = await verifyAssignment(deps.config, { jws, current: null });
  if (verified.verdict === "accept") return { jws, assignment: verified.assignment };
  if (verified.verdict === "keep") return null;
  const isDamaged = verified.code === "assignment.bad_signature";
  if (isDamaged) await quarantine(file);
  deps.log(
    `${file} is not used${isDamaged ? ` and was moved to ${file}${QUARANTINE_SUFFIX}` : ""}: ${verified.message}`,
  );
  return null;
}

function countOf(assignment: Assignment): string {
  const { length } = assignment.bindings;
  return length === 1 ? "1 binding" : `${length} bindings`;
}
