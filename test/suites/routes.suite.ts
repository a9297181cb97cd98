import { describe, expect, test } from "vitest";
import * as z from "zod";
import { page, Token, TokenCreated } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Channel, ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { Enrollment, EnrollmentCreated, Host } from "../../shared/host.ts";
import { Forecast } from "../../shared/forecast.ts";
import { Repository } from "../../shared/repository.ts";
import { Run, Snapshot } from "../../shared/run.ts";
import { type Client, codeOf, openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { declareBinding } from "../support/declare.ts";
import { enrolFakeHost } from "../support/fake-host.ts";

const OpenApi = z.object({ openapi: z.string(), paths: z.record(z.string(), z.record(z.string(), z.unknown())) });
const METHODS = new Set(["get", "post", "put", "patch", "delete"]);
/** The only routes that need no credential. */
const PUBLIC = new Set([
  "GET /healthz",
  "GET /api/v1/openapi.json",
  "POST /agent/v1/enroll",
  "GET /install.sh",
  "GET /install/{file}",
]);

/**
 * The HTTP API from outside, as far as a runtime could break it. What each route does in depth is tested in
 * test/control.
 */
export function routesSuite(control: () => ControlUnderTest): void {
  const admin = openClient(
    () => control().url,
    () => control().adminToken,
  );
  const nobody = openClient(() => control().url, null);

  describe("routes", () => {
    test("healthz is ok", async () => {
      expect(await nobody.send("GET", "/healthz")).toMatchObject({ status: 200, body: { status: "ok" } });
    });

    test("serves its OpenAPI description, and every route in it is closed unless it is public", async () => {
      const { openapi, paths } = await admin.ask(OpenApi, "GET", "/api/v1/openapi.json");
      expect(openapi).toMatch(/^3\.1\./);
      const routes = Object.entries(paths).flatMap(([path, methods]) =>
        Object.keys(methods)
          .filter((method) => METHODS.has(method))
          .map((method) => `${method.toUpperCase()} ${path}`),
      );
      expect(routes).toContain("GET /api/v1/hosts");
      for (const route of routes.filter((each) => !PUBLIC.has(each))) {
        const [method = "", path = ""] = route.split(" ");
        const answer = await nobody.send(method, path.replaceAll(/\{\w+\}/g, "01936f0e-0000-7000-8000-000000000000"));
        expect({ route, status: answer.status, code: codeOf(answer.body) }).toEqual({
          route,
          status: 401,
          code: "auth.required",
        });
      }
    });

    test("computes the next times of a schedule, also of cron's", async () => {
      const asked = new URLSearchParams({
        expression: "30 2 * * 1-5",
        zone: "Asia/Kathmandu",
        from: "2026-11-27T00:00:00.000Z",
        count: "1",
      });
      expect(await admin.ask(Forecast, "GET", `/api/v1/calendar?${asked}`)).toEqual({
        normalized: "30 2 * * 1-5",
        next: ["2026-11-29T20:45:00.000Z"],
      });
    });

    test("an unknown route is 404, with a code", async () => {
      const answer = await admin.send("GET", "/api/v1/nothing");
      expect([answer.status, codeOf(answer.body)]).toEqual([404, "route.not_found"]);
    });

    test("answers to agents contain the time, also errors, because agents compute their clock offset from it", async () => {
      const { headers } = await nobody.send("GET", "/agent/v1/assignment");
      expect(Math.abs(Date.parse(headers.get("date") ?? "") - Date.now())).toBeLessThan(10_000);
    });

    test("walks each collection: create, read, list, change, delete", async () => {
      const host = await enrolFakeHost(control(), "walker");
      const { contract, repository, binding } = await declareBinding(admin, { host: host.name, name: "walk" });
      const channel = await admin.ask(ChannelCreated, "POST", "/api/v1/channels", {
        name: "walk",
        kind: "webhook",
        url: "http://127.0.0.1:9/hook",
      });
      expect(channel.secret).toMatch(/^whsec_/);
      const token = await admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name: "walk", scope: "read" });
      expect(token.token).toMatch(/^hft_[A-Za-z0-9_-]{43}$/);

      const walks: [string, z.ZodType<{ id: string; name: string }>, string, object][] = [
        ["bindings", Binding, binding.id, { settings: { timerConfig: { OnCalendar: "hourly" } } }],
        ["contracts", Contract, contract.id, { name: "walked" }],
        ["repositories", Repository, repository.id, { name: "walked" }],
        ["channels", Channel, channel.id, { enabled: false }],
        ["tokens", Token, token.id, { name: "walked" }],
        ["hosts", Host, host.id, { name: "walked" }],
      ];
      for (const [collection, schema, id, change] of walks) {
        const path = `/api/v1/${collection}/${id}`;
        expect(await admin.ask(schema, "GET", path)).toMatchObject({ id });
        const { items } = await admin.ask(page(schema), "GET", `/api/v1/${collection}?limit=500`);
        expect(items.map((item) => item.id)).toContain(id);
        expect(await admin.ask(schema, "PATCH", path, change)).toMatchObject(change);
        await expectDeleted(admin, collection, id);
      }
    });

    test("walks the enrolments, which can't be changed", async () => {
      const made = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "walked", uses: 3 });
      expect(made.command).toContain(made.token);
      const { token: _token, command: _command, ...kept } = made;
      expect(await admin.ask(Enrollment, "GET", `/api/v1/enrollments/${made.id}`)).toEqual(kept);
      const { items } = await admin.ask(page(Enrollment), "GET", "/api/v1/enrollments?limit=500");
      expect(items).toContainEqual(kept);
      await expectDeleted(admin, "enrollments", made.id);
    });

    test("concurrent writes are all stored", async () => {
      const names = Array.from({ length: 30 }, (_, index) => `at-once-${index}`);
      const made = await Promise.all(
        names.map((name) => admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name, scope: "read" })),
      );
      const { items } = await admin.ask(page(Token), "GET", "/api/v1/tokens?limit=500");
      const listed = new Set(items.map((token) => token.id));
      expect(made.filter((token) => !listed.has(token.id))).toEqual([]);
    });

    test("walks what only the control plane creates: runs, snapshots, deliveries", async () => {
      const host = await enrolFakeHost(control(), "made");
      const { binding } = await declareBinding(admin, { host: host.name, name: "made" });
      const run = await admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
      const runs = await admin.ask(page(Run), "GET", `/api/v1/runs?binding=${binding.id}`);
      expect(runs).toMatchObject({ items: [{ id: run.id, state: "queued" }], next: null });
      expect(await admin.ask(page(Snapshot), "GET", `/api/v1/snapshots?binding=${binding.id}`)).toEqual({
        items: [],
        next: null,
      });

      const channel = await admin.ask(ChannelCreated, "POST", "/api/v1/channels", {
        name: "made",
        kind: "webhook",
        url: "http://127.0.0.1:9/hook",
      });
      await admin.ask(z.unknown(), "POST", `/api/v1/channels/${channel.id}/test`);
      const deliveries = await admin.ask(page(Delivery), "GET", `/api/v1/deliveries?channel=${channel.id}`);
      expect(deliveries.items).toMatchObject([{ type: "channel.test", payload: { type: "channel.test" } }]);
    });

    test("pages newest first, by cursor, and filters by field", async () => {
      const names = ["page-a", "page-b", "page-c", "page-d", "page-e"];
      for (const name of names) await admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name, scope: "read" });
      const listed: string[] = [];
      let cursor = "";
      do {
        const part = await admin.ask(page(Token), "GET", `/api/v1/tokens?limit=2${cursor}`);
        expect(part.items.length).toBeLessThanOrEqual(2);
        listed.push(...part.items.map((token) => token.name));
        cursor = part.next === null ? "" : `&cursor=${part.next}`;
      } while (cursor !== "");
      expect(listed.filter((name) => names.includes(name))).toEqual(names.toReversed());
      const filtered = await admin.ask(page(Token), "GET", "/api/v1/tokens?name=page-c");
      expect(filtered.items.map((token) => token.name)).toEqual(["page-c"]);
    });

    test("a token may do only what its scope says", async () => {
      const { token } = await admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name: "reader", scope: "read" });
      const reader = openClient(control().url, () => token);
      expect((await reader.send("GET", "/api/v1/hosts")).status).toBe(200);
      const answer = await reader.send("POST", "/api/v1/enrollments", {});
      expect([answer.status, codeOf(answer.body)]).toEqual([403, "auth.scope_too_small"]);
    });

    test("an object with dependents is not deleted, and they are named", async () => {
      const host = await enrolFakeHost(control(), "needed");
      const { contract, repository, binding } = await declareBinding(admin, { host: host.name, name: "needed" });
      for (const [collection, id, dependent] of [
        ["contracts", contract.id, binding.name],
        ["repositories", repository.id, binding.name],
        ["hosts", host.id, contract.name],
      ]) {
        const answer = await admin.send("DELETE", `/api/v1/${collection}/${id}`);
        expect([answer.status, codeOf(answer.body)]).toEqual([409, `${collection}.in_use`]);
        expect(JSON.stringify(answer.body)).toContain(dependent);
      }
      expect(await admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`)).toEqual(binding);
    });
  });
}

async function expectDeleted(admin: Client, collection: string, id: string): Promise<void> {
  const path = `/api/v1/${collection}/${id}`;
  expect((await admin.send("DELETE", path)).status).toBe(204);
  const gone = await admin.send("GET", path);
  expect([gone.status, codeOf(gone.body)]).toEqual([404, `${collection}.not_found`]);
}
