import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import type { HostApproval } from "../../shared/approval.ts";
import { readConfig } from "../config.ts";
import { loadInForce } from "../in-force/in-force.ts";
import { visible } from "../policy/ask.ts";
import { type Grant, readGrants, recordGrants, revokeGrants } from "../policy/grants.ts";
import { readWaiting, readWaitingWhole } from "../policy/waiting.ts";
import type { CliDeps } from "./deps.ts";
import type { Verb } from "./verb.ts";

/** Shows what the control plane asks for, and grants it. */
export const approve: Verb = {
  name: "approve",
  help: {
    usage: "approve [KEY…|all] [--show KEY] [--granted] [--revoke KEY…] [--json]",
    summary: "show what waits for root, and say yes to it",
  },
  takes: { flags: ["json", "granted"], texts: ["show"], lists: ["revoke"], more: true },
  async run(deps, given) {
    const json = given.flag("json");
    const revoked = given.list("revoke");
    await decideAgain(deps);
    const shown = given.text("show");
    if (shown !== undefined) {
      const { content } = findByKey(await readWaitingWhole(deps), shown);
      deps.out(`${visible(content)}\n`);
    } else if (revoked.length > 0) await revoke(deps, revoked);
    else if (given.flag("granted")) {
      const grants = (await readGrants(deps.paths)) ?? [];
      deps.out(json ? `${JSON.stringify(grants, null, 2)}\n` : grantLines(grants));
    } else {
      const waiting = await readWaiting(deps);
      if (given.more.length > 0) await grant(deps, { waiting, wanted: given.more });
      else deps.out(json ? `${JSON.stringify(waiting, null, 2)}\n` : waitingLines(waiting));
    }
    return EXIT.done;
  },
};

async function grant(
  deps: CliDeps,
  { waiting, wanted }: { waiting: readonly HostApproval[]; wanted: readonly string[] },
): Promise<void> {
  const isAll = wanted.length === 1 && wanted[0] === "all";
  const chosen = isAll ? waiting : wanted.map((key) => findByKey(waiting, key));
  const granted = await recordGrants(deps, chosen, "root");
  await decideAgain(deps);
  for (const { key, summary } of granted) deps.out(`granted  ${key}  ${summary}\n`);
  if (granted.length === 0) deps.out("nothing waits for root\n");
}

async function revoke(deps: CliDeps, keys: readonly string[]): Promise<void> {
  const grants = (await readGrants(deps.paths)) ?? [];
  const chosen = keys.map((key) => findByKey(grants, key).key);
  const taken = await revokeGrants(deps.paths, chosen);
  await decideAgain(deps);
  for (const { key, summary } of taken) deps.out(`taken back  ${key}  ${summary}\n`);
}

/** @param key its first digits are enough while they are the only ones. @throws UsageError */
function findByKey<Item extends { key: string }>(items: readonly Item[], key: string): Item {
  const found = items.filter((item) => key.length >= SHORTEST_KEY && item.key.startsWith(key));
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  const known = items.map((item) => item.key).join(", ");
  throw new UsageError(
    `'${key}' names ${found.length > 1 ? "more than one" : "nothing"} here; there is: ${known === "" ? "nothing" : known}`,
  );
}

const SHORTEST_KEY = 4;

/** The daemon does the same as soon as it notices; without one this host has to know too. */
async function decideAgain(deps: CliDeps): Promise<void> {
  const config = await readConfig(deps.paths);
  if (config !== null) await loadInForce({ ...deps, config });
}

function waitingLines(waiting: readonly HostApproval[]): string {
  if (waiting.length === 0) return "nothing waits for root\n";
  const entries = waiting.map(({ key, summary, bindings, since }) =>
    [
      `${key}  ${summary}`,
      `                  ${bindings.length === 0 ? "" : `for ${bindings.join(", ")}, `}since ${since}`,
    ].join("\n"),
  );
  return `The control plane asks for this:\n\n${entries.join("\n\n")}\n\nTo say yes: holdfast-agent approve KEY, or holdfast-agent approve all\n`;
}

function grantLines(grants: readonly Grant[]): string {
  if (grants.length === 0) return "nothing was granted on this host\n";
  return grants.map(({ key, summary, by, at }) => `${key}  ${summary} (${by}, ${at})\n`).join("");
}
