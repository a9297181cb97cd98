import { or, eq, like } from "drizzle-orm";
import { hosts } from "../../db/schema/hosts.ts";
import type { Deps } from "../../deps.ts";

const MAX_LENGTH = 63;

/** A free name for a new host: the wish in the characters of a name, with `-2`, `-3`, … when it is taken. */
export async function freeHostName(deps: Deps, wish: string): Promise<string> {
  const base = asName(wish);
  const rows = await deps.db
    .select({ name: hosts.name })
    .from(hosts)
    .where(or(eq(hosts.name, base), like(hosts.name, `${base.slice(0, MAX_LENGTH - 6)}%`)));
  const taken = new Set(rows.map(({ name }) => name));
  for (let number = 1; ; number++) {
    const suffix = number === 1 ? "" : `-${number}`;
    const name = base.slice(0, MAX_LENGTH - suffix.length) + suffix;
    if (!taken.has(name)) return name;
  }
}

function asName(wish: string): string {
  const name = wish
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, MAX_LENGTH);
  return name === "" ? "host" : name;
}
