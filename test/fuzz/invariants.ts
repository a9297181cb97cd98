import { sql } from "drizzle-orm";
import { mustHold } from "./target.ts";
import type { Scene } from "./scene.ts";

const AT_MOST_ONE: readonly { what: string; query: string }[] = [
  {
    what: "two open incidents of one key",
    query: 'select "key" from incidents where closedAt is null group by "key" having count(*) > 1',
  },
  {
    what: "a run of a host that is not its binding's",
    query:
      "select runs.id from runs join bindings on bindings.id = runs.binding join contracts on contracts.id = bindings.contract left join hosts on hosts.id = runs.host where contracts.host <> runs.host and runs.kind <> 'restore'",
  },
  {
    what: "a binding whose contract is gone",
    query: "select id from bindings where contract not in (select id from contracts)",
  },
  {
    what: "a binding whose repository is gone",
    query: "select id from bindings where repository not in (select id from repositories)",
  },
  { what: "a contract whose host is gone", query: "select id from contracts where host not in (select id from hosts)" },
];

/** What has to hold in the database, whatever was sent; and everything in it can be shown. */
export async function checkDatabase({ control, errors }: Scene): Promise<void> {
  const { db } = control.deps;
  const [intact] = await db.all<{ integrity_check: string }>(sql`pragma integrity_check`);
  mustHold(intact?.integrity_check === "ok", () => `the database is not intact: ${JSON.stringify(intact)}`);
  for (const { what, query } of AT_MOST_ONE) {
    const found = await db.all(sql.raw(query));
    mustHold(found.length === 0, () => `${what}: ${JSON.stringify(found.slice(0, 3))}`);
  }
  const lists = control.app.routes.filter(({ method, path }) => method === "GET" && /^\/api\/v1\/[a-z]+$/.test(path));
  for (const path of new Set(lists.map((route) => route.path))) {
    for (let next: unknown = null; next !== undefined;) {
      const { status, body } = await control.admin.send(
        "GET",
        `${path}?limit=100${next === null ? "" : `&cursor=${String(next)}`}`,
      );
      mustHold(
        status === 200 || (status === 400 && path.endsWith("/calendar")),
        () => `GET ${path} answered ${status}: ${JSON.stringify(body)} ${errors.join("\n")}`,
      );
      const after: unknown =
        typeof body === "object" && body !== null && "next" in body && !Array.isArray(body.next) ? body.next : null;
      next = after ?? undefined;
    }
  }
}
