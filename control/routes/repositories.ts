import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { Name } from "../../shared/ids.ts";
import { ChangeRepository, CreateRepository, Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import type { Deps } from "../deps.ts";
import {
  changeRepository,
  createRepository,
  deleteRepository,
  getRepository,
  listRepositories,
} from "../domain/contracts/repositories.ts";
import { orderUpkeep } from "../domain/runs/upkeep.ts";
import { describeAnswer } from "./describe.ts";
import { body, requireEmptyBody, query } from "./validate.ts";

const ListRepositories = ListQuery.extend({ name: Name.optional() });

export function repositoryRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, page(Repository), "List repositories"), query(ListRepositories), async (context) =>
      context.json(await listRepositories(deps, context.req.valid("query"))),
    )
    .post("/", describeAnswer(201, Repository, "Declare a repository"), body(CreateRepository), async (context) =>
      context.json(await createRepository(deps, context.req.valid("json")), 201),
    )
    .get("/:id", describeAnswer(200, Repository, "Read a repository"), async (context) =>
      context.json(await getRepository(deps, context.req.param("id"))),
    )
    .patch("/:id", describeAnswer(200, Repository, "Change a repository"), body(ChangeRepository), async (context) =>
      context.json(await changeRepository(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .delete("/:id", describeAnswer(204, null, "Delete a repository here; its stored data stays"), async (context) => {
      await deleteRepository(deps, context.req.param("id"));
      return context.body(null, 204);
    })
    .post(
      "/:id/check",
      describeAnswer(202, Run, "Check a repository and read a part of its data"),
      requireEmptyBody,
      async (context) => context.json(await orderUpkeep(deps, context.req.param("id"), "check"), 202),
    )
    .post(
      "/:id/prune",
      describeAnswer(202, Run, "Prune a repository: free the space of removed snapshots"),
      requireEmptyBody,
      async (context) => context.json(await orderUpkeep(deps, context.req.param("id"), "prune"), 202),
    );
}
