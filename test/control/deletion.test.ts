import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Run } from "../../shared/run.ts";
import { testControl } from "../support/control.ts";
import { declare, declareRepository } from "./declared.ts";

test("an object with dependents is not deleted, and each dependent is named", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contract, repository, binding } = await declare(control, host, "photos");
  const other = await declareRepository(control.admin, "nas");
  const second = await control.admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: contract.id,
    repository: other.id,
  });
  const run = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  const refused = async (path: string) => {
    const { status, code, issues } = await control.admin.refused("DELETE", `/api/v1/${path}`);
    return {
      status,
      code,
      paths: issues?.map((issue) => issue.path),
      says: issues?.map((issue) => issue.message).join(", "),
    };
  };
  expect(await refused(`hosts/${host.id}`)).toEqual({
    status: 409,
    code: "hosts.in_use",
    paths: [
      ["contracts", contract.id],
      ["repositories", repository.id],
      ["repositories", other.id],
    ],
    says: expect.stringContaining(`used by contract "photos" (${contract.id})`),
  });
  expect(await refused(`contracts/${contract.id}`)).toMatchObject({
    code: "contracts.in_use",
    paths: [
      ["bindings", binding.id],
      ["bindings", second.id],
    ],
    says: expect.stringContaining('binding "photos-nas"'),
  });
  expect(await refused(`repositories/${other.id}`)).toMatchObject({
    code: "repositories.in_use",
    paths: [["bindings", second.id]],
  });
  expect(await refused(`bindings/${binding.id}`)).toMatchObject({ code: "bindings.in_use", paths: [["runs", run.id]] });

  await control.admin.send("POST", `/api/v1/runs/${run.id}/cancel`);
  const order = [
    `bindings/${binding.id}`,
    `bindings/${second.id}`,
    `contracts/${contract.id}`,
    `repositories/${repository.id}`,
    `repositories/${other.id}`,
    `hosts/${host.id}`,
  ];
  for (const path of order)
    expect({ path, status: (await control.admin.send("DELETE", `/api/v1/${path}`)).status }).toEqual({
      path,
      status: 204,
    });
  const { items } = await control.admin.ask(page(Run), "GET", "/api/v1/runs");
  expect(items).toMatchObject([{ id: run.id, state: "cancelled" }]);
  expect(control.hubCalls.at(-1)).toBe(`disconnect ${host.id} revoked`);
});

test("a revoked host with an unfinished run can be deleted", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contract, repository, binding } = await declare(control, host, "photos");
  await control.admin.send("POST", `/api/v1/bindings/${binding.id}/run`);
  await control.admin.send("PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  for (const path of [
    `bindings/${binding.id}`,
    `contracts/${contract.id}`,
    `repositories/${repository.id}`,
    `hosts/${host.id}`,
  ]) {
    expect({ path, status: (await control.admin.send("DELETE", `/api/v1/${path}`)).status }).toEqual({
      path,
      status: 204,
    });
  }
});
