import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Repository } from "../../shared/repository.ts";
import { Run, Snapshot } from "../../shared/run.ts";
import { testControl } from "../support/control.ts";
import { declare } from "./declared.ts";
import { send, notifications } from "./subscribed-host.ts";
import { ordersOf } from "./ordered.ts";
import { reportOf, runIdAt, snapshotAt } from "./reported.ts";

const SNAPSHOT = "a".repeat(64);

/** A host with a binding to a server, another host without any, and a third. */
async function twoHosts(passphrase: Record<string, unknown> = { file: "/etc/passphrase" }) {
  const control = await testControl();
  const [one, two] = [await control.enrol("one"), await control.enrol("two")];
  const contract = await control.admin.ask(Contract, "POST", "/api/v1/contracts", {
    host: one.id,
    name: "photos",
    request: { user: "root", sourceDirectories: ["/srv/photos"] },
  });
  const repository = await control.admin.ask(Repository, "POST", "/api/v1/repositories", {
    name: "nas",
    provider: "restic",
    location: "rest:https://nas.example/photos",
    passphrase,
    secrets: { RESTIC_REST_PASSWORD: { file: "/etc/nas" } },
  });
  const binding = await control.admin.ask(Binding, "POST", "/api/v1/bindings", {
    name: "photos",
    contract: contract.id,
    repository: repository.id,
  });
  const restore = (body: Record<string, unknown>) => ({ binding: "photos", snapshot: "latest", ...body });
  return { control, one, two, contract, repository, binding, restore };
}

test("a restore on another host gives that host access: the binding, its contract and its repository, not the bytes", async () => {
  const { control, one, two, contract, repository, binding, restore } = await twoHosts();
  const run = await control.admin.ask(Run, "POST", "/api/v1/restores", restore({ host: "two", target: "/tmp/back" }));
  expect(run).toMatchObject({ kind: "restore", host: two.id, binding: binding.id, repository: repository.id });
  expect(await ordersOf(one)).toEqual([]);
  expect(await ordersOf(two)).toMatchObject([
    {
      id: run.id,
      restore: { target: "/tmp/back", snapshot: "latest" },
      from: {
        host: one.id,
        binding: { id: binding.id, contract: contract.id },
        contract: { id: contract.id, request: contract.request },
        repository: {
          id: repository.id,
          location: "rest:https://nas.example/photos",
          passphrase: { file: "/etc/passphrase" },
          secrets: { RESTIC_REST_PASSWORD: { file: "/etc/nas" } },
          existing: true,
          maintains: false,
        },
      },
    },
  ]);
  const elsewhere = restore({ host: two.id, passphrase: { file: "/root/copied" } });
  await control.admin.ask(Run, "POST", "/api/v1/restores", elsewhere);
  expect((await ordersOf(two))[1]).toMatchObject({ from: { repository: { passphrase: { file: "/root/copied" } } } });
  await control.admin.ask(Run, "POST", "/api/v1/restores", restore({ host: "one" }));
  expect(await ordersOf(one)).toMatchObject([{ from: null }]);
});

test("a restore that another host can't reach or read is rejected, with what to do", async () => {
  const { control, repository, restore } = await twoHosts({ generate: true });
  const refusal = (body: Record<string, unknown>) => control.admin.refused("POST", "/api/v1/restores", restore(body));
  const unknown = await refusal({ host: "two" });
  expect(unknown).toMatchObject({ status: 400, issues: [{ path: ["passphrase"] }] });
  expect(unknown.message).toContain(`/var/lib/holdfast/secrets/${repository.id}`);
  expect(unknown.message).toContain(`host "two"`);
  expect(await refusal({ host: "three" })).toMatchObject({ status: 400, issues: [{ path: ["host"] }] });
  const own = { host: "one", passphrase: { file: "/root/copied" } };
  expect(await refusal(own)).toMatchObject({ status: 400, issues: [{ path: ["passphrase"] }] });
  await declare(control, { id: (await control.enrol("four")).id }, "videos");
  const local = await refusal({ binding: "videos", host: "two" });
  expect(local).toMatchObject({ status: 400, issues: [{ path: ["host"] }] });
  expect(local.message).toContain("/backup/videos");
});

test("the restoring host reports it as its own run; it can report nothing else of the binding, and nothing that was not ordered", async () => {
  const { control, one, two, binding, restore } = await twoHosts();
  await send(
    one,
    reportOf({
      id: runIdAt("2026-11-20T00:00:00.000Z"),
      binding: binding.id,
      state: "succeeded",
      listed: [snapshotAt(SNAPSHOT, "2026-11-20T00:00:30.000Z")],
    }),
  );
  await control.admin.send("POST", "/api/v1/channels", { name: "ops", kind: "webhook", url: "http://127.0.0.1/hook" });
  const { id } = await control.admin.ask(Run, "POST", "/api/v1/restores", restore({ host: "two" }));
  const report = reportOf({
    id,
    binding: binding.id,
    kind: "restore",
    state: "failed",
    listed: [],
    failure: "restore.incomplete",
  });
  expect(await send(one, report)).toEqual([]);
  expect(await send(two, report)).toEqual([id]);
  const { items } = await control.admin.ask(page(Run), "GET", `/api/v1/runs?host=${two.id}`);
  expect(items).toMatchObject([{ id, host: two.id, binding: binding.id, state: "failed" }]);
  expect(await ordersOf(two)).toEqual([]);
  expect((await control.admin.ask(page(Snapshot), "GET", "/api/v1/snapshots")).items).toHaveLength(1);
  expect(await notifications(control)).toMatchObject([
    { type: "run.failed", data: { host: { name: "two" }, run: { kind: "restore" } } },
  ]);

  for (const kind of ["backup", "restore"] as const) {
    const unasked = reportOf({
      id: runIdAt("2026-11-21T00:00:00.000Z"),
      binding: binding.id,
      kind,
      state: "succeeded",
    });
    expect(await send(two, unasked)).toEqual([]);
  }
});
