import type { Id } from "../../../shared/ids.ts";
import type { RunReport } from "../../../shared/report.ts";
import type { NamedBinding } from "../run-data.ts";

export function suspiciousSourceData(
  { run }: RunReport,
  { binding, host }: { binding: NamedBinding; host: { id: Id; name: string } },
): Record<string, unknown> {
  const { id, state, startedAt, finishedAt, snapshot } = run;
  const { contract, repository } = binding;
  return {
    isStored: snapshot !== null,
    run: { id, state, startedAt, finishedAt },
    binding: { id: binding.id, name: binding.name },
    contract,
    repository,
    host: { id: host.id, name: host.name },
  };
}
