import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { Approval } from "../../shared/approval.ts";
import { Id } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import { listApprovals } from "../domain/hosts/approvals.ts";
import { describeAnswer } from "./describe.ts";
import { query } from "./validate.ts";

export function approvalRoutes(deps: Deps) {
  return new Hono().get(
    "/",
    describeAnswer(200, page(Approval), "List what waits for root on hosts, newest first"),
    query(ListQuery.extend({ host: Id.optional() })),
    async (context) => context.json(await listApprovals(deps, context.req.valid("query"))),
  );
}
