import { expect, test } from "vitest";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Host } from "../../shared/host.ts";
import { Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import { testControl, type TestControl } from "../support/control.ts";
import { openAssignment } from "./assigned.ts";
import { allOf, bound, declare, files, hostOf, request } from "./published.ts";

// What a host's own files declare, as the agent publishes it: made, changed and taken away, and never over what is not
// its own.

/** A run that stored something: from then on the binding is not thrown away. */
async function ran(control: TestControl, binding: Binding | undefined): Promise<Run> {
  return await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding?.id}/run`);
}

test("a request alone becomes a contract that only its file can change, and that can be bound", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contracts: taken, faults } = await declare(host, files("photos"));
  expect(faults).toEqual([]);
  const { contracts } = await allOf(control);
  expect(contracts).toMatchObject([
    { id: taken[0]?.contract, name: "photos", host: host.id, declared: true, undeclaredAt: null, request },
  ]);
  expect(taken).toEqual([{ name: "photos", contract: contracts[0]?.id, binding: null }]);
  const at = `/api/v1/contracts/${contracts[0]?.id}`;
  for (const [method, body] of [
    ["PATCH", { name: "other" }],
    ["DELETE", undefined],
  ] as const) {
    expect(await control.admin.refused(method, at, body)).toMatchObject({
      status: 409,
      code: "contracts.declared_on_host",
      message: expect.stringContaining("change or remove that file"),
    });
  }
  expect((await hostOf(control, host)).revision).toBe(0);

  const nas = { name: "nas", provider: "restic", location: "rest:https://nas/photos", passphrase: { file: "/p" } };
  const repository = await control.admin.ask(Repository, "POST", "/api/v1/repositories", nas);
  await control.admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: contracts[0]?.id,
    repository: repository.id,
  });
  const assignment = await openAssignment(host);
  expect(assignment.contracts).toMatchObject([{ name: "photos", declared: true, request }]);
});

test("with settings the file also creates the binding; repeated it changes nothing; a change is applied at once", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const declared = bound(files("photos"), {}, { timerConfig: { OnCalendar: "03:00" } });
  const first = await declare(host, declared);
  const before = await allOf(control);
  expect(before).toMatchObject({
    contracts: [{ declared: true }],
    repositories: [
      { name: "one-photos", location: "/backup/photos", declared: true, passphrase: { file: "/etc/passphrase" } },
    ],
    bindings: [
      {
        name: "photos",
        declared: true,
        paused: false,
        settings: { timerConfig: { OnCalendar: "03:00", Persistent: true } },
      },
    ],
  });
  expect(await declare(host, declared)).toEqual(first);
  expect((await hostOf(control, host)).revision).toBe(1);
  expect(control.hubCalls).toEqual([`poke ${host.id} assignment`]);
  for (const [noun, id] of [
    ["repositories", before.repositories[0]?.id],
    ["bindings", before.bindings[0]?.id],
  ] as const) {
    for (const [method, body] of [
      ["PATCH", { name: "other" }],
      ["DELETE", undefined],
    ] as const) {
      expect(await control.admin.refused(method, `/api/v1/${noun}/${id}`, body)).toMatchObject({
        status: 409,
        code: `${noun}.declared_on_host`,
      });
    }
  }

  // Pausing is the operator's, and stays when the file changes.
  await control.admin.send("POST", `/api/v1/bindings/${before.bindings[0]?.id}/pause`);
  control.pass(1000);
  const changed = bound(files("photos", { excludePatterns: ["*.tmp"] as never[] }), {
    name: "disk",
    location: "/backup/photos",
  });
  expect(await declare(host, changed)).toEqual(first);
  expect(await allOf(control)).toMatchObject({
    contracts: [{ id: before.contracts[0]?.id, request: { excludePatterns: ["*.tmp"] } }],
    repositories: [{ id: before.repositories[0]?.id, name: "disk" }],
    bindings: [{ id: before.bindings[0]?.id, paused: true, settings: { timerConfig: { OnCalendar: "daily" } } }],
  });
  expect((await hostOf(control, host)).revision).toBe(3);
});

test("objects that never ran are deleted with their file", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await declare(host, bound(files("photos")), files("mail"));
  expect(await declare(host)).toEqual({ contracts: [], faults: [], refused: [] });
  expect(await allOf(control)).toEqual({ contracts: [], repositories: [], bindings: [] });
});

test("objects that ran stay without their file, paused and restorable, and resume when the file is back", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await declare(host, bound(files("photos")));
  const before = await allOf(control);
  await ran(control, before.bindings[0]);
  await declare(host);
  const left = { declared: false, undeclaredAt: "2026-11-23T08:00:00.000Z" };
  expect(await allOf(control)).toMatchObject({
    contracts: [{ id: before.contracts[0]?.id, ...left }],
    repositories: [{ id: before.repositories[0]?.id, ...left }],
    bindings: [{ id: before.bindings[0]?.id, paused: true, health: "paused", ...left }],
  });
  expect((await openAssignment(host)).contracts).toMatchObject([{ declared: false }]);
  const restore = { binding: before.bindings[0]?.id, snapshot: "latest" };
  expect(await control.admin.send("POST", "/api/v1/restores", restore)).toMatchObject({ status: 202 });

  control.pass(1000);
  await declare(host, bound(files("photos")));
  expect(await allOf(control)).toMatchObject({
    contracts: [{ id: before.contracts[0]?.id, declared: true, undeclaredAt: null }],
    repositories: [{ id: before.repositories[0]?.id, declared: true, undeclaredAt: null }],
    bindings: [{ id: before.bindings[0]?.id, declared: true, undeclaredAt: null, paused: false }],
  });
});

test("a binding created in the control plane outlives the file, and then the contract can be changed or deleted", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contracts } = await declare(host, files("photos"));
  const nas = { name: "nas", provider: "restic", location: "rest:https://nas/photos", passphrase: { file: "/p" } };
  await control.admin.ask(Repository, "POST", "/api/v1/repositories", nas);
  const binding = await control.admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: contracts[0]?.contract,
    repository: "nas",
  });
  await declare(host);
  expect((await allOf(control)).bindings).toMatchObject([{ id: binding.id, paused: false, declared: false }]);
  const at = `/api/v1/contracts/${contracts[0]?.contract}`;
  expect(
    await control.admin.ask(Contract, "PATCH", at, { request: { ...request, excludePatterns: ["*.bak"] } }),
  ).toMatchObject({
    declared: false,
    undeclaredAt: null,
  });
  // Somebody has made it theirs: the file does not take it back.
  expect((await declare(host, files("photos"))).faults).toMatchObject([{ file: "photos.json" }]);
  for (const path of [`/api/v1/bindings/${binding.id}`, at])
    expect(await control.admin.send("DELETE", path)).toMatchObject({ status: 204 });
  expect(await declare(host, files("photos"))).toMatchObject({ faults: [] });
});

test("with another location the binding is a new one, and the old one keeps its snapshots under another name", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await declare(host, bound(files("photos"), { name: "old" }));
  const [old] = (await allOf(control)).bindings;
  await ran(control, old);
  const moved = bound(files("photos"), { name: "new", location: "/elsewhere" });
  await declare(host, moved);
  const { bindings } = await allOf(control);
  expect(bindings).toMatchObject([
    { name: "photos", declared: true, paused: false },
    { id: old?.id, name: "photos-old", declared: false, paused: true },
  ]);
  // And back again: the old one is the file's own once more.
  await ran(control, bindings[0]);
  control.pass(1000);
  await declare(host, bound(files("photos"), { name: "old" }));
  expect((await allOf(control)).bindings).toMatchObject([
    { id: bindings[0]?.id, name: "photos-new", declared: false },
    { id: old?.id, name: "photos", declared: true, paused: false },
  ]);
});

test("a repository declared on one host can't be used by another", async () => {
  const control = await testControl();
  const [one, two] = [await control.enrol("one"), await control.enrol("two")];
  await declare(one, bound(files("photos"), { name: "nas", location: "sftp:u@nas:/photos" }));
  const { contracts } = await declare(two, files("photos"));
  const wanted = { contract: contracts[0]?.contract, repository: "nas" };
  expect(await control.admin.refused("POST", "/api/v1/bindings", wanted)).toMatchObject({
    status: 400,
    message: expect.stringContaining('is declared by a file on host "one"'),
  });
});

test("objects that a revoked host declared can be deleted", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await declare(host, bound(files("photos")));
  const { contracts, repositories, bindings } = await allOf(control);
  await control.admin.ask(Host, "PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  for (const path of [
    `bindings/${bindings[0]?.id}`,
    `contracts/${contracts[0]?.id}`,
    `repositories/${repositories[0]?.id}`,
    `hosts/${host.id}`,
  ])
    expect({ path, ...(await control.admin.send("DELETE", `/api/v1/${path}`)) }).toMatchObject({ path, status: 204 });
});

test("two concurrent declarations end like two consecutive ones", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const all = Array.from({ length: 20 }, (_, index) => bound(files(`c${index}`)));
  await Promise.all([declare(host, ...all), declare(host, ...all), declare(host, ...all.slice(0, 10))]);
  await declare(host, ...all);
  const { contracts, repositories, bindings } = await allOf(control);
  expect([contracts.length, repositories.length, bindings.length]).toEqual([20, 20, 20]);
});
