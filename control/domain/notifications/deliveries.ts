import { and, desc, eq, ne } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../../shared/api.ts";
import type { Delivery, DeliveryState } from "../../../shared/event.ts";
import { Failure } from "../../../shared/failure.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { deliveries } from "../../db/schema/notifications.ts";
import type { Deps } from "../../deps.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { notFound } from "../errors.ts";

export async function listDeliveries(
  deps: Deps,
  input: ListInput & {
    channel?: Id | undefined;
    incident?: Id | undefined;
    state?: z.infer<typeof DeliveryState> | undefined;
  },
): Promise<Page<Delivery>> {
  const rows = await deps.db
    .select()
    .from(deliveries)
    .where(
      and(
        isPastCursor(deliveries.id, input),
        matches(deliveries.channel, input.channel),
        matches(deliveries.incident, input.incident),
        matches(deliveries.state, input.state),
      ),
    )
    .orderBy(desc(deliveries.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toDelivery);
}

export async function getDelivery(deps: Deps, id: Id): Promise<Delivery> {
  const [row] = await deps.db.select().from(deliveries).where(eq(deliveries.id, id));
  if (row === undefined) throw notFound("deliveries", id);
  return toDelivery(row);
}

/**
 * Retries a delivery now. A failed one gets all its attempts again. Throws `request.conflict` when it was delivered.
 */
export async function retryDelivery(deps: Deps, id: Id): Promise<Delivery> {
  const old = await getDelivery(deps, id);
  const attempts = old.state === "failed" ? 0 : old.attempts;
  const [row] = await deps.db
    .update(deliveries)
    .set({ state: "pending", attempts, isAsked: true, nextAttemptAt: instant(deps.clock.now()) })
    .where(and(eq(deliveries.id, id), ne(deliveries.state, "delivered")))
    .returning();
  if (row === undefined)
    throw new Failure("request.conflict", `delivery ${id} was delivered already: there is nothing to retry`);
  deps.wakeOutbox();
  return toDelivery(row);
}

export function toDelivery(row: typeof deliveries.$inferSelect): Delivery {
  const {
    leaseUntil: _until,
    leaseOwner: _owner,
    relayState: _relay,
    isAsked: _asked,
    reached: _reached,
    ...shown
  } = row;
  return shown;
}
