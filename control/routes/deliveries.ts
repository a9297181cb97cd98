import { Hono } from "hono";
import { ListQuery, page } from "../../shared/api.ts";
import { Delivery, DeliveryState } from "../../shared/event.ts";
import { Id } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import { getDelivery, listDeliveries, retryDelivery } from "../domain/notifications/deliveries.ts";
import { describeAnswer } from "./describe.ts";
import { requireEmptyBody, query } from "./validate.ts";

const ListDeliveries = ListQuery.extend({
  channel: Id.optional(),
  incident: Id.optional(),
  state: DeliveryState.optional(),
});

export function deliveryRoutes(deps: Deps) {
  return new Hono()
    .get("/", describeAnswer(200, page(Delivery), "List deliveries"), query(ListDeliveries), async (context) =>
      context.json(await listDeliveries(deps, context.req.valid("query"))),
    )
    .get("/:id", describeAnswer(200, Delivery, "Read a delivery"), async (context) =>
      context.json(await getDelivery(deps, context.req.param("id"))),
    )
    .post("/:id/retry", describeAnswer(202, Delivery, "Retry a delivery now"), requireEmptyBody, async (context) =>
      context.json(await retryDelivery(deps, context.req.param("id")), 202),
    );
}
