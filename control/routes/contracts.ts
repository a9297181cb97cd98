import { type Context, Hono, type Next } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { ChangeContract, Contract, CreateContract, NO_DATASETS } from "../../shared/contract.ts";
import { Failure } from "../../shared/failure.ts";
import { Id, Name } from "../../shared/ids.ts";
import { isRecord } from "../../shared/json.ts";
import type { Deps } from "../deps.ts";
import {
  changeContract,
  createContract,
  deleteContract,
  getContract,
  listContracts,
} from "../domain/contracts/contracts.ts";
import { describeAnswer } from "./describe.ts";
import { body, query } from "./validate.ts";

const ListContracts = ListQuery.extend({ host: Id.optional(), name: Name.optional() });

/** A contract that the seed knows and that is not there yet is not just an unknown key. */
async function refuseDataset(context: Context, next: Next): Promise<void> {
  const wanted: unknown = await context.req.json().catch(() => null);
  const { kind = null, request = null } = isRecord(wanted) ? wanted : {};
  const path =
    kind === "datasetbackup" ? ["kind"] : isRecord(request) && "dataset" in request ? ["request", "dataset"] : null;
  if (path !== null)
    throw new Failure("request.invalid", `${path.join(".")}: ${NO_DATASETS}`, [{ path, message: NO_DATASETS }]);
  await next();
}

export function contractRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, page(Contract), "List contracts"), query(ListContracts), async (context) =>
      context.json(await listContracts(deps, context.req.valid("query"))),
    )
    .post(
      "/",
      describeAnswer(201, Contract, "Declare a contract"),
      refuseDataset,
      body(CreateContract),
      async (context) => context.json(await createContract(deps, context.req.valid("json")), 201),
    )
    .get("/:id", describeAnswer(200, Contract, "Read a contract"), async (context) =>
      context.json(await getContract(deps, context.req.param("id"))),
    )
    .patch(
      "/:id",
      describeAnswer(200, Contract, "Change a contract"),
      refuseDataset,
      body(ChangeContract),
      async (context) => context.json(await changeContract(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .delete("/:id", describeAnswer(204, null, "Delete a contract"), async (context) => {
      await deleteContract(deps, context.req.param("id"));
      return context.body(null, 204);
    });
}
