import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { Id } from "../../shared/ids.ts";
import { Run, RunKind, RunState, RunWithLog } from "../../shared/run.ts";
import type { Deps } from "../deps.ts";
import { cancelRun, getRun, listRuns } from "../domain/runs/runs.ts";
import { describeAnswer } from "./describe.ts";
import { requireEmptyBody, query } from "./validate.ts";

const ListRuns = ListQuery.extend({
  host: Id.optional(),
  binding: Id.optional(),
  repository: Id.optional(),
  state: RunState.optional(),
  kind: RunKind.optional(),
});

export function runRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, page(Run), "List runs"), query(ListRuns), async (context) =>
      context.json(await listRuns(deps, context.req.valid("query"))),
    )
    .get("/:id", describeAnswer(200, RunWithLog, "Read a run and the end of its log"), async (context) =>
      context.json(await getRun(deps, context.req.param("id"))),
    )
    .post("/:id/cancel", describeAnswer(202, Run, "Cancel a run"), requireEmptyBody, async (context) =>
      context.json(await cancelRun(deps, context.req.param("id")), 202),
    );
}
