import { Hono } from "hono";
import * as z from "zod";
import { ListQuery, page } from "../../shared/api.ts";
import { AcceptProposal, Proposal } from "../../shared/catalog.ts";
import { Contract } from "../../shared/contract.ts";
import { Id } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import { acceptProposal, dismissProposal, getProposal, listProposals } from "../domain/contracts/proposals.ts";
import { describeAnswer } from "./describe.ts";
import { body, query } from "./validate.ts";

const ListProposals = ListQuery.extend({
  host: Id.optional(),
  dismissed: z.enum(["true", "false"]).default("false").describe("true: only those that were dismissed"),
});

export function proposalRoutes(deps: Deps) {
  return new Hono()
    .get(
      "/",
      describeAnswer(200, page(Proposal), "List services detected on hosts that have no contract yet"),
      query(ListProposals),
      async (context) => {
        const { dismissed, ...input } = context.req.valid("query");
        return context.json(await listProposals(deps, { ...input, dismissed: dismissed === "true" }));
      },
    )
    .get("/:id", describeAnswer(200, Proposal, "Read a proposal"), async (context) =>
      context.json(await getProposal(deps, context.req.param("id"))),
    )
    .post(
      "/:id/accept",
      describeAnswer(201, Contract, "Declare the proposed contract"),
      body(AcceptProposal),
      async (context) =>
        context.json(await acceptProposal(deps, context.req.param("id"), context.req.valid("json")), 201),
    )
    .delete("/:id", describeAnswer(204, null, "Dismiss a proposal for good"), async (context) => {
      await dismissProposal(deps, context.req.param("id"));
      return context.body(null, 204);
    });
}
