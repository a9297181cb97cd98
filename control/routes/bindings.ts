import { Hono, type Context, type Next } from "hono";
import { ForgetRequest, ListQuery, page } from "../../shared/api.ts";
import { Binding, ChangeBinding, CreateBinding } from "../../shared/binding.ts";
import { Failure } from "../../shared/failure.ts";
import { History, HistoryQuery } from "../../shared/history.ts";
import { Id, Label, Name } from "../../shared/ids.ts";
import { Run } from "../../shared/run.ts";
import type { Deps } from "../deps.ts";
import {
  changeBinding,
  createBinding,
  deleteBinding,
  pauseBinding,
  resumeBinding,
} from "../domain/contracts/bindings.ts";
import { getBinding, listBindings } from "../domain/contracts/binding-views.ts";
import { listHistory } from "../domain/runs/history.ts";
import { runBinding } from "../domain/runs/runs.ts";
import { checkBinding, forgetBinding } from "../domain/runs/upkeep.ts";
import { describeAnswer } from "./describe.ts";
import { body, requireEmptyBody, query } from "./validate.ts";

const ListBindings = ListQuery.extend({
  host: Id.optional(),
  contract: Id.optional(),
  repository: Id.optional(),
  name: Name.optional(),
  label: Label.optional(),
});

export function bindingRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, page(Binding), "List bindings"), query(ListBindings), async (context) =>
      context.json(await listBindings(deps, context.req.valid("query"))),
    )
    .post("/", describeAnswer(201, Binding, "Tie a contract to a repository"), body(CreateBinding), async (context) =>
      context.json(await createBinding(deps, context.req.valid("json")), 201),
    )
    .get("/:id", describeAnswer(200, Binding, "Read a binding"), async (context) =>
      context.json(await getBinding(deps, context.req.param("id"))),
    )
    .get(
      "/:id/history",
      describeAnswer(200, History, "List a binding's runs and their results by day, newest first"),
      query(HistoryQuery),
      async (context) => context.json(await listHistory(deps, context.req.param("id"), context.req.valid("query"))),
    )
    .patch(
      "/:id",
      describeAnswer(200, Binding, "Change a binding"),
      rejectContractChange,
      body(ChangeBinding),
      async (context) => context.json(await changeBinding(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .delete("/:id", describeAnswer(204, null, "Delete a binding; its snapshots stay"), async (context) => {
      await deleteBinding(deps, context.req.param("id"));
      return context.body(null, 204);
    })
    .post("/:id/run", describeAnswer(202, Run, "Back up now"), requireEmptyBody, async (context) =>
      context.json(await runBinding(deps, context.req.param("id")), 202),
    )
    .post(
      "/:id/forget",
      describeAnswer(202, Run, "Apply the retention, or only report what it would remove"),
      body(ForgetRequest),
      async (context) =>
        context.json(await forgetBinding(deps, context.req.param("id"), context.req.valid("json")), 202),
    )
    .post("/:id/check", describeAnswer(202, Run, "Check the binding's repository"), requireEmptyBody, async (context) =>
      context.json(await checkBinding(deps, context.req.param("id")), 202),
    )
    .post("/:id/pause", describeAnswer(200, Binding, "Pause the schedule"), requireEmptyBody, async (context) =>
      context.json(await pauseBinding(deps, context.req.param("id"))),
    )
    .post("/:id/resume", describeAnswer(200, Binding, "Resume the schedule"), requireEmptyBody, async (context) =>
      context.json(await resumeBinding(deps, context.req.param("id"))),
    );
}

/** Middleware: rejects contract fields in a binding, and names the route that changes them. */
async function rejectContractChange(context: Context, next: Next): Promise<void> {
  const body: unknown = await context.req.json().catch(() => null);
  const key =
    typeof body === "object" && body !== null ? ["contract", "request"].find((name) => name in body) : undefined;
  if (key !== undefined) {
    const message = "the contract's fields are read-only in a binding: change them at /api/v1/contracts/{id}";
    throw new Failure("bindings.contract_read_only", message, [{ path: [key], message }]);
  }
  await next();
}
