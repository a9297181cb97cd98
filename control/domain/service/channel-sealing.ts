import { and, eq, sql } from "drizzle-orm";
import { ChannelTarget } from "../../../shared/channel.ts";
import type { Id } from "../../../shared/ids.ts";
import { isSealed, openSecret, openTarget, sealSecret, sealTarget } from "../../keys/channel-secrets.ts";
import { channels } from "../../db/schema/notifications.ts";
import type { Deps } from "../../deps.ts";

type SealDeps = Pick<Deps, "db" | "signingKey" | "random">;
type Row = typeof channels.$inferSelect;

/** Seals the channels of version 0.2, which are in clear. @returns how many */
export async function sealChannels(deps: SealDeps): Promise<number> {
  let count = 0;
  for (const row of await deps.db.select().from(channels)) {
    if (isSealed(row.target.sealed)) continue;
    const seal = async (secret: string | null) => (secret === null ? null : sealSecret(deps, row.id, secret));
    await write(deps, row, {
      target: await sealTarget(deps, row, ChannelTarget.parse(row.target)),
      secret: await seal(row.secret),
      previousSecret: await seal(row.previousSecret),
    });
    count++;
  }
  return count;
}

/** Seals all channels with another key. What the new key opens already stays; what neither opens, too. */
export async function resealChannels(
  before: SealDeps,
  after: SealDeps,
): Promise<{ remade: number; tampered: { table: "channels"; id: Id }[] }> {
  const tampered: { table: "channels"; id: Id }[] = [];
  let remade = 0;
  for (const row of await before.db.select().from(channels)) {
    if (await opens(after, row)) continue;
    if (await opens(before, row)) {
      const seal = async (secret: string | null) =>
        secret === null ? null : sealSecret(after, row.id, await openSecret(before, row.id, secret));
      await write(after, row, {
        target: await sealTarget(after, row, await openTarget(before, row)),
        secret: await seal(row.secret),
        previousSecret: await seal(row.previousSecret),
      });
      remade++;
    } else tampered.push({ table: "channels", id: row.id });
  }
  return { remade, tampered };
}

async function opens(deps: SealDeps, row: Row): Promise<boolean> {
  try {
    await openTarget(deps, row);
    for (const secret of [row.secret, row.previousSecret]) if (secret !== null) await openSecret(deps, row.id, secret);
    return true;
  } catch {
    return false;
  }
}

async function write({ db }: SealDeps, old: Row, sealed: Pick<Row, "target" | "secret" | "previousSecret">) {
  const unchanged = and(
    eq(channels.id, old.id),
    eq(channels.target, old.target),
    sql`${channels.secret} is ${old.secret}`,
  );
  await db.update(channels).set(sealed).where(unchanged);
}
