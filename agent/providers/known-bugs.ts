import type { ProviderName } from "../../shared/repository.ts";
import { runError } from "../run-error.ts";
import { isAtLeast } from "./engine-version.ts";

interface KnownBug {
  readonly provider: ProviderName;
  /** From this version on, and before the other. */
  readonly since: string;
  readonly before: string;
  readonly operation: "prune" | "check";
  readonly location: RegExp;
  readonly reason: string;
}

/**
 * Engine versions with known data-loss bugs, limited to the operations we use. (`forget --prune` of 0.17.0 to 0.18.1 is
 * never called.)
 */
const KNOWN_BUGS: readonly KnownBug[] = [
  {
    provider: "restic",
    since: "0.16.0",
    before: "0.16.3",
    operation: "prune",
    location: /^rclone:/,
    reason:
      "takes a failed listing through rclone for an empty repository, and may then remove everything (restic issue 4612)",
  },
];

interface EngineOperation {
  readonly provider: ProviderName;
  readonly version: string;
  readonly operation: KnownBug["operation"];
  readonly location: string;
}

/** @returns why this version must not do this there; null when it may */
export function findKnownBug({ provider, version, operation, location }: EngineOperation): string | null {
  const found = KNOWN_BUGS.find(
    (bad) =>
      bad.provider === provider &&
      bad.operation === operation &&
      isAtLeast(version, bad.since) &&
      !isAtLeast(version, bad.before) &&
      bad.location.test(location),
  );
  return found === undefined ? null : `${provider} ${version} ${found.reason}`;
}

/** @throws `engine.refused` */
export function assertNoKnownBug(operation: EngineOperation): void {
  const reason = findKnownBug(operation);
  if (reason !== null) throw runError("engine.refused", `${operation.operation} is refused: ${reason}`);
}
