import { and, desc, eq, inArray, sql } from "drizzle-orm";
import type * as z from "zod";
import type { Escrow, Recovery, SetRecovery, StoredEscrows } from "../../../shared/escrow.ts";
import { type Id, instant } from "../../../shared/ids.ts";
import { bindings, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { escrows, recoveryRecipients } from "../../db/schema/recovery.ts";
import { writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";

/** Which recovery kit is in use, and which repositories it does not open yet. */
export async function readRecovery({ db }: Pick<Deps, "db">): Promise<Recovery> {
  const [current] = await db.select().from(recoveryRecipients).orderBy(desc(recoveryRecipients.setAt)).limit(1);
  const recipient = current?.recipient ?? null;
  const printedAt = current?.printedAt ?? null;
  const [counted, bound] = await db.batch([
    db
      .select({
        escrowed: sql<number>`count(distinct ${escrows.repository})`,
        newer: sql<number>`count(distinct case when ${escrows.changedAt} > ${printedAt ?? ""} then ${escrows.repository} end)`,
      })
      .from(escrows)
      .where(eq(escrows.recipient, recipient ?? "")),
    db
      .selectDistinct({ repository: repositories.name, host: hosts.name })
      .from(bindings)
      .innerJoin(repositories, eq(repositories.id, bindings.repository))
      .innerJoin(hosts, eq(hosts.id, bindings.host))
      .where(
        sql`not exists (select 1 from ${escrows} where ${escrows.repository} = ${bindings.repository} and ${escrows.recipient} = ${recipient ?? ""})`,
      )
      .orderBy(repositories.name, hosts.name),
  ]);
  const missing: Recovery["missing"] = [];
  for (const { repository, host } of bound) {
    const last = missing.at(-1);
    if (last?.repository === repository) last.hosts.push(host);
    else missing.push({ repository, hosts: [host] });
  }
  const { escrowed = 0, newer = 0 } = counted[0] ?? {};
  return { recipient, setAt: current?.setAt ?? null, printedAt, escrowed, newer, missing };
}

/** Sets the recipient in use. What was sealed to the one before stays until its host has sealed it anew. */
export async function setRecovery(deps: Pick<Deps, "db" | "clock">, input: SetRecovery): Promise<Recovery> {
  const now = instant(deps.clock.now());
  const printedAt = input.printed ? now : null;
  const known = sql`select max(${recoveryRecipients.setAt}) from ${recoveryRecipients}`;
  await deps.db
    .insert(recoveryRecipients)
    .values({ recipient: input.recipient, setAt: now, printedAt })
    .onConflictDoUpdate({
      target: recoveryRecipients.recipient,
      set: {
        // Printing the kit in use again is no change of it.
        setAt: sql`case when ${recoveryRecipients.setAt} = (${known}) then ${recoveryRecipients.setAt} else ${now} end`,
        printedAt: sql`coalesce(${printedAt}, ${recoveryRecipients.printedAt})`,
      },
    });
  return await readRecovery(deps);
}

export async function listEscrows({ db }: Pick<Deps, "db">): Promise<z.infer<typeof StoredEscrows>> {
  const { repository, host, recipient, sealed, changedAt } = escrows;
  const rows = await db
    .select({ repository, host, recipient, sealed, changedAt })
    .from(escrows)
    .orderBy(repository, host);
  return { escrows: rows };
}

/** Saves what a host sealed. What is about a repository that it is not bound to is dropped. */
export async function saveEscrows({ db, clock }: Pick<Deps, "db" | "clock">, host: Id, sent: readonly Escrow[]) {
  const now = instant(clock.now());
  const ids = sent.map(({ repository }) => repository);
  const bound = await db
    .selectDistinct({ repository: bindings.repository })
    .from(bindings)
    .where(and(eq(bindings.host, host), inArray(bindings.repository, ids)));
  const own = sent.filter(({ repository }) => bound.some((one) => one.repository === repository));
  await writeAll(
    db,
    own.map(({ repository, recipient, sealed, digest }) =>
      db
        .insert(escrows)
        .values({ repository, host, recipient, sealed, digest, changedAt: now })
        .onConflictDoUpdate({
          target: [escrows.repository, escrows.host],
          set: {
            recipient,
            sealed,
            digest,
            // Sealed once more, the same content is another text.
            changedAt: sql`case when ${escrows.digest} = ${digest} then ${escrows.changedAt} else ${now} end`,
          },
        }),
    ),
  );
}
