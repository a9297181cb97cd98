import * as z from "zod";
import { Assignment, Order, SignedOrders } from "../../shared/assignment.ts";
import type { TestHost } from "../support/control.ts";

/** What a host is asked to do now, its signature unlooked at. */
export async function openAssignment(host: TestHost): Promise<Assignment> {
  const { jws } = await host.ask(z.object({ jws: z.string() }), "GET", "/agent/v1/assignment");
  return Assignment.parse(payloadOf(jws));
}

/** The orders that wait for a host, oldest first, their signatures unlooked at. */
export async function openOrders(host: TestHost): Promise<Order[]> {
  const { orders } = await host.ask(SignedOrders, "GET", "/agent/v1/orders");
  return orders.map((jws) => Order.parse(payloadOf(jws)));
}

function payloadOf(jws: string): unknown {
  return JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString());
}
