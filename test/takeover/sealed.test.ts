import { randomBytes } from "node:crypto";
import { chmod, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { recipientOfHost } from "../../agent/policy/age-key.ts";
import { newAgeKey, recipientOf } from "../../shared/age.ts";
import { CreateRepository, Repository } from "../../shared/repository.ts";
import { sealSecret, type SealedName } from "../../shared/sealed-secret.ts";
import { type EngineHost, openEngineHost, textOf } from "../engine/engine-host.ts";
import { testControl } from "../support/control.ts";
import { newestRestic } from "../support/restic.ts";

// Who runs the control plane stores and sends sealed secrets, and chooses where repositories are. It can neither open
// one, nor have it sent to a place it was not sealed for.

let host: EngineHost;
beforeEach(async () => {
  host = await openEngineHost(newestRestic());
  await host.write("data/file", "one");
});
afterEach(() => host.close());

const secret = (): string => `canary-${randomBytes(12).toString("hex")}`;
const here = (): string => join(host.root, "srv/repository");

/** Sealed to the host and to another one, which may use the repository too. */
async function sealed(value: string, { location = here(), name = "passphrase" as SealedName } = {}) {
  const recipients = [await recipientOfHost(host.paths), await recipientOf(await newAgeKey())];
  return { sealed: await sealSecret(recipients, { for: { provider: "restic", location }, name, value }) };
}

async function filesBelow(directory: string, text: string): Promise<string[]> {
  const entries = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  const paths = entries.map(({ parentPath, name }) => join(parentPath, name));
  const holds = await Promise.all(paths.map(async (path) => (await textOf(path)).includes(text)));
  return paths.filter((_, index) => holds[index]);
}

test("a sealed passphrase opens the repository, and stands in clear in no file", async () => {
  const passphrase = secret();
  const work = host.work({ passphrase: await sealed(passphrase) });
  expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
  expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
  expect(await filesBelow(host.root, passphrase)).toEqual([]);
  expect(host.lines.join("\n")).not.toContain(passphrase);
  const other = await host.backup(host.work({ passphrase: await sealed(secret()) }));
  expect(other.failure?.code).toBe("repository.wrong_passphrase");
});

test("a sealed passphrase goes to no other place, and as nothing else", async () => {
  const passphrase = secret();
  const elsewhere = join(host.root, "srv/elsewhere");
  const moved = host.work({ passphrase: await sealed(passphrase), location: elsewhere });
  expect(await host.backup(moved)).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
  const asUser = host.work({
    location: "rest:http://127.0.0.1:1/x",
    passphrase: await sealed(secret(), { location: "rest:http://127.0.0.1:1/x" }),
    secrets: { RESTIC_REST_PASSWORD: await sealed(passphrase, { location: "rest:http://127.0.0.1:1/x" }) },
  });
  expect(await host.backup(asUser)).toMatchObject({ failure: { code: "policy.refused" } });
  const refusals = await host.refusals();
  expect(refusals.map(({ code }) => code)).toEqual(["policy.repositories", "policy.repositories"]);
  expect(JSON.stringify([refusals, host.lines, await host.reports()])).not.toContain(passphrase);
  expect(await readdir(join(host.root, "srv")).catch(() => [])).toEqual([]);
});

test("what is sealed to another host, or was changed, is unreadable and says what to do", async () => {
  await recipientOfHost(host.paths);
  const foreign = await sealSecret([await recipientOf(await newAgeKey())], {
    for: { provider: "restic", location: here() },
    name: "passphrase",
    value: secret(),
  });
  const { failure } = await host.backup(host.work({ passphrase: { sealed: foreign } }));
  expect(failure).toMatchObject({
    code: "secret.unreadable",
    message: expect.stringContaining("is not sealed to this host"),
    next: expect.stringContaining("holdfast seal --repository nas --name passphrase"),
  });
});

test.each([
  ["lost", (file: string) => rm(file, { force: true })],
  ["damaged", (file: string) => writeFile(file, "AGE-SECRET-KEY-1X\n", { mode: 0o600 })],
  ["open to others", (file: string) => chmod(file, 0o644)],
])("a host whose age key is %s says so, and makes no other while it has one", async (what, harm) => {
  const work = host.work({ passphrase: await sealed(secret()) });
  await harm(host.paths.ageKeyFile);
  const { failure } = await host.backup(work);
  expect(failure).toMatchObject({ code: "secret.unreadable", message: expect.stringContaining(host.paths.ageKeyFile) });
  if (what !== "lost") await expect(recipientOfHost(host.paths)).rejects.toThrow(host.paths.ageKeyFile);
});

test("a generated passphrase stays with the place it was made for", async () => {
  await host.backup(host.work());
  const elsewhere = host.work({ location: join(host.root, "srv/elsewhere") });
  expect(await host.backup(elsewhere)).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
  const atAnAttacker = host.work({ location: "rest:http://127.0.0.1:1/x" });
  expect(await host.backup(atAnAttacker)).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
  expect(await host.backup(host.work())).toMatchObject({ state: "succeeded" });
});

test("so does one that an older version made, from its first use on", async () => {
  const work = host.work();
  await host.backup(work);
  const place = join(host.paths.secretsDir, `${work.binding.repository}.place`);
  await rm(place);
  // The host remembers where it was last opened: nobody can say otherwise in between.
  expect(await host.backup(host.work({ location: join(host.root, "srv/elsewhere") }))).toMatchObject({
    failure: { code: "policy.refused" },
  });
  expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
  expect(await readFile(place, "utf8")).toContain(here());
  await rename(place, `${place}.aside`);
  await writeFile(place, "damaged");
  const { failure } = await host.backup(work);
  expect(failure).toMatchObject({ code: "secret.unreadable", next: expect.stringContaining(place) });
});

test("the API takes sealed secrets, changes them, and gives back the same text", async () => {
  const control = await testControl();
  const [first, second] = [await sealed(secret()), await sealed(secret())];
  const body = { name: "nas", provider: "restic", location: here(), passphrase: first };
  const made = await control.admin.ask(Repository, "POST", "/api/v1/repositories", body);
  expect(made.passphrase).toEqual(first);
  const changed = await control.admin.ask(Repository, "PATCH", `/api/v1/repositories/${made.id}`, {
    passphrase: second,
    secrets: { AWS_SECRET_ACCESS_KEY: first },
  });
  expect(changed).toMatchObject({ passphrase: second, secrets: { AWS_SECRET_ACCESS_KEY: first } });
  const generated = await control.admin.ask(Repository, "POST", "/api/v1/repositories", {
    ...body,
    name: "made-there",
    passphrase: { generate: true },
  });
  const refused = await control.admin.refused("PATCH", `/api/v1/repositories/${generated.id}`, { passphrase: first });
  expect(refused.message).toContain("was made on its host");
});

test.each([
  ["a secret in clear", "hunter2", "must be what `holdfast seal` prints"],
  ["a text that is too long", `-----BEGIN AGE ENCRYPTED FILE-----\n${"A".repeat(40_000)}`, "32,768"],
  [
    "another file",
    "-----BEGIN PGP MESSAGE-----\nAAAA\n-----END PGP MESSAGE-----\n",
    "must be what `holdfast seal` prints",
  ],
])("the API refuses %s as sealed, and says so", (_what, text, message) => {
  const body = { name: "nas", provider: "restic", location: "/srv/x", passphrase: { sealed: text } };
  const { error } = CreateRepository.safeParse(body);
  expect(error?.issues[0]?.message).toContain(message);
  const credential = CreateRepository.safeParse({
    ...body,
    passphrase: { generate: true },
    secrets: { B2_ACCOUNT_KEY: { sealed: text } },
  });
  expect(credential.error?.issues[0]).toMatchObject({ path: ["secrets", "B2_ACCOUNT_KEY", "sealed"] });
});
