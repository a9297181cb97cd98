import { expect, test } from "vitest";
import * as z from "zod";
import { page } from "../../shared/api.ts";
import { Contract } from "../../shared/contract.ts";
import { DeclarationsResult } from "../../shared/declaration.ts";
import { Delivery } from "../../shared/event.ts";
import { testControl } from "../support/control.ts";
import { allOf, bound, declare, files, hostOf } from "./published.ts";

// What of a host's files is not in force: said with file and field, notified once, and taking nothing else away.

const ChannelId = z.object({ id: z.string() });

test("a name that is in use is a fault of that file only, reported and shown, and overwrites nothing", async () => {
  const control = await testControl();
  const [host, other] = [await control.enrol("one"), await control.enrol("two")];
  const theirs = { host: host.id, name: "photos", request: { user: "root", sourceDirectories: ["/other"] } };
  const made = await control.admin.ask(Contract, "POST", "/api/v1/contracts", theirs);
  await declare(other, bound(files("mail"), { name: "shared", location: "sftp:u@nas:/mail" }));
  const unread = { file: "broken.json", message: "is not JSON" };
  const answer = await host.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", {
    declarations: [
      bound(files("photos")),
      bound(files("mail"), { name: "shared", location: "sftp:u@nas:/mail" }),
      bound(files("music")),
      bound(files("films", { user: "films" }), { name: "one-music", location: "/backup/music" }),
    ],
    faults: [unread],
  });
  expect(answer).toMatchObject({
    contracts: [{ name: "music" }],
    faults: [
      {
        file: "photos.json",
        message: expect.stringContaining('contract "photos" of this host was created in the control plane'),
      },
      { file: "mail.json", message: expect.stringContaining('another repository "shared"') },
      { file: "films.json", message: expect.stringContaining('that contract "music" uses as user "photos"') },
    ],
  });
  expect((await hostOf(control, host)).declarationFaults).toEqual([{ ...unread, field: null }, ...answer.refused]);
  const { contracts, repositories } = await allOf(control);
  expect(contracts.find(({ id }) => id === made.id)).toEqual(made);
  expect(repositories.map(({ name }) => name).toSorted()).toEqual(["one-music", "shared"]);
  await declare(host, bound(files("music")));
  expect((await hostOf(control, host)).declarationFaults).toEqual([]);
});

test("files that are not applied are notified once, and once when all of them are", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const channel = { kind: "webhook", url: "https://me.example/hook" };
  const me = await control.admin.ask(ChannelId, "POST", "/api/v1/channels", { ...channel, name: "me" });
  const events = ["host.declaration_faults"];
  const them = await control.admin.ask(ChannelId, "POST", "/api/v1/channels", { ...channel, name: "them", events });
  const publish = (...faults: object[]) =>
    host.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", { declarations: [files("photos")], faults });
  const fault = { file: "mail.json", message: "is not JSON" };
  await publish();
  await Promise.all([publish(fault), publish(fault)]);
  await publish(fault);
  control.pass(1000);
  await publish();
  const { items } = await control.admin.ask(page(Delivery), "GET", "/api/v1/deliveries");
  const one = { id: host.id, name: "one" };
  const faults = [{ ...fault, field: null }];
  const incident = expect.objectContaining({ kind: "host.declaration_refused" });
  const eventsOf = (channel: string) =>
    items
      .filter((delivery) => delivery.channel === channel)
      .map(({ payload }) => ({ type: payload.type, data: payload.data }))
      .toReversed();
  expect(eventsOf(me.id)).toEqual([
    { type: "host.declaration_refused", data: { host: one, faults, more: 0, incident } },
    { type: "host.declaration_accepted", data: { host: one, incident } },
  ]);
  // Whoever asked for the older event gets it.
  expect(eventsOf(them.id)).toEqual([
    { type: "host.declaration_faults", data: { host: one, faults } },
    { type: "host.declaration_faults", data: { host: one, faults: [] } },
  ]);
  expect(control.wakes()).toBe(2);
});

test("what is refused, or kept by its name, stays as it was before; two faults of a file are both said", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await declare(host, bound(files("photos")), bound(files("mail")), files("music"));
  const before = await allOf(control);
  const newer = { ...bound(files("photos")), ownedByNewerAgents: true };
  const publish = (body: object) =>
    host.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", { faults: [], ...body });
  const field = "ownedByNewerAgents";
  expect(await publish({ declarations: [newer, files("music")], kept: ["mail"] })).toMatchObject({
    contracts: [{ name: "music" }],
    refused: [{ file: "photos.json", field }],
  });
  expect(await allOf(control)).toEqual(before);
  // Whose it is can't be told: nothing is removed.
  expect(await publish({ declarations: [{ file: "?.json" }] })).toMatchObject({ refused: [{ file: "?.json" }] });
  expect(await allOf(control)).toEqual(before);

  const theirs = { host: host.id, name: "films", request: { user: "root", sourceDirectories: ["/other"] } };
  await control.admin.ask(Contract, "POST", "/api/v1/contracts", theirs);
  const both = bound(files("films"), { name: "one-photos", location: "/elsewhere" });
  const { refused } = await declare(host, bound(files("photos")), both);
  expect(refused.map((fault) => [fault.file, fault.field])).toEqual([
    ["films.json", "name"],
    ["films.json", "settings.repository.path"],
  ]);
});

test("a file with a fault keeps what it declared before", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await declare(host, bound(files("photos"), { name: "disk", location: "/backup/photos" }));
  const before = await allOf(control);
  const { faults } = await declare(host, bound(files("photos"), { name: "disk", location: "/elsewhere" }));
  expect(faults).toMatchObject([{ message: expect.stringContaining("a different location needs a different name") }]);
  expect(await allOf(control)).toEqual(before);
});
