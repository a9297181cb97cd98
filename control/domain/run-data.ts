import type { Id } from "../../shared/ids.ts";
import type { RunReport } from "../../shared/report.ts";

export interface NamedBinding {
  id: Id;
  name: string;
  contract: { id: Id; name: string };
  repository: { id: Id; name: string };
}

/** The objects a run belongs to. */
export interface RunSubject {
  /** Null for a run of a whole repository (prune, check). */
  binding: NamedBinding | null;
  repository: { id: Id; name: string };
  host: { id: Id; name: string };
}

/** Warnings in a notification; a run has up to a hundred. */
const MAX_WARNINGS = 5;

/** The event data of a run. */
export function runData(run: RunReport["run"], { binding, repository, host }: RunSubject): Record<string, unknown> {
  const { id, kind, state, trigger, startedAt, finishedAt, failure } = run;
  const warnings = run.warnings.slice(0, MAX_WARNINGS);
  const warned = state === "warned" ? { warnings, warningsMore: run.warnings.length - warnings.length } : {};
  return {
    run: { id, kind, state, trigger, startedAt, finishedAt, failure, ...warned },
    binding: binding === null ? null : { id: binding.id, name: binding.name },
    contract: binding?.contract ?? null,
    repository: { id: repository.id, name: repository.name },
    host: { id: host.id, name: host.name },
  };
}
