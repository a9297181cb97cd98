import { compactVerify, importJWK } from "jose";
import { JWS_TYPES, Order, SignedOrders } from "../../shared/assignment.ts";
import type { TestHost } from "../support/control.ts";

/** The host's open orders, each verified as an agent does. */
export async function ordersOf(host: TestHost): Promise<Order[]> {
  const { orders } = await host.ask(SignedOrders, "GET", "/agent/v1/orders");
  return Promise.all(orders.map(async (jws) => Order.parse(await verified(host, jws, JWS_TYPES.order))));
}

/** The payload of what the control plane signed for that host. Throws when the key or the type is another. */
export async function verified(host: TestHost, jws: string, typ: string): Promise<unknown> {
  const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: host.controlKey }, "EdDSA");
  const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["EdDSA"] });
  if (protectedHeader.typ !== typ) throw new Error(`signed as ${String(protectedHeader.typ)}, not as ${typ}`);
  return JSON.parse(new TextDecoder().decode(payload));
}
