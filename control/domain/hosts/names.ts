import { or, eq, like } from "drizzle-orm";
import { hosts } from "../../db/schema/hosts.ts";
import type { Deps } from "../../deps.ts";

const LONGEST = 63;

/** The name a new host gets: what is wished for as far as a name can look like it, with `-2`, `-3`, … when it is taken. */
export async function freeHostName(deps: Deps, wish: string): Promise<string> {
  const base = asName(wish);
  const rows = await deps.db
    .select({ name: hosts.name })
    .from(hosts)
    .where(or(eq(hosts.name, base), like(hosts.name, `${base.slice(0, LONGEST - 6)}%`)));
  const taken = new Set(rows.map(({ name }) => name));
  for (let number = 1; ; number++) {
    const suffix = number === 1 ? "" : `-${number}`;
    const name = base.slice(0, LONGEST - suffix.length) + suffix;
    if (!taken.has(name)) return name;
  }
}

function asName(wish: string): string {
  const name = wish
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, LONGEST);
  return name === "" ? "host" : name;
}
