import { eq, or, sql } from "drizzle-orm";
import type { HostFacts } from "../../../shared/host.ts";
import { type Id, instant } from "../../../shared/ids.ts";
import { hosts } from "../../db/schema/hosts.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { changeWithMac, guardAsRead } from "../../keys/row-mac.ts";
import { invalidRequest } from "../errors.ts";
import { deleteApprovals } from "./approvals.ts";
import { closeCloned } from "./instances.ts";

type HostRow = typeof hosts.$inferSelect;

/**
 * The host whose place a machine is to take. A revoked one can be replaced too. Throws `request.invalid`.
 * @param input a new enrolment
 */
export async function findReplaced(
  deps: Pick<Deps, "db">,
  input: { replaces?: string | undefined; name?: string | undefined; uses: number },
): Promise<Id | null> {
  if (input.replaces === undefined) return null;
  const [host] = await deps.db
    .select({ id: hosts.id, name: hosts.name })
    .from(hosts)
    .where(or(eq(hosts.id, input.replaces), eq(hosts.name, input.replaces)));
  if (host === undefined)
    throw invalidRequest(["replaces"], `there is no host "${input.replaces}"; give the id or name of one`);
  if (input.uses !== 1) throw invalidRequest(["uses"], "only one machine can take a host's place: leave it out");
  if (input.name !== undefined && input.name !== host.name)
    throw invalidRequest(["name"], `the machine takes the name of host "${host.name}": leave it out`);
  return host.id;
}

/**
 * Statements that give a host another key: that of a machine which takes its place. Its contracts, bindings and history
 * stay; the old key is nobody's from then on. Its connection has to be closed after the batch.
 */
export async function replaceKey(
  deps: Deps,
  host: HostRow,
  key: Pick<HostRow, "publicKey" | "audience" | "enrollment" | "revokedAt">,
  facts: HostFacts,
): Promise<Statement[]> {
  const changed = await changeWithMac(deps, "hosts", host, key);
  return [
    guardAsRead(deps, "hosts", host),
    deps.db
      .update(hosts)
      .set({
        ...changed,
        facts,
        instances: null,
        connectionId: null,
        connectedAt: null,
        clockSkewMs: null,
        lastSeenAt: instant(deps.clock.now()),
        // The new machine has none: it gets one at once.
        revision: sql`${hosts.revision} + 1`,
      })
      .where(eq(hosts.id, host.id)),
    deleteApprovals(deps, host.id),
    ...closeCloned(deps, host, "another machine has taken its place, with a key of its own"),
  ];
}
