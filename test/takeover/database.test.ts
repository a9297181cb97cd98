import { eq, getTableColumns, sql } from "drizzle-orm";
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { COVERED, MAC_TABLES } from "../../control/keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../control/db/schema/contracts.ts";
import { enrollments, hosts } from "../../control/db/schema/hosts.ts";
import { orders } from "../../control/db/schema/runs.ts";
import { marks, tokens } from "../../control/db/schema/service.ts";
import { sweepRows } from "../../control/domain/service/row-sweep.ts";
import { writeAll } from "../../control/db/transaction.ts";
import { acceptRow, findTamperedRows, protectRows, remakeRows } from "../../control/domain/service/row-protection.ts";
import { page } from "../../shared/api.ts";
import { EnrollmentCreated } from "../../shared/host.ts";
import { Incident } from "../../shared/incident.ts";
import { Run } from "../../shared/run.ts";
import {
  askerOf,
  controlOn,
  DATABASES,
  emptyDatabase,
  FACTS,
  newHostKey,
  newSigningKey,
  testControl,
} from "../support/control.ts";
import { openAssignment } from "../control/assigned.ts";
import { declare } from "../control/declared.ts";
import { ordersOf } from "../control/ordered.ts";

// Who can read and write the control plane's database file, without the signing key, gets no right by it: rows that
// give rights or lead to a signature carry a MAC.

const later = "2027-01-01T00:00:00.000Z";

async function watched(database: (typeof DATABASES)[number] = "file") {
  const lines: string[] = [];
  const control = await testControl({
    database,
    onError: (line, facts) => lines.push(`${line} ${JSON.stringify(facts)}`),
  });
  return { control, lines };
}

const tampered = { status: 500, code: "database.tampered" };

describe.each(DATABASES)("on a database of the kind %s", (database) => {
  test("a token whose hash somebody inserted, or whose scope somebody raised, opens nothing", async () => {
    const { control, lines } = await watched(database);
    const { db } = control.deps;
    const hash = createHash("sha256").update("hft_invented").digest("hex");
    const [row] = await db.select().from(tokens);
    await db.insert(tokens).values({ id: crypto.randomUUID(), name: "mine", scope: "admin", hash, createdAt: later });
    // With a MAC that another row has.
    await db.insert(tokens).values({
      id: crypto.randomUUID(),
      name: "copy",
      scope: "admin",
      hash: `${hash.slice(1)}0`,
      createdAt: later,
      mac: row?.mac,
    });
    const invented = askerOf(control.app, () => "hft_invented");
    expect(await invented.refused("GET", "/api/v1/hosts")).toMatchObject({ status: 401, code: "auth.required" });
    const reader = await control.withScope("read");
    await db.update(tokens).set({ scope: "admin" });
    expect(await reader.refused("POST", "/api/v1/enrollments", {})).toMatchObject({ status: 401 });
    expect(lines[0]).toMatch(/^a row was changed outside this control plane and is not used .*"table":"tokens"/);
  });

  test("a host whose key somebody replaced, or whose revocation somebody removed, is nobody", async () => {
    const { control } = await watched(database);
    const { db } = control.deps;
    const [one, two] = [await control.enrol("one"), await control.enrol("two")];
    await control.admin.send("PATCH", `/api/v1/hosts/${one.id}`, { revoked: true });
    await db.update(hosts).set({ revokedAt: null }).where(eq(hosts.id, one.id));
    expect(await one.refused("GET", "/agent/v1/orders")).toMatchObject(tampered);
    const { publicKey } = await newHostKey();
    await db.update(hosts).set({ publicKey }).where(eq(hosts.id, two.id));
    expect(await two.refused("GET", "/agent/v1/orders")).toMatchObject(tampered);
  });

  test("an enrolment token that somebody gave more uses, or more time, enrols nobody", async () => {
    const { control } = await watched(database);
    const { db } = control.deps;
    const enrol = async (token: string) => {
      const { publicKey } = await newHostKey();
      return askerOf(control.app, null).send("POST", "/agent/v1/enroll", { token, publicKey, facts: FACTS });
    };
    for (const change of [{ usesLeft: 1 }, { expiresAt: later }, { replaces: "somebody" }]) {
      const { id, token } = await control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", {});
      expect((await enrol(token)).status).toBe(200);
      await db.update(enrollments).set(change).where(eq(enrollments.id, id));
      expect((await enrol(token)).status).toBeGreaterThanOrEqual(400);
    }
  });
});

