import { eq } from "drizzle-orm";
import { marks } from "../db/schema/service.ts";
import type { Statement } from "../db/transaction.ts";
import type { Deps, SigningKey } from "../deps.ts";
import { isMacOfText, macOfText } from "./row-mac.ts";
import { canonicalJson } from "../../shared/json.ts";

export type MarkName = typeof marks.$inferSelect.name;
export type MarkValue = typeof marks.$inferSelect.value;

/** `none`: there is no such mark. `forged`: somebody else wrote it, or it belongs to another signing key. */
export type Mark =
  | { readonly state: "none" | "forged" }
  | { readonly state: "ours"; readonly value: MarkValue; readonly mac: string };

export async function readMark({ db, signingKey }: Pick<Deps, "db" | "signingKey">, name: MarkName): Promise<Mark> {
  const [row] = await db.select().from(marks).where(eq(marks.name, name));
  return checkMark(signingKey, name, row);
}

/** @param row as it is in the database */
export async function checkMark(
  signingKey: SigningKey,
  name: MarkName,
  row: { value: MarkValue; mac: string } | undefined,
): Promise<Mark> {
  if (row === undefined) return { state: "none" };
  const { value, mac } = row;
  return (await isMacOfText(signingKey, mac, textOf(name, value)))
    ? { state: "ours", value, mac }
    : { state: "forged" };
}

/** Statements (one, in an array, because awaiting it alone runs it) that set the mark. */
export async function setMark(
  { db, signingKey }: Pick<Deps, "db" | "signingKey">,
  name: MarkName,
  value: MarkValue,
): Promise<Statement[]> {
  const row = { value, mac: await macOfText(signingKey, textOf(name, value)) };
  return [
    db
      .insert(marks)
      .values({ name, ...row })
      .onConflictDoUpdate({ target: marks.name, set: row }),
  ];
}

function textOf(name: MarkName, value: MarkValue): string {
  return canonicalJson(["marks", name, value]);
}
