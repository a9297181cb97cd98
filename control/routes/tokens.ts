import { Hono } from "hono";
import { ChangeToken, CreateToken, ListQuery, page, RotateToken, Token, TokenCreated } from "../../shared/api.ts";
import { Name } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import { changeToken, createToken, deleteToken, getToken, listTokens, rotateToken } from "../domain/service/tokens.ts";
import { describeAnswer } from "./describe.ts";
import { body, query } from "./validate.ts";

export function tokenRoutes(deps: Deps) {
  return new Hono()
    .get(
      "/",
      describeAnswer(200, page(Token), "List API tokens"),
      query(ListQuery.extend({ name: Name.optional() })),
      async (context) => context.json(await listTokens(deps, context.req.valid("query"))),
    )
    .post("/", describeAnswer(201, TokenCreated, "Create an API token"), body(CreateToken), async (context) =>
      context.json(await createToken(deps, context.req.valid("json")), 201),
    )
    .get("/:id", describeAnswer(200, Token, "Read an API token's facts"), async (context) =>
      context.json(await getToken(deps, context.req.param("id"))),
    )
    .patch("/:id", describeAnswer(200, Token, "Rename an API token"), body(ChangeToken), async (context) =>
      context.json(await changeToken(deps, context.req.param("id"), context.req.valid("json"))),
    )
    .post(
      "/:id/rotate",
      describeAnswer(201, TokenCreated, "Replace an API token; the old one works on for a while"),
      body(RotateToken),
      async (context) => context.json(await rotateToken(deps, context.req.param("id"), context.req.valid("json")), 201),
    )
    .delete("/:id", describeAnswer(204, null, "Revoke an API token"), async (context) => {
      await deleteToken(deps, context.req.param("id"));
      return context.body(null, 204);
    });
}
