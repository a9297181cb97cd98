import { and, desc, eq } from "drizzle-orm";
import type * as z from "zod";
import type { ChangeToken, CreateToken, Page, RotateToken, Token, TokenCreated } from "../../../shared/api.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { changeWithMac, guardAsRead, withMac } from "../../keys/row-mac.ts";
import { newSecret, sha256Hex } from "../../auth/secret.ts";
import { tokens } from "../../db/schema/service.ts";
import { withRetry, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { newId } from "../ids.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { notFound, throwIfNameTaken } from "../errors.ts";

/** Creates an API token. Its text is only in the result; the database keeps its hash. */
export async function createToken(
  deps: Pick<Deps, "db" | "clock" | "random" | "signingKey">,
  input: CreateToken,
): Promise<z.infer<typeof TokenCreated>> {
  const token = `hft_${newSecret(deps)}`;
  const now = deps.clock.now();
  const row = await withMac(deps, "tokens", {
    id: newId(deps),
    name: input.name,
    scope: input.scope,
    hash: await sha256Hex(token),
    expiresAt: input.expiresInSeconds === null ? null : instant(now + input.expiresInSeconds * 1000),
    lastUsedAt: null,
    createdAt: instant(now),
  });
  await throwIfNameTaken("tokens", input.name, deps.db.insert(tokens).values(row));
  return { ...toToken(row), token };
}

export async function listTokens(deps: Deps, input: ListInput & { name?: string | undefined }): Promise<Page<Token>> {
  const rows = await deps.db
    .select()
    .from(tokens)
    .where(and(isPastCursor(tokens.id, input), matches(tokens.name, input.name)))
    .orderBy(desc(tokens.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toToken);
}

export async function getToken(deps: Deps, id: Id): Promise<Token> {
  return toToken(await findToken(deps, id));
}

export async function changeToken(deps: Deps, id: Id, change: ChangeToken): Promise<Token> {
  await withRetry(async () => {
    const old = await findToken(deps, id);
    const changed = await changeWithMac(deps, "tokens", old, { name: change.name });
    const write = writeAll(deps.db, [
      guardAsRead(deps, "tokens", old),
      deps.db.update(tokens).set(changed).where(eq(tokens.id, id)),
    ]);
    await throwIfNameTaken("tokens", change.name, write);
  });
  return getToken(deps, id);
}

/**
 * Replaces a token by a new one with its name and rights. The old one works on for the overlap, under another name.
 * One batch: there is always one of that name.
 */
export async function rotateToken(
  deps: Deps,
  id: Id,
  { overlapSeconds }: RotateToken,
): Promise<z.infer<typeof TokenCreated>> {
  return await withRetry(async () => {
    const old = await findToken(deps, id);
    const now = deps.clock.now();
    const until = instant(now + overlapSeconds * 1000);
    const expiresAt = old.expiresAt !== null && old.expiresAt < until ? old.expiresAt : until;
    const retired = await changeWithMac(deps, "tokens", old, { name: retiredName(old.name, newId(deps)), expiresAt });
    const token = `hft_${newSecret(deps)}`;
    const row = await withMac(deps, "tokens", {
      id: newId(deps),
      name: old.name,
      scope: old.scope,
      hash: await sha256Hex(token),
      expiresAt: old.expiresAt,
      lastUsedAt: null,
      createdAt: instant(now),
    });
    await writeAll(deps.db, [
      guardAsRead(deps, "tokens", old),
      deps.db.update(tokens).set(retired).where(eq(tokens.id, id)),
      deps.db.insert(tokens).values(row),
    ]);
    return { ...toToken(row), token };
  });
}

/** Names are unique, and at most 63 characters long. */
function retiredName(name: string, id: Id): string {
  const ending = `-until-replaced-${id.slice(-6)}`;
  return `${name.slice(0, 63 - ending.length)}${ending}`;
}

/** Revokes the token at once. */
export async function deleteToken(deps: Deps, id: Id): Promise<void> {
  const gone = await deps.db.delete(tokens).where(eq(tokens.id, id)).returning({ id: tokens.id });
  if (gone.length === 0) throw notFound("tokens", id);
}

async function findToken(deps: Deps, id: Id): Promise<typeof tokens.$inferSelect> {
  const [row] = await deps.db.select().from(tokens).where(eq(tokens.id, id));
  if (row === undefined) throw notFound("tokens", id);
  return row;
}

function toToken({ id, name, scope, expiresAt, lastUsedAt, createdAt }: typeof tokens.$inferSelect): Token {
  return { id, name, scope, expiresAt, lastUsedAt, createdAt };
}
