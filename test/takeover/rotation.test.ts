import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { agentPaths, readConfig as readAgentConfig } from "../../agent/config.ts";
import { acceptAssignment } from "../../agent/link/assignments.ts";
import { pinNextKey } from "../../agent/link/control-keys.ts";
import { openApi } from "../../agent/link/api.ts";
import { readInstance } from "../../agent/link/instance.ts";
import { type Identity, loadIdentity, loadOrCreateNextIdentity, proveNewKey } from "../../agent/link/identity.ts";
import { createRefuse } from "../../agent/link/refusals.ts";
import { openSpool } from "../../agent/state/spool.ts";
import { openOffline } from "../../control/cli/offline.ts";
import { remakeRows } from "../../control/domain/service/row-protection.ts";
import { prepareNextSigningKey, switchSigningKey } from "../../control/runtime/node/next-signing-key.ts";
import { openSigningKey } from "../../control/runtime/node/signing-key.ts";
import { TokenCreated } from "../../shared/api.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { holdTime } from "../agent/held-time.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { assignmentOf, configOf, makeSigner } from "../agent/signer.ts";
import { askerOf, testControl } from "../support/control.ts";
import { until } from "../support/until.ts";
import { startWorld, type Thing, type World } from "../support/world.ts";

// Keys are replaced while everything runs, and whatever is cut off is finished later: nothing is lost.

test("an API token is replaced while the old one still works, for as long as was asked", async () => {
  const control = await testControl();
  const make = (path: string, body: object) => control.admin.ask(TokenCreated, "POST", path, body);
  const first = await make("/api/v1/tokens", { name: "ci", scope: "operate" });
  const second = await make(`/api/v1/tokens/${first.id}/rotate`, { overlapSeconds: 600 });
  expect(second).toMatchObject({ name: "ci", scope: "operate", expiresAt: null });
  const status = async (token: string) => (await askerOf(control.app, () => token).send("GET", "/api/v1/hosts")).status;
  expect([await status(first.token), await status(second.token)]).toEqual([200, 200]);
  control.pass(601_000);
  expect([await status(first.token), await status(second.token)]).toEqual([401, 200]);
  const operate = await control.withScope("operate");
  expect(await operate.refused("POST", `/api/v1/tokens/${second.id}/rotate`, {})).toMatchObject({ status: 403 });
});

describe("the control plane's signing key, seen from a host", () => {
  const bench = async () => {
    const { paths } = await scratchRoot();
    await mkdir(paths.etc, { recursive: true });
    const [first, second, thief] = await Promise.all([makeSigner(), makeSigner(), makeSigner()]);
    const config = configOf(first);
    const { clock } = holdTime();
    const spool = openSpool(paths);
    const log = (): void => undefined;
    const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
    const refuse = createRefuse({ clock, random, log, spool });
    const deps = { paths, config, clock, log, refuse };
    const announce = async (next: string) =>
      await first.sign({ next, issuedAt: "2026-11-23T08:00:00.000Z" }, JWS_TYPES.nextKey);
    const codes = async () =>
      (await spool.list()).map(({ report }) => (report.type === "refusal" ? report.code : report.type));
    return { deps, first, second, thief, announce, codes };
  };

  test("the first next key that it announces stays pinned, and nobody else can announce one", async () => {
    const { deps, second, thief, announce, codes } = await bench();
    await pinNextKey(
      deps,
      await thief.sign({ next: thief.publicKey, issuedAt: "2026-11-23T08:00:00.000Z" }, JWS_TYPES.nextKey),
    );
    expect(deps.config.nextControlKey).toBeUndefined();
    await pinNextKey(deps, await announce(second.publicKey));
    await pinNextKey(deps, await announce(thief.publicKey));
    expect((await readAgentConfig(deps.paths))?.nextControlKey).toBe(second.publicKey);
    expect(await codes()).toEqual(["key.refused"]);
  });

  test("the first assignment by the next key ends whatever the old one signed, however it is numbered", async () => {
    const { deps, first, second, announce, codes } = await bench();
    const stolen = assignmentOf(deps.config.host, 900_000);
    const current = await acceptAssignment(deps, {
      jws: await first.sign(stolen, JWS_TYPES.assignment),
      current: null,
    });
    expect(current?.revision).toBe(900_000);
    await pinNextKey(deps, await announce(second.publicKey));
    const honest = assignmentOf(deps.config.host, 7);
    const now = await acceptAssignment(deps, { jws: await second.sign(honest, JWS_TYPES.assignment), current });
    expect(now?.revision).toBe(7);
    expect(deps.config).toMatchObject({ controlKey: second.publicKey });
    expect(await readAgentConfig(deps.paths)).not.toHaveProperty("nextControlKey");
    const again = { jws: await first.sign({ ...stolen, revision: 900_001 }, JWS_TYPES.assignment), current: now };
    expect(await acceptAssignment(deps, again)).toBe(now);
    expect(await codes()).toEqual(["assignment.bad_signature"]);
  });
});

