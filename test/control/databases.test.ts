import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Assignment, JWS_TYPES, SignedAssignment } from "../../shared/assignment.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { testControl, type TestHost } from "../support/control.ts";
import { declareRepository } from "./declared.ts";
import { verified } from "./ordered.ts";

async function contractsOf(host: TestHost): Promise<Assignment["contracts"]> {
  const { body } = await host.send("GET", "/agent/v1/assignment");
  return Assignment.parse(await verified(host, SignedAssignment.parse(body).jws, JWS_TYPES.assignment)).contracts;
}

test("a databasebackup contract is created, bound, assigned and changed by the API", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const request = { user: "root", backupName: "app.sql", backupCmd: "pg_dump app", restoreCmd: "psql app" };
  const made = await control.admin.ask(Contract, "POST", "/api/v1/contracts", {
    host: "one",
    name: "app-db",
    kind: "databasebackup",
    request,
  });
  expect(made).toMatchObject({ kind: "databasebackup", request });
  const { id: repository } = await declareRepository(control.admin, "disk");
  await control.admin.ask(Binding, "POST", "/api/v1/bindings", { contract: made.id, repository });
  expect(await contractsOf(host)).toMatchObject([{ id: made.id, kind: "databasebackup", request }]);

  const better = { ...request, backupCmd: "pg_dump --clean app" };
  const changed = await control.admin.ask(Contract, "PATCH", `/api/v1/contracts/${made.id}`, { request: better });
  expect(changed).toMatchObject({ kind: "databasebackup", request: better });
  expect(await contractsOf(host)).toMatchObject([{ request: better }]);

  // What is null is not sent, so that agents from before the key can read it; what is stored is covered by the row's MAC.
  const { body } = await host.send("GET", "/agent/v1/assignment");
  expect(await verified(host, SignedAssignment.parse(body).jws, JWS_TYPES.assignment)).not.toHaveProperty(
    "contracts.0.restoreUser",
  );
  const asOther = await control.admin.ask(Contract, "PATCH", `/api/v1/contracts/${made.id}`, { restoreUser: "root" });
  expect(asOther).toMatchObject({ request: better, restoreUser: "root" });
  expect(await contractsOf(host)).toMatchObject([{ request: better, restoreUser: "root" }]);
  await control.admin.ask(Contract, "PATCH", `/api/v1/contracts/${made.id}`, { request });
  expect(await contractsOf(host)).toMatchObject([{ request, restoreUser: "root" }]);
  await control.admin.ask(Contract, "PATCH", `/api/v1/contracts/${made.id}`, { restoreUser: null, request: better });
  expect(await contractsOf(host)).toMatchObject([{ request: better, restoreUser: null }]);

  const wrong = { consistency: [{ stop: "app.service" }] };
  const refused = await control.admin.refused("PATCH", `/api/v1/contracts/${made.id}`, wrong);
  expect(refused).toMatchObject({ status: 400, code: "request.invalid" });
  expect(JSON.stringify(refused.issues)).toContain("has no consistency");
});

test("consistency and mount points beside a request are stored, assigned, and changed separately", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const consistency = [{ stop: "app.service" }, { sqlite: "/srv/app/db.sqlite3" }, { mariadb: "*", container: "db" }];
  const made = await control.admin.ask(Contract, "POST", "/api/v1/contracts", {
    host: "one",
    name: "app",
    request: { user: "root", sourceDirectories: ["/srv/app"] },
    consistency,
    mountPoints: ["/srv"],
  });
  expect(made).toMatchObject({ kind: "files", consistency, mountPoints: ["/srv"] });
  const { id: repository } = await declareRepository(control.admin, "disk");
  await control.admin.ask(Binding, "POST", "/api/v1/bindings", { contract: made.id, repository });
  await control.admin.ask(Contract, "PATCH", `/api/v1/contracts/${made.id}`, { mountPoints: [] });
  expect(await contractsOf(host)).toMatchObject([{ consistency, mountPoints: [] }]);
  const { items } = await control.admin.ask(page(Contract), "GET", "/api/v1/contracts?name=app");
  expect(items).toMatchObject([{ consistency, mountPoints: [], request: { sourceDirectories: ["/srv/app"] } }]);
});

test("a datasetbackup contract is refused in words that say what is planned, and what to do today", async () => {
  const control = await testControl();
  await control.enrol("one");
  const asked = { host: "one", name: "photos", kind: "datasetbackup", request: { dataset: "tank/photos" } };
  const refused = await control.admin.refused("POST", "/api/v1/contracts", asked);
  expect(refused).toMatchObject({ status: 400, code: "request.invalid", issues: [{ path: ["kind"] }] });
  expect(JSON.stringify(refused.issues)).toMatch(/planned as the way .*zfs.* where it is mounted in sourceDirectories/);
});
