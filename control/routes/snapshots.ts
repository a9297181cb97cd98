import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { Id } from "../../shared/ids.ts";
import { Snapshot } from "../../shared/run.ts";
import type { Deps } from "../deps.ts";
import { getSnapshot, listSnapshots } from "../domain/reports/snapshots.ts";
import { describeAnswer } from "./describe.ts";
import { query } from "./validate.ts";

const ListSnapshots = ListQuery.extend({ host: Id.optional(), binding: Id.optional(), repository: Id.optional() });

export function snapshotRoutes(deps: Deps) {
  return new Hono()
    .get(
      "/",
      describeAnswer(200, page(Snapshot), "List snapshots, as last reported"),
      query(ListSnapshots),
      async (context) => context.json(await listSnapshots(deps, context.req.valid("query"))),
    )
    .get("/:id", describeAnswer(200, Snapshot, "Read a snapshot, by the provider's id"), async (context) =>
      context.json(await getSnapshot(deps, context.req.param("id"))),
    );
}
