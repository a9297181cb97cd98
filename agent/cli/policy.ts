import { readConfig } from "../config.ts";
import { loadAssignment } from "../link/assignments.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { judgeAssignment } from "../in-force/in-force.ts";
import { policyLines } from "../policy/explain.ts";
import { loadPolicy, type Policy, readPolicy } from "../policy/policy.ts";
import { readWaiting } from "../policy/waiting.ts";
import type { CliDeps } from "./deps.ts";
import type { Verb } from "./verb.ts";

/** Says what this host allows, in sentences, and what of the present assignment it would not. */
export const policy: Verb = {
  name: "policy",
  help: {
    usage: "policy [check FILE] [--json]",
    summary: "say what this host allows; check FILE: what it would with that file",
  },
  takes: { flags: ["json"], more: true },
  async run(deps, given) {
    const [word, file, ...rest] = given.more;
    if (word === undefined) return await show(deps, { policy: await loadPolicy(deps.paths), json: given.flag("json") });
    if (word !== "check" || file === undefined || rest.length > 0)
      throw new UsageError("write: policy, or policy check FILE");
    return await show(deps, { policy: await readPolicy(file), json: given.flag("json") });
  },
};

async function show(deps: CliDeps, { policy: found, json }: { policy: Policy; json: boolean }): Promise<number> {
  const config = await readConfig(deps.paths);
  const assignment = config === null ? null : await loadAssignment({ ...deps, config });
  const judged = assignment === null ? [] : await judgeAssignment(deps, { policy: found, assignment });
  if (json) {
    const { isDeclared: _declared, ...policyFacts } = found;
    deps.out(`${JSON.stringify({ policy: policyFacts, notAllowed: judged }, null, 2)}\n`);
  } else {
    const lines = [...policyLines(found), "", ...judgedLines(judged, assignment !== null)];
    deps.out(`${lines.join("\n")}\n`);
    const waiting = await readWaiting(deps);
    if (waiting.length > 0) deps.out(`${waiting.length} of it waits for root now: holdfast-agent approve\n`);
  }
  return found.fault === null ? EXIT.done : EXIT.failed;
}

function judgedLines(judged: Awaited<ReturnType<typeof judgeAssignment>>, isAssigned: boolean): string[] {
  if (!isAssigned) return ["This host has no assignment yet."];
  if (judged.length === 0) return ["Everything that is assigned now is allowed."];
  return [
    "Of what is assigned now, this is not allowed:",
    ...judged.map(
      ({ verdict, what, reason }) => `  ${verdict === "waits" ? "waits  " : "refused"}  ${what}: ${reason}`,
    ),
  ];
}
