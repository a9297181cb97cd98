import { Hono } from "hono";
import { Recovery, SetRecovery, StoredEscrows } from "../../shared/escrow.ts";
import type { Deps } from "../deps.ts";
import { listEscrows, readRecovery, setRecovery } from "../domain/service/recovery.ts";
import { describeAnswer } from "./describe.ts";
import { body } from "./validate.ts";

export function recoveryRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, Recovery, "Read how far the recovery kit goes"), async (context) =>
      context.json(await readRecovery(deps)),
    )
    .put("/", describeAnswer(200, Recovery, "Set the recovery kit's recipient"), body(SetRecovery), async (context) =>
      context.json(await setRecovery(deps, context.req.valid("json"))),
    )
    .get(
      "/escrows",
      describeAnswer(200, StoredEscrows, "Read what hosts sealed to the recovery kit"),
      async (context) => context.json(await listEscrows(deps)),
    );
}