describe("a control plane and a host that run", () => {
  let world: World;
  let binding: Thing;

  beforeEach(async () => {
    world = await startWorld();
    onTestFinished(() => world.end());
    const { api, directory } = world;
    await mkdir(join(directory, "photos"));
    await writeFile(join(directory, "photos/one.jpg"), "a photo");
    const { token } = await api.post("/enrollments", { name: "nas" });
    const enrolled = await world.agent.cli("enroll", "--url", world.url, "--token", String(token));
    if (enrolled.code !== 0) throw new Error(enrolled.stderr);
    const contract = await api.post("/contracts", {
      host: "nas",
      name: "photos",
      request: { user: world.user, sourceDirectories: [join(directory, "photos")] },
    });
    const repository = await api.post("/repositories", {
      name: "usb",
      provider: "restic",
      location: join(directory, "usb"),
      passphrase: { generate: true },
    });
    binding = await api.post("/bindings", {
      contract: contract["id"],
      repository: repository["id"],
      settings: { enable: false },
    });
    world.agent.start();
  });

  const backup = async (): Promise<Thing> =>
    await world.endOf(await world.api.post(`/bindings/${binding["id"]}/run`, {}));
  const facts = async (): Promise<Thing> => ((await world.api.get("/hosts")).items[0]?.["facts"] ?? {}) as Thing;

  test("replace the signing key, wherever the switch is cut off", async () => {
    const data = join(world.directory, "control");
    const file = join(data, "signing.key");
    const env = { HOLDFAST_DATA: data };
    const terminal = { env, out: () => undefined, err: () => undefined };
    const offline = async (work: (deps: Awaited<ReturnType<typeof openOffline>>["deps"]) => Promise<void>) => {
      const { deps, close } = await openOffline(terminal);
      await work(deps);
      close();
    };
    expect(await backup()).toMatchObject({ state: "succeeded" });
    const channel = { name: "hook", kind: "webhook", url: "http://127.0.0.1:9/" };
    await world.api.post("/channels", channel);
    /** The agent comes back by itself too, but may take a minute. */
    const restart = async (): Promise<void> => {
      await world.agent.kill("SIGTERM");
      await world.startControl();
      world.agent.start();
    };
    for (const cutOff of ["at the beginning", "half-way", "after the file was replaced", "not at all"] as const) {
      await world.stopControl();
      const next = await prepareNextSigningKey(data);
      await restart();
      await until(`the host to pin the next key; the agent said:\n${world.agent.said()}`, async () => {
        return (await facts())["nextControlKey"] === next.publicKey;
      });
      await world.stopControl();
      const from = await openSigningKey(data, undefined);
      const begun = join(data, "signing.key.switching");
      await offline(async (deps) => {
        if (cutOff === "not at all") return void (await switchSigningKey(deps, data));
        await writeFile(begun, "");
        if (cutOff === "at the beginning") return;
        await remakeRows(deps, { from, to: next });
        if (cutOff === "half-way") return;
        await copyFile(file, `${file}.old`);
        await rename(`${file}.next`, file);
      });
      if (cutOff === "not at all") await restart();
      else await world.startControl();
      await expect(readFile(begun), cutOff).rejects.toThrow("ENOENT");
      expect((await openSigningKey(data, undefined)).publicKey).toBe(next.publicKey);
      // Tokens, hosts, contracts and channels are as they were.
      expect((await world.api.get("/channels")).items).toMatchObject([{ name: "hook" }]);
      if (cutOff !== "not at all") continue;
      // The host takes what the new key signs.
      expect(await backup()).toMatchObject({ state: "succeeded" });
      const config = await readAgentConfig(agentPaths(join(world.directory, "host")));
      expect(config).toMatchObject({ controlKey: next.publicKey });
      expect(config).not.toHaveProperty("nextControlKey");
    }
  });

  test("replace the host's key, wherever that is cut off", async () => {
    const paths = agentPaths(join(world.directory, "host"));
    const config = await readAgentConfig(paths);
    const present = await loadIdentity(paths);
    if (config === null || present === null) throw new Error("not enrolled");
    const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
    const apiAs = async (identity: Identity) =>
      openApi({ config, identity, clock: Date, random, instance: await readInstance(paths) });
    // A daemon that starts finishes what it finds: this one has started.
    expect(await backup()).toMatchObject({ state: "succeeded" });
    // Cut off before the control plane is told: the present key still counts, and the same next one is used later.
    const next = await loadOrCreateNextIdentity(paths);
    expect(await backup()).toMatchObject({ state: "succeeded" });
    // Cut off after it was told: the daemon finds the other key by itself once it is there.
    const proof = await proveNewKey(next, { host: config.host, previous: present.publicKey });
    await (await apiAs(present)).putKey(proof);
    await expect((await apiAs(present)).getOrders()).rejects.toThrow("key");
    expect(await world.agent.cli("rotate", "key")).toMatchObject({ code: 0 });
    expect((await loadIdentity(paths))?.publicKey).toBe(next.publicKey);
    expect(await backup()).toMatchObject({ state: "succeeded" });
    // Whole, under a daemon that runs.
    expect(await world.agent.cli("rotate", "key")).toMatchObject({ code: 0 });
    expect((await loadIdentity(paths))?.publicKey).not.toBe(next.publicKey);
    expect(await backup()).toMatchObject({ state: "succeeded" });
    // Cut off after it was told, and the daemon is started.
    await world.agent.kill("SIGKILL");
    const now = await loadIdentity(paths);
    const last = await loadOrCreateNextIdentity(paths);
    if (now === null) throw new Error("no key");
    const told = await proveNewKey(last, { host: config.host, previous: now.publicKey });
    await (await apiAs(now)).putKey(told);
    world.agent.start();
    expect(await backup()).toMatchObject({ state: "succeeded" });
    expect((await loadIdentity(paths))?.publicKey).toBe(last.publicKey);
    // A proof of another key's is refused.
    const stranger = await proveNewKey(
      { ...present, publicKey: last.publicKey },
      { host: config.host, previous: last.publicKey },
    );
    await expect((await apiAs(last)).putKey(stranger)).rejects.toThrow("new key");
    await rm(paths.keyFile, { force: true });
  });
});
