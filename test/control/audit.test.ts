import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { page, TokenCreated } from "../../shared/api.ts";
import { AuditEntry } from "../../shared/audit.ts";
import { Run } from "../../shared/run.ts";
import { askerOf, FACTS, testControl, type TestControl } from "../support/control.ts";
import { declare } from "./declared.ts";
import { reportOf, runIdAt } from "./reported.ts";

const entries = async ({ admin }: TestControl, query = "") =>
  (await admin.ask(page(AuditEntry), "GET", `/api/v1/audit${query}`)).items;

test("every change through the API is audited: who, which route, which object, which status; never a secret", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding, contract } = await declare(control, host, "photos");
  const made = await control.admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name: "ci", scope: "operate" });
  const ci = askerOf(control.app, () => made.token);
  control.pass(60_000);
  const run = await ci.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  expect((await ci.refused("DELETE", `/api/v1/contracts/${contract.id}`)).status).toBe(403);
  expect((await control.admin.refused("PATCH", `/api/v1/hosts/${host.id}`, { nonsense: "hunter2" })).status).toBe(400);

  const at = "2026-11-23T08:01:00.000Z";
  const [refused, forbidden, ran, token] = await entries(control);
  expect(token).toMatchObject({ method: "POST", route: "/api/v1/tokens", object: made.id, status: 201 });
  const byCi = { at, by: made.id, byName: "ci", byKind: "token" };
  expect(ran).toMatchObject({ ...byCi, route: "/api/v1/bindings/:id/run", object: binding.id, status: 202 });
  expect(run.binding).toBe(binding.id);
  expect(forbidden).toMatchObject({ ...byCi, method: "DELETE", object: contract.id, status: 403 });
  expect(refused).toMatchObject({ method: "PATCH", route: "/api/v1/hosts/:id", object: host.id, status: 400 });
  const text = JSON.stringify(await entries(control));
  for (const secret of [made.token, "hunter2"]) expect(text).not.toContain(secret);

  expect(await entries(control, `?by=${made.id}`)).toHaveLength(2);
  expect(await entries(control, `?object=${binding.id}`)).toHaveLength(2);
  expect(await entries(control, `?since=${at}&method=DELETE`)).toHaveLength(1);
  expect(await entries(control, "?since=0001-01-01T00:00:00.000Z")).toEqual(await entries(control));
  expect(await entries(control, "?since=9999-12-31T23:59:59.999Z")).toEqual([]);
  expect(await ci.refused("GET", "/api/v1/audit")).toMatchObject({ status: 403, code: "auth.scope_too_small" });
});

test("enrolments and declarations of hosts are audited, their routine requests are not", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await host.send("PUT", "/agent/v1/facts", FACTS);
  await host.send("PUT", "/agent/v1/declarations", { declarations: [], faults: [] });
  const report = reportOf({ id: runIdAt("2026-11-23T08:00:00.000Z"), binding: host.id, state: "failed" });
  await host.send("POST", "/agent/v1/reports", { reports: [report] });
  const byHost = (await entries(control)).filter(({ byKind }) => byKind === "host");
  expect(byHost).toMatchObject([
    { by: host.id, byName: "one", method: "PUT", route: "/agent/v1/declarations", status: 200 },
    { by: host.id, byName: "one", method: "POST", route: "/agent/v1/enroll", status: 200 },
  ]);
});

test("unauthenticated requests and GET are not audited", async () => {
  const control = await testControl();
  const before = (await entries(control)).length;
  for (const bearer of [null, () => "hft_guessed"]) {
    expect((await askerOf(control.app, bearer).refused("POST", "/api/v1/tokens", {})).status).toBe(401);
  }
  await control.admin.send("GET", "/api/v1/hosts");
  expect(await entries(control)).toHaveLength(before);
});

test("a change whose audit entry can't be written is done anyway, and the failure is logged", async () => {
  const control = await testControl();
  await control.deps.db.run(sql`drop table audit`);
  const lines: string[] = [];
  Object.assign(control.deps.log, { error: (line: string) => void lines.push(line) });
  expect((await control.admin.send("POST", "/api/v1/enrollments", {})).status).toBe(201);
  expect(lines).toEqual(["an audit entry could not be written"]);
});