test("what somebody wrote into contract, repository or binding is never signed; the neighbours are", async () => {
  const { control, lines } = await watched();
  const { db } = control.deps;
  const host = await control.enrol("one");
  const [a, b, c, fine] = [
    await declare(control, host, "a"),
    await declare(control, host, "b"),
    await declare(control, host, "c"),
    await declare(control, host, "fine"),
  ];
  await db
    .update(contracts)
    .set({ request: sql`json_replace(request, '$.user', 'nobody')` })
    .where(eq(contracts.id, a.contract.id));
  await db.update(repositories).set({ location: "/elsewhere" }).where(eq(repositories.id, b.repository.id));
  await db.update(bindings).set({ mac: null }).where(eq(bindings.id, c.binding.id));
  const assignment = await openAssignment(host);
  expect(assignment.bindings.map(({ name }) => name)).toEqual(["fine"]);
  expect(assignment.contracts.map(({ name }) => name)).toEqual(["fine"]);
  expect(assignment.repositories.map(({ name }) => name)).toEqual(["fine"]);
  expect(new Set(lines.map((line) => /"table":"(\w+)"/.exec(line)?.[1]))).toEqual(
    new Set(["contracts", "repositories", "bindings"]),
  );

  // A person is told, once for each row.
  const incidentsNow = async () =>
    (await control.admin.ask(page(Incident), "GET", "/api/v1/incidents?kind=control.row&state=open")).items;
  let turn: string | null = null;
  for (let sweep = 0; sweep < 7; sweep++) turn = await sweepRows(control.deps, turn, true);
  expect((await incidentsNow()).map(({ detail }) => detail).toSorted()).toEqual([
    `bindings ${c.binding.id}`,
    `contracts ${a.contract.id}`,
    `repositories ${b.repository.id}`,
  ]);

  // A change through the API does not make it ours.
  expect(await control.admin.refused("PATCH", `/api/v1/contracts/${a.contract.id}`, { name: "x" })).toMatchObject(
    tampered,
  );
  expect(await control.admin.refused("PATCH", `/api/v1/repositories/${b.repository.id}`, { name: "x" })).toMatchObject(
    tampered,
  );
  expect(await control.admin.refused("POST", `/api/v1/bindings/${c.binding.id}/pause`)).toMatchObject(tampered);
  const onto = { contract: fine.contract.id, repository: b.repository.id };
  expect(await control.admin.refused("POST", "/api/v1/bindings", onto)).toMatchObject(tampered);
  const restore = { binding: c.binding.id, snapshot: "latest" };
  expect(await control.admin.refused("POST", "/api/v1/restores", restore)).toMatchObject(tampered);

  // A person looks, and accepts it or deletes it.
  expect((await findTamperedRows(control.deps)).map(({ id }) => id).toSorted()).toEqual(
    [a.contract.id, b.repository.id, c.binding.id].toSorted(),
  );
  await acceptRow(control.deps, a.contract.id);
  expect((await control.admin.send("PATCH", `/api/v1/contracts/${a.contract.id}`, { name: "x" })).status).toBe(200);
  expect((await control.admin.send("DELETE", `/api/v1/bindings/${c.binding.id}`)).status).toBe(204);
  await sweepRows(control.deps, turn, true);
  expect((await incidentsNow()).map(({ detail }) => detail)).toEqual([`repositories ${b.repository.id}`]);
});

test("a declaration whose row somebody changed becomes a fault, and the others are applied", async () => {
  const { control } = await watched();
  const host = await control.enrol("one");
  const of = (name: string) => ({
    file: `${name}.json`,
    name,
    kind: "files",
    request: {
      user: "root",
      sourceDirectories: [`/srv/${name}`],
      excludePatterns: [],
      hooks: { beforeBackup: [], afterBackup: [] },
    },
    bound: null,
  });
  const publish = (names: string[]) =>
    host.send("PUT", "/agent/v1/declarations", { declarations: names.map(of), faults: [] });
  expect((await publish(["a"])).body).toMatchObject({ faults: [] });
  await control.deps.db.update(contracts).set({ name: "a", kind: "files", declared: true, mac: "1.x" });
  const { body } = await publish(["a", "b"]);
  expect(body).toMatchObject({ faults: [{ file: "a.json", message: expect.stringContaining("not written by") }] });
  expect(body).toMatchObject({ contracts: [{ name: "b" }] });
});

