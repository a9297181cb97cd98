import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { readKit, writeKit } from "../../shared/node/recovery-kit.ts";
import { SecretName } from "../../shared/secret-source.ts";
import { type SealedName, sealSecret } from "../../shared/sealed-secret.ts";
import { httpReceiver } from "../node/http-receiver.ts";
import { until } from "../support/until.ts";
import { addChannels } from "./canaries/channels.ts";
import { everyPlace, findAll, FROM_AGENT } from "./canaries/places.ts";
import { openScene, type Scene } from "./canaries/scene.ts";

// Every secret there is gets a value of its own, Holdfast is used, and then all bytes are searched: what the control
// plane keeps, copies, logs and shows, what passes between it and the agent, what the agent keeps, prints and starts,
// and the repositories.
//
// The request that sets a channel's secret carries it in clear from a client to the control plane, which seals it, as
// every request carries its API token. Clients don't go through the recorder, only the agent does.

const planted: Record<string, string> = {};
function plant(what: string, value = `canary-${randomBytes(16).toString("hex")}`): string {
  planted[what] = value;
  return value;
}
const restPassword = plant("sealed RESTIC_REST_PASSWORD");

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({ password: restPassword });
});
afterAll(() => scene.end());

const rest = (): string => `rest:https://127.0.0.1:${scene.storage.port}/nas`;

/** What `holdfast seal` prints. */
async function sealed(name: SealedName, value: string) {
  const { items } = await scene.api("GET", "/hosts");
  const { recipient } = z.object({ recipient: z.string() }).parse(items[0]?.["facts"]);
  return { sealed: await sealSecret([recipient], { for: { provider: "restic", location: rest() }, name, value }) };
}

/** Enrols the host with a token in a file, as the line of installation does. @returns the token */
async function enrol(receiver: string): Promise<string> {
  const etc = join(scene.at.host, "etc/holdfast");
  await mkdir(join(etc, "secrets"), { recursive: true, mode: 0o700 });
  await chmod(etc, 0o755);
  const policy = { level: "open", outgoing: [new URL(receiver).origin] };
  await writeFile(join(etc, "policy.json"), JSON.stringify(policy), { mode: 0o644 });
  const enrollment = await scene.api("POST", "/enrollments", { name: "nas" });
  const token = String(enrollment["token"]);
  const file = join(scene.directory, "enrolment-token");
  await writeFile(file, token, { mode: 0o600 });
  await scene.onHost("enroll", "--url", scene.recorder.url, "--token-file", file);
  await rm(file);
  scene.agent.start();
  await until("the host to be online", async () => (await scene.api("GET", "/hosts?name=nas")).items[0]?.["online"]);
  return token;
}

/** One repository per way of having a passphrase, and one that its maintainer reaches in another way. */
async function addRepositories() {
  const file = join(scene.at.host, "etc/holdfast/secrets/borg");
  await writeFile(file, `${plant("passphrase in a file")}\n`, { mode: 0o600 });
  const secrets: Partial<Record<SecretName, unknown>> = {};
  for (const name of SecretName.options) {
    // The server knows one user by its name.
    const value = name === "RESTIC_REST_USERNAME" ? scene.storage.user : planted[`sealed ${name}`];
    const text = value ?? plant(`sealed ${name}`);
    const account = JSON.stringify({ type: "service_account", private_key: text });
    secrets[name] = await sealed(name, name === "GOOGLE_APPLICATION_CREDENTIALS" ? account : text);
  }
  const words = ["seal", "--provider", "restic", "--location", rest(), "--host", "nas"];
  const said = await scene.holdfast(words, { input: `${plant("sealed passphrase")}\n` });
  const remote = { provider: "restic", location: rest(), caFile: scene.storage.caFile, secrets };
  const access = {
    location: rest(),
    passphrase: await sealed("passphrase", plant("passphrase of the maintainer")),
    secrets: {
      AWS_SECRET_ACCESS_KEY: await sealed("AWS_SECRET_ACCESS_KEY", plant("credential of the maintainer")),
    },
  };
  const [restic, borg] = ["restic", "borg"].map((name) => join(scene.at.repositories, name));
  const passphrase: unknown = JSON.parse(said);
  await scene.bind("kept", {
    ...remote,
    location: `${rest()}-kept`,
    passphrase,
    appendOnly: true,
    maintenance: { access },
  });
  return {
    generated: await scene.bind("disk", { provider: "restic", location: restic, passphrase: { generate: true } }),
    inFile: await scene.bind("borg", { provider: "borg", location: borg, passphrase: { file } }),
    sealed: await scene.bind("rest", { ...remote, passphrase }),
  };
}

