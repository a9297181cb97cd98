import { expect, test } from "vitest";
import { newAgeKey, recipientOf, seal } from "../../shared/age.ts";
import { Recovery, StoredEscrows } from "../../shared/escrow.ts";
import { testControl, type TestControl } from "../support/control.ts";
import { declare } from "./declared.ts";

const digest = (of: string): string => of.repeat(64);
const read = (control: TestControl) => control.admin.ask(Recovery, "GET", "/api/v1/recovery");
const stored = async (control: TestControl) =>
  (await control.admin.ask(StoredEscrows, "GET", "/api/v1/recovery/escrows")).escrows;

async function world() {
  const control = await testControl();
  const [nas, other] = [await control.enrol("nas"), await control.enrol("other")];
  const { repository } = await declare(control, nas, "photos");
  const recipient = await recipientOf(await newAgeKey());
  const sealed = await seal([recipient], "what opens it");
  await control.admin.ask(Recovery, "PUT", "/api/v1/recovery", { recipient });
  const escrow = { repository: repository.id, recipient, sealed, digest: digest("a") };
  return { control, nas, other, repository, recipient, escrow };
}

test("says what is missing, what is sealed, and what came after the kit was printed", async () => {
  const { control, nas, recipient, escrow } = await world();
  expect(await read(control)).toMatchObject({
    recipient,
    printedAt: null,
    escrowed: 0,
    missing: [{ repository: expect.any(String), hosts: ["nas"] }],
  });
  expect((await nas.send("PUT", "/agent/v1/escrows", { escrows: [escrow] })).status).toBe(204);
  expect(await read(control)).toMatchObject({ escrowed: 1, newer: 1, missing: [] });
  control.pass(1000);
  await control.admin.ask(Recovery, "PUT", "/api/v1/recovery", { recipient, printed: true });
  control.pass(1000);
  // The same content, sealed once more.
  await nas.send("PUT", "/agent/v1/escrows", { escrows: [{ ...escrow, sealed: await seal([recipient], "again") }] });
  expect(await read(control)).toMatchObject({ escrowed: 1, newer: 0 });
  await nas.send("PUT", "/agent/v1/escrows", { escrows: [{ ...escrow, digest: digest("b") }] });
  expect(await read(control)).toMatchObject({ escrowed: 1, newer: 1 });
});

test("a host speaks for the repositories it is bound to, and for no other's", async () => {
  const { control, other, escrow } = await world();
  expect((await other.send("PUT", "/agent/v1/escrows", { escrows: [escrow] })).status).toBe(204);
  expect(await stored(control)).toEqual([]);
  const large = { ...escrow, sealed: `${escrow.sealed}${"A".repeat(40_000)}` };
  expect(await other.refused("PUT", "/agent/v1/escrows", { escrows: [large] })).toMatchObject({ status: 400 });
});

test("with another kit, what was sealed to the one before stays until its host has sealed it anew", async () => {
  const { control, nas, recipient, escrow } = await world();
  await nas.send("PUT", "/agent/v1/escrows", { escrows: [escrow] });
  control.pass(1000);
  const next = await recipientOf(await newAgeKey());
  const after = await control.admin.ask(Recovery, "PUT", "/api/v1/recovery", { recipient: next });
  expect(after).toMatchObject({ recipient: next, escrowed: 0, missing: [{ hosts: ["nas"] }] });
  expect(await stored(control)).toMatchObject([{ recipient }]);
  const anew = { ...escrow, recipient: next, sealed: await seal([next], "what opens it"), digest: digest("c") };
  await nas.send("PUT", "/agent/v1/escrows", { escrows: [anew] });
  expect(await stored(control)).toMatchObject([{ recipient: next }]);
  expect(await read(control)).toMatchObject({ escrowed: 1, missing: [] });
});

test("what opens a repository outlives its deletion here", async () => {
  const { control, nas, repository, escrow } = await world();
  await nas.send("PUT", "/agent/v1/escrows", { escrows: [escrow] });
  const { body } = await control.admin.send("GET", `/api/v1/bindings?repository=${repository.id}`);
  for (const { id } of (body as { items: { id: string }[] }).items) {
    await control.admin.send("DELETE", `/api/v1/bindings/${id}`);
  }
  expect((await control.admin.send("DELETE", `/api/v1/repositories/${repository.id}`)).status).toBe(204);
  expect(await control.admin.refused("GET", `/api/v1/repositories/${repository.id}`)).toMatchObject({ status: 404 });
  expect(await stored(control)).toHaveLength(1);
});
