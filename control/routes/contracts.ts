import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { ChangeContract, Contract, CreateContract } from "../../shared/contract.ts";
import { Id, Name } from "../../shared/ids.ts";
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

export function contractRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, page(Contract), "List contracts"), query(ListContracts), async (context) =>
      context.json(await listContracts(deps, context.req.valid("query"))),
    )
    .post("/", describeAnswer(201, Contract, "Declare a contract"), body(CreateContract), async (context) =>
      context.json(await createContract(deps, context.req.valid("json")), 201),
    )
    .get("/:id", describeAnswer(200, Contract, "Read a contract"), async (context) =>
      context.json(await getContract(deps, context.req.param("id"))),
    )
    .patch("/:id", describeAnswer(200, Contract, "Change a contract"), body(ChangeContract), async (context) =>
      context.json(await changeContract(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .delete("/:id", describeAnswer(204, null, "Delete a contract"), async (context) => {
      await deleteContract(deps, context.req.param("id"));
      return context.body(null, 204);
    });
}