test("every secret is in its own place, and in no other byte of anything", async () => {
  const { api, at, directory, holdfast, onHost, succeeds } = scene;
  const receiver = await httpReceiver();
  const token = await enrol(receiver.url);
  const { key } = readKit(await holdfast(["recovery"], { isKit: true }));
  const bindings = await addRepositories();

  await Promise.all(
    Object.entries(bindings).map(async ([name, { binding }]) => {
      const { snapshot } = await succeeds(`/bindings/${binding}/run`);
      await succeeds("/restores", { binding, snapshot, target: join(directory, `back-${name}`) });
      await succeeds(`/bindings/${binding}/forget`, { dryRun: false });
    }),
  );
  // A failure's message and log are searched too.
  const right = (await api("GET", `/repositories/${bindings.sealed.repository}`))["passphrase"];
  const change = (passphrase: unknown) => api("PATCH", `/repositories/${bindings.sealed.repository}`, { passphrase });
  await change(await sealed("passphrase", plant("wrong passphrase")));
  const failed = await scene.endOf(await api("POST", `/bindings/${bindings.sealed.binding}/run`, {}));
  expect(failed).toMatchObject({ failure: { code: "repository.wrong_passphrase" } });
  await change(right);

  const channels = await addChannels(scene, { receiver: receiver.url, plant });
  await until("an attempt of every delivery", async () => {
    const { items } = await api("GET", "/deliveries?limit=200");
    const tried = items.filter(({ attempts }) => Number(attempts) > 0).map(({ channel }) => channel);
    return channels.every((id) => tried.includes(id));
  });
  expect(receiver.requests).toHaveLength(channels.length - 1);
  await onHost("recovery", "--grant", String((await api("GET", "/recovery"))["recipient"]));
  await succeeds(`/bindings/${bindings.sealed.binding}/run`);
  await until("the kit to have all three", async () => Number((await api("GET", "/recovery"))["escrowed"]) >= 3);
  const kitFile = join(directory, "kit.txt");
  await writeFile(kitFile, writeKit({ key, repositories: [] }, "its key"));
  // It lacks "kept", which was never backed up.
  const kit = readKit(await holdfast(["recovery", "print", kitFile], { isKit: true, code: 3 }));
  await Promise.all([onHost("status"), onHost("doctor"), holdfast(["status"])]);
  await scene.stageControlBackup();

  const generatedFile = `var/lib/holdfast/secrets/${bindings.generated.repository}`;
  const text = async (...path: string[]): Promise<string> => (await readFile(join(...path), "utf8")).trim();
  const generated = await text(at.host, generatedFile);
  const hostKey = z.object({ d: z.string() }).parse(JSON.parse(await text(at.host, "var/lib/holdfast/host.key"))).d;
  const signingKey = await text(at.data, "signing.key");
  // What was planted is what was used.
  const opens = (name: string) => kit.repositories.find((one) => one.name === name);
  expect(opens("disk")?.passphrase).toBe(generated);
  expect(opens("borg")?.passphrase).toBe(planted["passphrase in a file"]);
  expect(opens("rest")?.passphrase).toBe(planted["sealed passphrase"]);
  expect(opens("rest")?.secrets["RESTIC_REST_PASSWORD"]).toBe(restPassword);

  const secrets: Record<string, (string | Buffer)[]> = {
    ...Object.fromEntries(Object.entries(planted).map(([what, value]) => [what, [value]])),
    "generated passphrase": [generated],
    "age key of the host": [await text(at.host, "var/lib/holdfast/age.key")],
    "private key of the host": [hostKey, Buffer.from(hostKey, "base64url")],
    // The last 32 bytes are the seed that other keys are derived from.
    "signing key": [signingKey, Buffer.from(signingKey, "base64url").subarray(-32)],
    "key of the recovery kit": [key],
    "enrolment token": [token],
    "API token": [scene.adminToken],
  };
  // Where each may be. What is not named here is nowhere.
  const allowed: Record<string, string[]> = {
    "passphrase in a file": ["host: etc/holdfast/secrets/borg"],
    "generated passphrase": [`host: ${generatedFile}`],
    "age key of the host": ["host: var/lib/holdfast/age.key"],
    "private key of the host": ["host: var/lib/holdfast/host.key"],
    // The control plane's own backup holds it, staged for as long as that runs, in a repository that is encrypted.
    "signing key": ["control plane: backup/signing.key", "control plane: signing.key"],
    // Enrolling sends it once, which uses it up.
    "enrolment token": [FROM_AGENT],
  };
  const places = await everyPlace(scene);
  const expected = Object.fromEntries(Object.keys(secrets).map((what) => [what, allowed[what] ?? []]));
  expect(findAll(places, secrets)).toEqual(expected);

  // All of that was there to be searched, and readable.
  const [from, to] = [scene.recorder.bytes("from agent"), scene.recorder.bytes("to agent")];
  for (const request of ["GET /agent/v1/socket", "POST /agent/v1/deliveries", "PUT /agent/v1/escrows"])
    expect(from.includes(request), request).toBe(true);
  expect(to.toString("latin1")).not.toMatch(/content-encoding|permessage-deflate/i);
  const markers = findAll(places, { location: [rest()], option: ["--json"], id: [bindings.inFile.repository] });
  expect(markers["option"]).toContain("command lines");
  expect(markers["location"]).toEqual(
    expect.arrayContaining([
      "control plane: control.db",
      "control plane: backup/control.db",
      "GET /api/v1/repositories",
    ]),
  );
  expect(markers["id"]).toContain(FROM_AGENT);
});

test("the search finds a secret in base64 at any place, in hexadecimal, and in a socket's masked frame", () => {
  const secret = `canary-${randomBytes(16).toString("hex")}`;
  const around = Buffer.from(`{"key":"é","secret":"${secret}"}`);
  const mask = randomBytes(4);
  const written: Record<string, Buffer> = {
    base64: Buffer.from(around.toString("base64")),
    "base64, a byte later": Buffer.from(around.subarray(1).toString("base64url")),
    "base64, two bytes later": Buffer.from(around.subarray(2).toString("base64")),
    hexadecimal: Buffer.from(around.toString("hex")),
    [FROM_AGENT]: around.map((byte, index) => byte ^ (mask[index % 4] ?? 0)) as Buffer,
  };
  const places = Object.entries(written).map(([name, bytes]) => ({ name, bytes: Buffer.from(bytes) }));
  expect(findAll(places, { secret: [secret] })["secret"]).toEqual(Object.keys(written).toSorted());
  expect(findAll(places, { other: [`${secret}0`] })["other"]).toEqual([]);
});