test("an order that somebody wrote or changed is not signed", async () => {
  const { control } = await watched();
  const { db } = control.deps;
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const run = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  const own = await db.select().from(orders).where(eq(orders.id, run.id));
  expect(await ordersOf(host)).toHaveLength(1);
  await db.insert(orders).values(own.map((row) => ({ ...row, id: crypto.randomUUID() })));
  await db
    .insert(orders)
    .values(own.map((row) => ({ ...row, id: crypto.randomUUID(), kind: "forget" as const, mac: null })));
  expect((await ordersOf(host)).map(({ id }) => id)).toEqual([run.id]);
  await db.update(orders).set({ expiresAt: later });
  expect(await ordersOf(host)).toEqual([]);
});

test("a database of 0.2 gets its MACs once; a row without one is never accepted again, whatever is removed", async () => {
  const { control, lines } = await watched();
  const { db } = control.deps;
  const host = await control.enrol("one");
  await declare(control, host, "photos");
  const strip = async () =>
    writeAll(
      db,
      Object.values(MAC_TABLES).map((table) => db.update(table).set({ mac: null })),
    );
  await strip();
  expect((await control.admin.send("GET", "/api/v1/hosts")).status).toBe(401);
  expect([...((await protectRows(control.deps, { mayBegin: true })) ?? [])]).toEqual(
    expect.arrayContaining([
      ["tokens", 1],
      ["hosts", 1],
      ["contracts", 1],
      ["repositories", 1],
      ["bindings", 1],
    ]),
  );
  expect((await control.admin.send("GET", "/api/v1/hosts")).status).toBe(200);
  expect(await findTamperedRows(control.deps)).toEqual([]);

  await strip();
  expect(await protectRows(control.deps, { mayBegin: true })).toBeNull();
  expect((await control.admin.send("GET", "/api/v1/hosts")).status).toBe(401);
  // The runtime knows it from a file beside the signing key.
  await db.delete(marks);
  expect(await protectRows(control.deps, { mayBegin: false })).toBeNull();
  expect((await control.admin.send("GET", "/api/v1/hosts")).status).toBe(401);
  expect(lines.join("\n")).toContain("lost its mark");
});

test("a database of another signing key is not begun with", async () => {
  const { control } = await watched();
  await protectRows(control.deps, { mayBegin: true });
  const other = await controlOn(await emptyDatabase("file"));
  const stolen = { ...control.deps, signingKey: other.deps.signingKey };
  await expect(protectRows(stolen, { mayBegin: true })).rejects.toThrow(/another signing key/);
});

test("a new signing key makes all MACs again, also when it was killed on the way", async () => {
  const { control } = await watched();
  const { db, signingKey: from } = control.deps;
  await protectRows(control.deps, { mayBegin: true });
  const host = await control.enrol("one");
  for (const name of ["a", "b", "c"]) await declare(control, host, name);
  const bad = await declare(control, host, "bad");
  await db.update(bindings).set({ name: "worse" }).where(eq(bindings.id, bad.binding.id));
  const to = await newSigningKey();

  let batches = 0;
  const dying: typeof db = Object.assign(Object.create(db), {
    batch: (...statements: Parameters<typeof db.batch>) =>
      ++batches > 2 ? Promise.reject(new Error("killed")) : db.batch(...statements),
  });
  await expect(remakeRows({ ...control.deps, db: dying }, { from, to })).rejects.toThrow("killed");
  const { remade, tampered: left } = await remakeRows(control.deps, { from, to });
  expect(remade).toBeGreaterThan(0);
  expect(left).toEqual([{ table: "bindings", id: bad.binding.id }]);
  expect(await findTamperedRows({ db, signingKey: to })).toEqual(left);
  expect(await protectRows({ ...control.deps, signingKey: to }, { mayBegin: true })).toBeNull();
});

/** Columns that give no right and lead to no signature: what agents report, times, labels, alerts. */
const UNCOVERED: Record<keyof typeof MAC_TABLES, readonly string[]> = {
  tokens: ["lastUsedAt"],
  enrollments: [],
  hosts:
    "facts declarationFaults revision reportCount connectionId connectedAt lastSeenAt labels offlineAfterSeconds offlineAt silentAt clockSkewMs reportedBytes reportedSince instances".split(
      " ",
    ),
  contracts: ["undeclaredAt", "changedAt"],
  repositories: ["undeclaredAt", "changedAt"],
  bindings: ["undeclaredAt", "listedBy", "listChecksum", "labels", "goodAt", "expectedSince", "alertAt", "changedAt"],
  orders: ["closedAt"],
};

test("every column of these tables is covered by the MAC or listed here as harmless", () => {
  for (const [name, table] of Object.entries(MAC_TABLES)) {
    const key = name as keyof typeof MAC_TABLES;
    expect([...COVERED[key], ...UNCOVERED[key], "mac"].toSorted()).toEqual(
      Object.keys(getTableColumns(table)).toSorted(),
    );
  }
});
