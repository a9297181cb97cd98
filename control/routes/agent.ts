import { Hono, type Context } from "hono";
import { ReplaceHostKey, SignedAssignment, SignedOrders } from "../../shared/assignment.ts";
import { CHAIN_HEAD_HEADER } from "../../shared/checkpoint.ts";
import { DeclarationsResult, PublishedDeclarations } from "../../shared/declaration.ts";
import { Detections, SignedProbes } from "../../shared/catalog.ts";
import { RelayResults, SignedDeliveries } from "../../shared/relay.ts";
import { Escrows } from "../../shared/escrow.ts";
import { EnrollRequest, HostFacts } from "../../shared/host.ts";
import type { Id } from "../../shared/ids.ts";
import { Reports, ReportsAccepted } from "../../shared/report.ts";
import type { Deps } from "../deps.ts";
import { getAssignment } from "../domain/contracts/assignments.ts";
import { getProbes, saveDetections } from "../domain/contracts/detections.ts";
import { applyDeclarations } from "../domain/declared/declarations.ts";
import { enroll } from "../domain/hosts/enrollments.ts";
import { announceNextKey } from "../auth/sign.ts";
import { replaceHostKey } from "../domain/hosts/host-key.ts";
import { saveFacts } from "../domain/hosts/hosts.ts";
import { signedHead } from "../domain/service/chain-head.ts";
import { listOrders } from "../domain/runs/orders.ts";
import { saveEscrows } from "../domain/service/recovery.ts";
import { acceptReports } from "../domain/reports/reports.ts";
import { recordRelayResults, claimRelayedDeliveries } from "../notify/relay.ts";
import type { AgentEnv } from "./access.ts";
import { describeAnswer } from "./describe.ts";
import { body } from "./validate.ts";

/** Accepts a host's socket; each runtime has its own implementation. */
export type OpenSocket = (context: Context<AgentEnv>, host: Id) => Response | Promise<Response>;

/** The agents' API. Verbs get the authenticated host, never one that a request names. */
export function agentRoutes(deps: Deps, openSocket: OpenSocket) {
  return new Hono<AgentEnv>()
    .post("/enroll", describeAnswer(200, SignedAssignment, "Enrol a host"), body(EnrollRequest), async (context) => {
      const { host, jws } = await enroll(deps, context.req.valid("json"));
      context.set("host", host);
      return context.json({ jws });
    })
    .put("/facts", describeAnswer(204, null, "Report the host's facts"), body(HostFacts), async (context) => {
      await saveFacts(deps, context.var.host.id, context.req.valid("json"));
      return context.body(null, 204);
    })
    .put(
      "/declarations",
      describeAnswer(200, DeclarationsResult, "Publish the declarations of the host's files"),
      body(PublishedDeclarations),
      async (context) => context.json(await applyDeclarations(deps, context.var.host, context.req.valid("json"))),
    )
    .get(
      "/assignment",
      describeAnswer(200, SignedAssignment, "Read the assignment; 304 when it is unchanged"),
      async (context) => {
        const known = knownRevision(context.req.header("if-none-match"));
        const { revision, jws } = await getAssignment(deps, context.var.host.id, known);
        context.header("etag", `"${revision}"`);
        return jws === null ? context.body(null, 304) : context.json({ jws });
      },
    )
    .get("/orders", describeAnswer(200, SignedOrders, "List open orders"), async (context) => {
      const { id } = context.var.host;
      const [orders, head] = await Promise.all([listOrders(deps, id), signedHead(deps, id)]);
      if (head !== null) context.header(CHAIN_HEAD_HEADER, head);
      return context.json({ ...orders, ...(await announceNextKey(deps)) });
    })
    .put("/key", describeAnswer(204, null, "Replace the host's key"), body(ReplaceHostKey), async (context) => {
      await replaceHostKey(deps, context.var.host.id, context.req.valid("json"));
      return context.body(null, 204);
    })
    .post(
      "/reports",
      describeAnswer(200, ReportsAccepted, "Report runs and refusals"),
      body(Reports),
      async (context) => context.json(await acceptReports(deps, context.var.host, context.req.valid("json").reports)),
    )
    .get(
      "/deliveries",
      describeAnswer(200, SignedDeliveries, "Claim notifications to send from the host"),
      async (context) => context.json(await claimRelayedDeliveries(deps, context.var.host.id)),
    )
    .post(
      "/deliveries",
      describeAnswer(204, null, "Report the results of sending them"),
      body(RelayResults),
      async (context) => {
        await recordRelayResults(deps, context.var.host.id, context.req.valid("json").outcomes);
        return context.body(null, 204);
      },
    )
    .get("/probes", describeAnswer(200, SignedProbes, "Read the probes to run on the host"), async (context) =>
      context.json(await getProbes(deps, context.var.host.id)),
    )
    .put("/detections", describeAnswer(204, null, "Report detected services"), body(Detections), async (context) => {
      await saveDetections(deps, context.var.host.id, context.req.valid("json").detections);
      return context.body(null, 204);
    })
    .put(
      "/escrows",
      describeAnswer(204, null, "Send what opens the host's repositories, sealed"),
      body(Escrows),
      async (context) => {
        await saveEscrows(deps, context.var.host.id, context.req.valid("json").escrows);
        return context.body(null, 204);
      },
    )
    .get("/socket", async (context) => openSocket(context, context.var.host.id));
}

/** Parses the revision of an ETag. Compressing proxies make it weak: `W/"7"` is 7 too. */
function knownRevision(etag: string | undefined): number | null {
  const digits = /^(?:W\/)?"(\d{1,15})"$/.exec(etag ?? "")?.[1];
  return digits === undefined ? null : Number(digits);
}
