import { Hono } from "hono";
import { CreateRestore } from "../../shared/api.ts";
import { Run } from "../../shared/run.ts";
import type { Deps } from "../deps.ts";
import { createRestore } from "../domain/runs/restores.ts";
import { describeAnswer } from "./describe.ts";
import { body } from "./validate.ts";

export function restoreRoutes(deps: Deps) {
  return new Hono().post("/", describeAnswer(202, Run, "Restore files"), body(CreateRestore), async (context) =>
    context.json(await createRestore(deps, context.req.valid("json")), 202),
  );
}
