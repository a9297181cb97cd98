import { eq } from "drizzle-orm";
import { describe, expect, test } from "vitest";
import { channels, deliveries } from "../../control/db/schema/notifications.ts";
import { changeChannel, createChannel, getChannel, listChannels } from "../../control/domain/notifications/channels.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { CreateChannel } from "../../shared/channel.ts";
import { type Event, EventType } from "../../shared/event.ts";
import { type Id, instant, uuidv7 } from "../../shared/ids.ts";
import { heldDeps, type HeldDeps } from "../node/deps.ts";
import { eventsSaying, ODD } from "../support/events.ts";

/** A service as its documentation says, played by the test: it takes what the real one takes. */
export interface Service {
  /** What it was sent, as a person sees it there; throws for what the real one would refuse. */
  seen(): string[];
  /** From now on: the status of every answer (of an e-mail: the code of the reply to DATA); null: what says "taken". */
  answer(status: number | null): void;
  /** The ids by which it could know one message from another; empty where it can't. */
  ids(): string[];
  /** What is needed to reach it, with secrets nobody may be shown. */
  fields: Record<string, unknown>;
  /** Another value of one of the secret fields, and whether the last message came with it. */
  change: { field: string; value: string; wasUsed: () => boolean } | null;
}

/** What every kind of channel promises. */
export function channelSuite(kind: CreateChannel["kind"], start: () => Promise<Service>): void {
  describe(`a channel of the kind ${kind}`, () => {
    test("accepts an event of every type, short or long, within the service's limits", async () => {
      const { deps, service, notify } = await channel(kind, start);
      for (const said of ["photos", ODD, ODD.repeat(20)]) {
        await notify(...eventsSaying(said));
        await dispatch(deps);
      }
      const rows = await deps.db.select().from(deliveries);
      expect(rows.map(({ state, lastError }) => lastError ?? state)).toEqual(rows.map(() => "delivered"));
      const seen = service.seen();
      expect(seen).toHaveLength(3 * EventType.options.length);
      for (const text of seen) {
        expect(text.length).toBeGreaterThan(10);
        // A webhook's body is for a program, and JSON.
        const shown = kind === "webhook" ? text.replaceAll("\u202e", "") : text;
        // oxlint-disable-next-line no-control-regex -- what must not be there
        expect(shown).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u202e]/);
        expect(text.isWellFormed()).toBe(true);
      }
    });

    test("says what happened, to what, since when and what to do", async () => {
      const { deps, service, notify } = await channel(kind, start);
      await notify({
        type: "run.failed",
        timestamp: "2026-11-23T08:00:00.000Z",
        data: {
          run: { kind: "backup", failure: { message: "/srv/photos is not there", next: "Mount it." } },
          binding: { name: "photos" },
          host: { name: "nas" },
          repository: { name: "offsite" },
          failedSince: "2026-11-21T03:04:05.678Z",
        },
      });
      await dispatch(deps);
      const [text = ""] = service.seen();
      if (kind === "webhook") expect(JSON.parse(text)).toMatchObject({ type: "run.failed" });
      else
        for (const word of [
          "Backup of photos on nas failed",
          "/srv/photos is not there",
          "2026-11-21 03:04 UTC",
          "Mount it.",
          "offsite",
        ])
          expect(text).toContain(word);
    });

    test("a rejected delivery is retried as the same message, and only its status is kept", async () => {
      const { deps, service, notify, id } = await channel(kind, start);
      service.answer(kind === "email" ? 452 : 403);
      await notify(...eventsSaying("photos").slice(0, 1));
      await dispatch(deps);
      const state = async () => (await deps.db.select().from(deliveries))[0];
      const status = kind === "email" ? 452 : 403;
      expect(await state()).toMatchObject({ state: "pending", attempts: 1, lastStatus: status });
      expect((await state())?.lastError).toMatch(new RegExp(`^answered ${status}`));
      expect(JSON.stringify(await state())).not.toContain("nobody may read this");
      expect(await getChannel(deps, id)).toMatchObject({ failures: 1, lastStatus: status, lastDeliveredAt: null });
      service.answer(null);
      deps.clock.pass(6000);
      await dispatch(deps);
      expect(await state()).toMatchObject({ state: "delivered", attempts: 2, lastError: null });
      expect(await getChannel(deps, id)).toMatchObject({ failures: 0, lastError: null });
      expect((await getChannel(deps, id)).lastDeliveredAt).toBe(instant(deps.clock.now()));
      expect(new Set(service.ids()).size).toBeLessThanOrEqual(1);
    });

    test("its secrets are shown nowhere, and can be changed", async () => {
      const { deps, service, notify, id, created } = await channel(kind, start);
      const secret = kind === "webhook" ? String(created["secret"]) : "";
      const { secret: _once, ...shownOnce } = created;
      const shown = [shownOnce, await getChannel(deps, id), await listChannels(deps, { limit: 10 })];
      const hidden = Object.values(service.fields).filter((value) => String(value).includes("SECRET"));
      for (const text of shown.map((one) => JSON.stringify(one))) {
        for (const value of [...hidden, ...(secret === "" ? [] : [secret])]) expect(text).not.toContain(value);
      }
      if (service.change === null) return;
      const { field, value, wasUsed } = service.change;
      expect(hidden.length).toBeGreaterThan(0);
      expect(JSON.stringify(await changeChannel(deps, id, { [field]: value }))).not.toContain(value);
      await notify(...eventsSaying("photos").slice(0, 1));
      await dispatch(deps);
      expect(wasUsed()).toBe(true);
    });
  });
}

async function channel(kind: CreateChannel["kind"], start: () => Promise<Service>) {
  const deps = await heldDeps();
  const service = await start();
  const created = await createChannel(deps, CreateChannel.parse({ name: "me", kind, ...service.fields }));
  const [row] = await deps.db.select().from(channels).where(eq(channels.id, created.id));
  expect(row?.kind).toBe(kind);
  return { deps, service, created, id: created.id, notify: (...events: Event[]) => write(deps, created.id, events) };
}

/** Straight into the outbox, so that the words are the test's own. */
async function write(deps: HeldDeps, channel: Id, events: readonly Event[]): Promise<void> {
  const at = instant(deps.clock.now());
  await deps.db.insert(deliveries).values(
    events.map((payload) => ({
      id: uuidv7(deps.clock.now(), deps.random(10)),
      channel,
      type: payload.type,
      payload,
      nextAttemptAt: at,
      createdAt: at,
    })),
  );
}
