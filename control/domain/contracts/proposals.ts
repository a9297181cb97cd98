import { and, desc, eq, inArray, isNotNull, isNull, sql } from "drizzle-orm";
import type { Page } from "../../../shared/api.ts";
import type { AcceptProposal, ContractTemplate, Proposal } from "../../../shared/catalog.ts";
import { ContractBody, type Contract } from "../../../shared/contract.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { findService } from "../../catalog/catalog.ts";
import { fillTemplate } from "../../catalog/fill.ts";
import { readParams } from "../../catalog/params.ts";
import { contracts, detections } from "../../db/schema/contracts.ts";
import { guard } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { createContract } from "./contracts.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { notFound } from "../errors.ts";

type DetectionRow = typeof detections.$inferSelect;
type ContractRow = Pick<typeof contracts.$inferSelect, "id" | "host" | "kind" | "request">;

/** Lists services detected on hosts that have no contract yet. */
export async function listProposals(
  deps: Deps,
  input: ListInput & { host?: Id | undefined; dismissed: boolean },
): Promise<Page<Proposal>> {
  const rows = await deps.db
    .select()
    .from(detections)
    .where(
      and(
        isPastCursor(detections.id, input),
        matches(detections.host, input.host),
        input.dismissed ? isNotNull(detections.dismissedAt) : isNull(detections.dismissedAt),
      ),
    )
    .orderBy(desc(detections.id));
  const open = await excludeDeclared(deps, rows);
  return pageOf(open, input.limit, ({ proposal }) => proposal);
}

export async function getProposal(deps: Deps, id: Id): Promise<Proposal> {
  return (await findOpenProposal(deps, id)).proposal;
}

/** Creates the proposed contract. It has no binding yet, so nothing is backed up. */
export async function acceptProposal(deps: Deps, id: Id, input: AcceptProposal): Promise<Contract> {
  const { proposal } = await findOpenProposal(deps, id);
  const { host, entry, layout } = proposal;
  const params = { ...proposal.params, ...input.params };
  const known = sql`exists (select 1 from ${contracts} where ${contracts.id} = ${detections.contract})`;
  const isOpen = sql`exists (select 1 from ${detections} where ${detections.id} = ${id} and not ${known})`;
  return createContract(
    deps,
    { host, fromCatalog: entry, layout, params, ...(input.name === undefined ? {} : { name: input.name }) },
    (contract) => [
      guard(deps.db, isOpen),
      deps.db.update(detections).set({ contract, dismissedAt: null }).where(eq(detections.id, id)),
    ],
  );
}

/** Dismisses a proposal for good, even when the service is detected again. */
export async function dismissProposal(deps: Deps, id: Id): Promise<void> {
  const { proposal } = await findOpenProposal(deps, id);
  if (proposal.dismissedAt !== null) return;
  const dismissedAt = instant(deps.clock.now());
  await deps.db.update(detections).set({ dismissedAt }).where(eq(detections.id, id));
}

interface Open {
  readonly id: Id;
  readonly proposal: Proposal;
}

async function findOpenProposal(deps: Deps, id: Id): Promise<Open> {
  const rows = await deps.db.select().from(detections).where(eq(detections.id, id));
  const [open] = await excludeDeclared(deps, rows);
  if (open === undefined) throw notFound("proposals", id);
  return open;
}

/** Removes detections that have a contract: the accepted one, or any of the host with the same sources. */
async function excludeDeclared(deps: Deps, rows: DetectionRow[]): Promise<Open[]> {
  const hosts = [...new Set(rows.map(({ host }) => host))];
  if (hosts.length === 0) return [];
  const { id, host, kind, request } = contracts;
  const declared = await deps.db.select({ id, host, kind, request }).from(contracts).where(inArray(host, hosts));
  return rows.flatMap((row) => {
    const proposed = proposalOf(row);
    if (proposed === null) return [];
    const ofHost = declared.filter((contract) => contract.host === row.host);
    const isKept = ofHost.some(
      (contract) => contract.id === row.contract || coversTemplate(contract, proposed.template),
    );
    return isKept ? [] : [{ id: row.id, proposal: proposed.proposal }];
  });
}

/** Null when the catalogue no longer has the entry, or the detection makes no valid contract. */
function proposalOf(row: DetectionRow): { proposal: Proposal; template: ContractTemplate } | null {
  const layout = findService(row.entry)?.layouts[row.layout];
  if (layout === undefined) return null;
  const { id, host, entry, params, evidence, dismissedAt, createdAt } = row;
  const { contract: template, missing } = fillTemplate(layout, readParams(layout.params, params).values);
  const parsed = missing.length > 0 ? null : ContractBody.safeParse(template);
  if (parsed?.success === false) return null;
  const contract = parsed?.data ?? null;
  const container = row.container === "" ? null : row.container;
  const found = { id, host, entry, layout: row.layout, container, params, evidence };
  return { proposal: { ...found, contract, missing, dismissedAt, createdAt }, template };
}

function coversTemplate({ request }: ContractRow, template: ContractTemplate): boolean {
  if ("sourceDirectories" in request) {
    return (
      template.kind === "files" &&
      template.request.sourceDirectories.every((source) => request.sourceDirectories.includes(source))
    );
  }
  return template.kind === "databasebackup" && template.request.backupCmd === request.backupCmd;
}
