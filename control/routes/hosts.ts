import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { ChangeHost, Host } from "../../shared/host.ts";
import { Label, Name } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import { changeHost, deleteHost, getHost, listHosts } from "../domain/hosts/hosts.ts";
import { describeAnswer } from "./describe.ts";
import { body, query } from "./validate.ts";

export function hostRoutes(deps: Deps) {
  return new Hono()
    .get(
      "/",
      describeAnswer(200, page(Host), "List hosts"),
      query(ListQuery.extend({ name: Name.optional(), label: Label.optional() })),
      async (context) => context.json(await listHosts(deps, context.req.valid("query"))),
    )
    .get("/:id", describeAnswer(200, Host, "Read a host"), async (context) =>
      context.json(await getHost(deps, context.req.param("id"))),
    )
    .patch("/:id", describeAnswer(200, Host, "Rename, label or revoke a host"), body(ChangeHost), async (context) =>
      context.json(await changeHost(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .delete("/:id", describeAnswer(204, null, "Delete a host"), async (context) => {
      await deleteHost(deps, context.req.param("id"));
      return context.body(null, 204);
    });
}
