import { Hono } from "hono";
import { CreateRestore } from "../../shared/api.ts";
import { Run } from "../../shared/run.ts";
import { requireScope } from "../auth/token.ts";
import type { Deps } from "../deps.ts";
import { createRestore } from "../domain/runs/restores.ts";
import type { ApiEnv } from "./access.ts";
import { describeAnswer } from "./describe.ts";
import { body } from "./validate.ts";

export function restoreRoutes(deps: Deps) {
  return new Hono<ApiEnv>().post(
    "/",
    describeAnswer(202, Run, "Restore files"),
    body(CreateRestore),
    async (context) => {
      const restore = context.req.valid("json");
      // To put a contract's files back is to run something; to choose where on which host files are written is more.
      if (restore.target !== null || restore.host !== null) requireScope(context.var.token, "admin");
      return context.json(await createRestore(deps, restore), 202);
    },
  );
}
