import { expect, test } from "vitest";
import { writeAll } from "../../control/db/transaction.ts";
import { acceptRow } from "../../control/domain/service/row-protection.ts";
import { enqueue, type OutboxEvent } from "../../control/notify/outbox.ts";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { EventType } from "../../shared/event.ts";
import { Host } from "../../shared/host.ts";
import { testControl } from "../support/control.ts";
import { declare } from "./declared.ts";
import { addChannel, deliveriesOf } from "./incident-steps.ts";

test("hosts and bindings are labelled, listed by label, and a label pokes no host", async () => {
  const control = await testControl();
  const { admin } = control;
  const host = await control.enrol("one");
  await control.enrol("two");
  const { binding, contract } = await declare(control, host, "photos");
  const calls = control.hubCalls.length;
  const path = `/api/v1/bindings/${binding.id}`;
  const revision = (await admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).revision;
  expect(await admin.ask(Binding, "PATCH", path, { labels: ["family", "nas-1"] })).toMatchObject({
    labels: ["family", "nas-1"],
    settings: binding.settings,
  });
  expect(await admin.ask(Host, "PATCH", `/api/v1/hosts/${host.id}`, { labels: ["attic"] })).toMatchObject({
    name: "one",
    labels: ["attic"],
    revision,
  });
  expect(control.hubCalls).toHaveLength(calls);
  const names = async (list: string) =>
    (await admin.ask(page(Host.pick({ name: true }).loose()), "GET", list)).items.map(({ name }) => name);
  expect(await names("/api/v1/hosts?label=attic")).toEqual(["one"]);
  expect(await names("/api/v1/bindings?label=nas-1")).toEqual([binding.name]);
  expect(await names("/api/v1/bindings?label=nas")).toEqual([]);
  for (const [labels, at] of [
    [["Loud!"], ["labels", 0]],
    [["a", "a"], ["labels"]],
  ] as const)
    expect(await admin.refused("PATCH", path, { labels })).toMatchObject({ status: 400, issues: [{ path: at }] });

  await control.deps.db.run(`update bindings set declared = 1 where id = '${binding.id}'`);
  await acceptRow(control.deps, binding.id);
  expect(await admin.ask(Binding, "PATCH", path, { labels: [] })).toMatchObject({ labels: [], declared: true });
  expect(await admin.refused("PATCH", path, { name: "other", labels: ["x"] })).toMatchObject({
    code: "bindings.declared_on_host",
  });
  const repository = await admin.send("POST", "/api/v1/repositories", {
    name: "second",
    provider: "restic",
    location: "/srv/second",
    passphrase: { generate: true },
  });
  expect(repository.status).toBe(201);
  const made = { contract: contract.id, repository: "second", labels: ["new"] };
  expect(await admin.ask(Binding, "POST", "/api/v1/bindings", made)).toMatchObject({ labels: ["new"] });
});

test("channels filter by event, host and label, for every type of event", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const other = await control.enrol("two");
  const { binding, repository } = await declare(control, host, "photos");
  const elsewhere = await declare(control, other, "music");
  await control.admin.send("PATCH", `/api/v1/hosts/${other.id}`, { labels: ["attic"] });
  await control.admin.send("PATCH", `/api/v1/bindings/${binding.id}`, { labels: ["family"] });
  const ids = new Map<string, string>();
  for (const [name, choice] of Object.entries({
    all: {},
    "of-one": { hosts: [host.id] },
    "of-both": { hosts: [host.id, other.id] },
    attic: { labels: ["attic"] },
    family: { labels: ["family", "nobody"] },
    "one-in-attic": { hosts: [host.id], labels: ["attic"] },
    none: { labels: ["nobody"] },
    "by-type": { events: ["backup.late"] },
  })) {
    const { body } = await addChannel(control, name, choice);
    ids.set((body as { id: string }).id, name);
  }
  const subjects = {
    nobody: undefined,
    one: { host: host.id },
    binding: { host: host.id, binding: binding.id },
    two: { host: other.id },
    "the repository of one, as the other noticed": { host: other.id, repository: repository.id },
    "the repository of two": { host: other.id, repository: elsewhere.repository.id },
  };
  const expected: Record<keyof typeof subjects, string[]> = {
    nobody: ["all"],
    one: ["all", "family", "of-both", "of-one"],
    binding: ["all", "family", "of-both", "of-one"],
    two: ["all", "attic", "of-both"],
    "the repository of one, as the other noticed": ["all", "attic", "family", "of-both", "of-one", "one-in-attic"],
    "the repository of two": ["all", "attic", "of-both"],
  };
  for (const type of EventType.options) {
    for (const [whom, subject] of Object.entries(subjects)) {
      const notice: OutboxEvent = { type, data: {}, ...(subject === undefined ? {} : { subject }) };
      await writeAll(control.deps.db, [enqueue(control.deps, notice)]);
      const heard = (await deliveriesOf(control)).map(({ channel }) => ids.get(channel) ?? "?").toSorted();
      await control.deps.db.run("delete from deliveries");
      const wanted = expected[whom as keyof typeof subjects];
      expect({ type, whom, heard }).toEqual({
        type,
        whom,
        heard: type === "backup.late" ? [...wanted, "by-type"].toSorted() : wanted,
      });
    }
  }
});

test("a channel with an unknown host is rejected at that field; a host deleted later stays in it", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const gone = await control.enrol("gone");
  const made = { name: "ops", kind: "webhook", url: "http://127.0.0.1/hook" };
  const nobody = "01936f0e-0000-7000-8000-000000000000";
  const wrong = { status: 400, code: "request.invalid", issues: [{ path: ["hosts", 1] }] };
  expect(await control.admin.refused("POST", "/api/v1/channels", { ...made, hosts: [host.id, nobody] })).toMatchObject(
    wrong,
  );
  const { body } = await addChannel(control, "ops", { hosts: [host.id, gone.id] });
  const path = `/api/v1/channels/${(body as { id: string }).id}`;
  expect((await control.admin.send("DELETE", `/api/v1/hosts/${gone.id}`)).status).toBe(204);
  expect((await control.admin.send("PATCH", path, { name: "others" })).status).toBe(200);
  expect(await control.admin.refused("PATCH", path, { hosts: [host.id, nobody] })).toMatchObject(wrong);
});
