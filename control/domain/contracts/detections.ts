import { eq, inArray } from "drizzle-orm";
import { Probe, type Detection, type Layout, type Probes } from "../../../shared/catalog.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { sign } from "../../auth/sign.ts";
import { findService, SERVICES } from "../../catalog/catalog.ts";
import { contracts, detections } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { newId } from "../ids.ts";
import { notFound } from "../errors.ts";

/** The signed list of probes; the agent looks for nothing else. */
export async function getProbes(deps: Deps, host: Id): Promise<{ jws: string }> {
  const [row] = await deps.db.select({ facts: hosts.facts }).from(hosts).where(eq(hosts.id, host));
  if (row === undefined) throw notFound("hosts", host);
  const own: Layout = /\bnixos\b/i.test(row.facts?.os ?? "") ? "nixos" : "debian";
  const payload: Probes = { host, issuedAt: instant(deps.clock.now()), probes: probesOf([own, "docker"]) };
  return { jws: await sign(deps.signingKey, "probes", payload) };
}

/** Saves all services a host detected. Those no longer detected are deleted, unless accepted or dismissed. */
export async function saveDetections(deps: Deps, host: Id, found: readonly Detection[]): Promise<void> {
  const known = found.filter(({ entry }) => findService(entry) !== null);
  const keys = new Set(known.map((detection) => detectionKey(detection)));
  const before = await deps.db
    .select({
      id: detections.id,
      entry: detections.entry,
      layout: detections.layout,
      container: detections.container,
      dismissedAt: detections.dismissedAt,
      accepted: contracts.id,
    })
    .from(detections)
    .leftJoin(contracts, eq(contracts.id, detections.contract))
    .where(eq(detections.host, host));
  const gone = before.filter(
    (row) => !keys.has(detectionKey(row)) && row.dismissedAt === null && row.accepted === null,
  );
  const createdAt = instant(deps.clock.now());
  const statements: Statement[] = known.map(({ entry, layout, container, params, evidence }) =>
    deps.db
      .insert(detections)
      .values({ id: newId(deps), host, entry, layout, container: container ?? "", params, evidence, createdAt })
      .onConflictDoUpdate({
        target: [detections.host, detections.entry, detections.layout, detections.container],
        set: { params, evidence },
      }),
  );
  if (gone.length > 0) {
    const ids = gone.map(({ id }) => id);
    statements.unshift(deps.db.delete(detections).where(inArray(detections.id, ids)));
  }
  await writeAll(deps.db, statements);
}

function probesOf(layouts: readonly Layout[]): Probe[] {
  return SERVICES.flatMap(({ name, layouts: templates }) =>
    layouts.flatMap((layout) =>
      templates[layout].probes.map((probe) => Probe.parse({ ...probe, entry: name, layout })),
    ),
  );
}

function detectionKey(detection: Pick<Detection, "entry" | "layout" | "container">): string {
  return `${detection.entry}/${detection.layout}/${detection.container ?? ""}`;
}
