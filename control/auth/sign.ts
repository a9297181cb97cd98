import { CompactSign } from "jose";
import { JWS_TYPES, type Assignment, type Order } from "../../shared/assignment.ts";
import type { Probes } from "../../shared/catalog.ts";
import type { RelayedDelivery } from "../../shared/relay.ts";
import type { Enrolment } from "../../shared/host.ts";
import type { SigningKey } from "../deps.ts";

interface Signed {
  assignment: Assignment;
  order: Order;
  enrolment: Enrolment;
  probes: Probes;
  delivery: RelayedDelivery;
}

/** @returns a compact JWS by the control plane's key; its `typ` is the kind, so no kind can be taken for another */
export async function sign<Kind extends keyof Signed>(
  key: SigningKey,
  kind: Kind,
  payload: Signed[Kind],
): Promise<string> {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "EdDSA", typ: JWS_TYPES[kind] })
    .sign(key.privateKey);
}
