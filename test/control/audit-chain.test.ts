import { eq, sql } from "drizzle-orm";
import { describe, expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { AuditEntry, AuditVerification } from "../../shared/audit.ts";
import { audit, auditCheckpoints, marks } from "../../control/db/schema/service.ts";
import { headOf } from "../../control/domain/service/audit-chain.ts";
import { adaptRestoredDatabase } from "../../control/domain/service/control-restore.ts";
import { removeExpired } from "../../control/domain/service/housekeeping.ts";
import { remakeRows } from "../../control/domain/service/row-protection.ts";
import { verifyAudit } from "../../control/domain/service/audit-verify.ts";
import { DATABASES, newSigningKey, testControl, type TestControl } from "../support/control.ts";
import { declare } from "./declared.ts";

const DAY = 86_400_000;

const verify = ({ admin }: TestControl, after = 0) =>
  admin.ask(AuditVerification, "GET", `/api/v1/audit/verify?after=${after}`);

/** A control plane whose audit has seven entries. */
async function sevenEntries() {
  const control = await testControl({ onError: () => undefined });
  for (let count = 0; count < 7; count++) await control.admin.send("POST", "/api/v1/enrollments", {});
  expect(await verify(control)).toMatchObject({ verified: 7, from: 1, to: 7, next: null, fault: null });
  return { control, db: control.deps.db };
}

describe.each(DATABASES)("on a database of the kind %s", (database) => {
  test("concurrent changes make one chain without gaps", async () => {
    const control = await testControl({ database });
    await Promise.all(Array.from({ length: 12 }, () => control.admin.send("POST", "/api/v1/enrollments", {})));
    expect(await verify(control)).toMatchObject({ verified: 12, to: 12, fault: null });
  });
});

test.each([
  ["an entry was changed", 4, sql`update audit set "byName" = 'somebody' where sequence = 4`, /entry 4 /],
  ["an entry was removed", 4, sql`delete from audit where sequence = 4`, /entries 4 to 4 are missing/],
  ["the newest were removed", 6, sql`delete from audit where sequence > 5`, /entries 6 to 7 are missing/],
  ["the oldest were removed", 3, sql`delete from audit where sequence < 3`, /up to 2 are missing/],
  ["all were removed", 1, sql`delete from audit`, /entries 1 to 7 are missing/],
  [
    "one was added",
    null,
    sql`insert into audit (id, at, by, "byName", "byKind", method, route, status) select 'ff' || substr(id, 3), at, by, "byName", "byKind", method, route, status from audit where sequence = 7`,
    /has no number/,
  ],
])("%s: it is found where", async (_what, sequence, deed, message) => {
  const { control, db } = await sevenEntries();
  await db.run(deed);
  const { fault } = await verify(control);
  expect(fault).toMatchObject({ ...(sequence === 3 ? {} : { sequence }), message: expect.stringMatching(message) });
});

test("who writes a whole chain of their own has no mark for it, and who removes the mark leaves a gap for ever", async () => {
  const { control, db } = await sevenEntries();
  const [mark] = await db.select().from(marks).where(eq(marks.name, "audit"));
  await db
    .update(marks)
    .set({ value: { ...mark?.value, sequence: 6 } })
    .where(eq(marks.name, "audit"));
  expect((await verify(control)).fault?.message).toMatch(/not written by this control plane/);
  await db.delete(marks).where(eq(marks.name, "audit"));
  expect((await verify(control)).fault?.message).toMatch(/is missing/);
  await control.admin.send("POST", "/api/v1/enrollments", {});
  expect((await verify(control)).fault?.message).toMatch(/entries 8 to 8 are missing/);
});

test("housekeeping trims with a signed checkpoint, and without it the trimmed chain is not whole", async () => {
  const { control, db } = await sevenEntries();
  control.pass(401 * DAY);
  await control.admin.send("POST", "/api/v1/enrollments", {});
  await removeExpired(control.deps);
  expect(await verify(control)).toMatchObject({
    verified: 1,
    from: 8,
    to: 8,
    fault: null,
    checkpoints: [{ sequence: 7, reason: "trimmed" }],
  });
  control.pass(401 * DAY);
  await removeExpired(control.deps);
  expect(await verify(control)).toMatchObject({ verified: 0, to: 8, fault: null, checkpoints: [{ sequence: 8 }] });
  await control.admin.send("POST", "/api/v1/enrollments", {});
  expect(await verify(control)).toMatchObject({ verified: 1, from: 9, to: 9, fault: null });
  await db.update(auditCheckpoints).set({ jws: "invented" });
  expect((await verify(control)).fault?.message).toMatch(/no checkpoint of this control plane/);
});

test("a restored control plane begins again with a signed checkpoint", async () => {
  const { control } = await sevenEntries();
  const from = { host: "", binding: "", snapshot: "a".repeat(64), takenAt: "2026-11-23T08:00:00.000Z", moved: null };
  await adaptRestoredDatabase(control.deps, { ...from, staging: { directory: "/srv", user: "root" } });
  await control.admin.send("POST", "/api/v1/enrollments", {});
  expect(await verify(control)).toMatchObject({
    to: 8,
    fault: null,
    checkpoints: [{ sequence: 7, reason: "restored" }],
  });
});

test("a new signing key keeps the chain", async () => {
  const { control, db } = await sevenEntries();
  control.pass(401 * DAY);
  await control.admin.send("POST", "/api/v1/enrollments", {});
  await removeExpired(control.deps);
  const to = await newSigningKey();
  await remakeRows(control.deps, { from: control.deps.signingKey, to });
  const checked = await verifyAudit({ db, signingKey: to }, { after: 0 });
  expect(checked).toMatchObject({ verified: 1, to: 8, fault: null, checkpoints: [{ sequence: 7 }] });
});

test("a long chain is checked in parts", async () => {
  const { control, db } = await sevenEntries();
  const rows = await db.select().from(audit).orderBy(audit.sequence);
  expect(await verify(control, 3)).toMatchObject({ verified: 4, from: 4, to: 7, fault: null });
  expect((await verify(control, 9)).fault?.message).toMatch(/entry 9 is missing/);
  const [mark] = await db.select().from(marks).where(eq(marks.name, "audit"));
  expect(mark && headOf(mark.value)).toEqual({ sequence: 7, hash: rows.at(-1)?.hash });
});

test("an entry says where the request came from, and what was changed, before and after, without secrets", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contract } = await declare(control, host, "photos");
  const token = control.admin;
  const channel = { name: "ops", kind: "gotify", url: "http://ops.test/", token: "hunter2" };
  const { body } = await token.send("POST", "/api/v1/channels", channel);
  const { id } = body as { id: string };
  await token.send("PATCH", `/api/v1/channels/${id}`, { token: "hunter3", name: "night" });
  await token.send("PATCH", `/api/v1/contracts/${contract.id}`, { name: "x".repeat(60) });
  await token.refused("PATCH", `/api/v1/contracts/${contract.id}`, { nonsense: 1 });
  await token.send("DELETE", `/api/v1/channels/${id}`);
  const { items } = await token.ask(page(AuditEntry), "GET", "/api/v1/audit?limit=5");
  const [removed, refused, renamed, changed, made] = items;
  expect(made).toMatchObject({
    before: null,
    after: { name: "ops", kind: "gotify", url: "http://ops.test/" },
    address: null,
  });
  expect(changed).toMatchObject({ before: { name: "ops" }, after: { name: "night" } });
  expect(renamed).toMatchObject({ before: { name: "photos" }, after: { name: "x".repeat(60) } });
  expect(Object.keys(renamed?.after ?? {})).toEqual(["name"]);
  expect(refused).toMatchObject({ status: 400, before: null, after: null });
  expect(removed).toMatchObject({ before: { name: "night" }, after: null });
  expect(JSON.stringify(items)).not.toMatch(/hunter/);

  const bearer = { authorization: `Bearer ${await tokenOf(control)}`, "content-type": "application/json" };
  const request = new Request("http://control.test/api/v1/enrollments", {
    method: "POST",
    headers: bearer,
    body: "{}",
  });
  expect((await control.app.fetch(request, { address: "192.0.2.7" })).status).toBe(201);
  const [last] = (await token.ask(page(AuditEntry), "GET", "/api/v1/audit?limit=1")).items;
  expect(last).toMatchObject({ address: "192.0.2.7", after: { uses: 1 } });
  expect(await verify(control)).toMatchObject({ fault: null });
});

async function tokenOf({ admin }: TestControl): Promise<string> {
  const { body } = await admin.send("POST", "/api/v1/tokens", { name: "t", scope: "admin" });
  return (body as { token: string }).token;
}
