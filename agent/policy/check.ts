import type { DatabaseContract } from "../../shared/contract.ts";
import { type Consistency, serverUser } from "../../shared/consistency.ts";
import type { AssignedContract, AssignedRepository, RestoreRequest } from "../../shared/assignment.ts";
import type { RefusalCode } from "../../shared/report.ts";
import type { Policy } from "./policy.ts";
import { RunError, runFailure } from "../run-error.ts";

/** Refused by the host's policy. Ends the run, and is reported as a refusal. */
export class PolicyError extends RunError {
  readonly refusalCode: RefusalCode;

  constructor(refusalCode: RefusalCode, message: string) {
    super(runFailure("policy.refused", message));
    this.refusalCode = refusalCode;
  }
}

/** Throws PolicyError unless the policy allows backups of this contract to this repository. */
export function checkBackup(
  policy: Policy,
  { contract, repository }: { contract: AssignedContract; repository: AssignedRepository },
): void {
  checkRepository(policy, repository);
  checkContract(policy, contract);
}

/** Throws PolicyError unless the policy allows what the contract reads, halts and runs as. */
export function checkContract(policy: Policy, contract: AssignedContract): void {
  checkUser(policy, contract.request.user);
  if (contract.kind !== "files") return checkRestoreUser(policy, contract);
  for (const source of contract.request.sourceDirectories) checkSource(policy, source);
  for (const entry of contract.consistency) checkConsistency(policy, entry);
}

/** Throws PolicyError unless the contract's restoreCmd may run as its restoreUser. */
export function checkRestoreUser(policy: Policy, { restoreUser }: Pick<DatabaseContract, "restoreUser">): void {
  if (restoreUser !== null) checkUser(policy, restoreUser);
}

/** Throws PolicyError unless the policy allows this to be copied, dumped or halted. */
export function checkConsistency(policy: Policy, entry: Consistency): void {
  if ("sqlite" in entry) return checkSource(policy, entry.sqlite);
  if ("stop" in entry) return checkService(policy, entry.stop);
  if ("pause" in entry) return checkService(policy, entry.pause);
  if (entry.container !== undefined) return checkService(policy, entry.container);
  checkUser(policy, serverUser(entry));
}

/** Throws PolicyError unless this unit may be halted, or this container may be halted or have commands run in it. */
export function checkService(policy: Policy, name: string): void {
  if (policy.services === null || policy.services.includes(name)) return;
  throw new PolicyError("policy.services", `the host's policy does not let "${name}" be halted or entered`);
}

/** Throws PolicyError unless commands may run as that user. */
export function checkUser(policy: Policy, user: string): void {
  if (policy.users === null || policy.users.includes(user)) return;
  throw new PolicyError("policy.users", `the host's policy does not let anything run as user "${user}"`);
}

/** Called for everything that uses a repository, so that an invalid policy stops all of it. */
export function checkRepository(policy: Policy, { name, location }: AssignedRepository): void {
  if (policy.fault !== null) throw new PolicyError("policy.repositories", policy.fault);
  const allowed = policy.repositories;
  if (allowed === null || allowed.some((entry) => isWithin(location, entry))) return;
  throw new PolicyError("policy.repositories", `the host's policy does not allow repository "${name}" at ${location}`);
}

/** @param source as in the contract, or with symbolic links resolved */
export function checkSource(policy: Policy, source: string): void {
  if (policy.sources === null || policy.sources.some((entry) => isWithin(source, entry))) return;
  throw new PolicyError("policy.sources", `the host's policy does not allow ${source} to be read or written`);
}

/** Throws PolicyError unless restores, and restores to this target, are allowed. */
export function checkRestore(policy: Policy, { target }: RestoreRequest): void {
  if (policy.fault !== null) throw new PolicyError("policy.restore", policy.fault);
  if (policy.restore === "off") throw new PolicyError("policy.restore", "the host's policy does not allow restores");
  if (target === null && policy.restore === "staging") {
    throw new PolicyError(
      "policy.restore",
      "the host's policy allows restores to a directory of their own only: give a target",
    );
  }
}

/** Compares whole path components: /srv/a is within /srv, /srv-a is not. A path with `..` is within nothing. */
export function isWithin(given: string, givenDirectory: string): boolean {
  // To the kernel, several slashes are one.
  const [path, directory] = [plain(given), plain(givenDirectory)];
  const inside = directory.endsWith("/") ? directory : `${directory}/`;
  // A trailing slash names the same directory.
  if (path === directory || `${path}/` === inside) return true;
  if (/(^|\/)(\.|%2e){2}(\/|$)/i.test(path)) return false;
  return path.startsWith(inside);
}

function plain(path: string): string {
  return path.startsWith("/") ? path.replaceAll(/\/{2,}/g, "/") : path;
}
