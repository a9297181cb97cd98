import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AssignedRepository } from "../../shared/assignment.ts";
import { type EngineHost, openEngineHost } from "../engine/engine-host.ts";
import { describeTree, makeOddTree } from "../engine/odd-tree.ts";
import { type FoundEngine, oneOfEach } from "../support/engines.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { startRestServer, startS3, type Storage } from "../support/storage.ts";

let host: EngineHost;
afterEach(() => host.close());

/** One whole story in a place that is not on the host's disk. */
async function storeAndRestore(repository: Partial<AssignedRepository>): Promise<void> {
  const data = join(host.root, "data");
  makeOddTree(data);
  const before = describeTree(data);
  const work = host.work({ repository });
  const stored = await host.backup(work);
  expect(stored).toMatchObject({ state: "succeeded", failure: null });
  expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
  const { snapshots, log } = await host.report({ kind: "backup" });
  expect(snapshots).toHaveLength(2);
  expect(log).not.toContain("creating repository");
  const target = join(host.root, "restored");
  const restored = await host.restore(work, { target, snapshot: stored.snapshot ?? "" });
  expect(restored).toMatchObject({ state: "succeeded", failure: null });
  expect(describeTree(join(target, data))).toEqual(before);
}

/** What a place says that does not let the host in: nothing is created, nothing secret shown. */
async function isRefused(repository: Partial<AssignedRepository>, secret: string | null = null): Promise<void> {
  await host.write("data/file", "one");
  const refused = await host.backup(host.work({ repository }));
  expect(refused).toMatchObject({ state: "failed", snapshot: null, failure: { code: "repository.unreachable" } });
  expect((await host.report({ kind: "backup" })).log).not.toContain("creating repository");
  if (secret === null) return;
  const shown = JSON.stringify([refused, host.lines, await host.reports()]);
  for (const form of [secret, encodeURIComponent(secret)]) expect(shown).not.toContain(form);
}

const ENGINES: FoundEngine[] = oneOfEach();

describe.each(ENGINES)("behind ssh, $provider $version", (engine) => {
  let sshd: Sshd;
  let data: string;
  beforeEach(async () => {
    host = await openEngineHost(engine);
    data = join(host.root, "served");
    await mkdir(data);
    const serve = `${engine.path} serve --append-only --restrict-to-path ${data}`;
    sshd = await startSshd({ command: engine.provider === "borg" ? serve : null });
  });
  afterEach(() => sshd.stop());

  const place = (change: Partial<AssignedRepository["ssh"]> = {}): Partial<AssignedRepository> => ({
    location:
      engine.provider === "borg"
        ? `ssh://root@127.0.0.1:${sshd.port}${data}/repository`
        : `sftp://root@127.0.0.1:${sshd.port}/${data}/repository`,
    ssh: { identityFile: sshd.keyFile, hostKey: sshd.hostKey, ...change },
  });

  it("stores and restores, with its own key and the pinned host key", async () => {
    await storeAndRestore(place());
    expect(await readdir(data)).toEqual(["repository"]);
  });

  it("rejects a server with another host key, and is rejected with another user key", async () => {
    const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJkZ5zUO1w6VDUnFqqMkvBRzzQK4Yg0ZtCB7kbVq4zJm";
    await isRefused(place({ hostKey }));
    await isRefused(place({ identityFile: sshd.strangersKeyFile }));
    expect(await readdir(data)).toEqual([]);
  });
});

describe.each(ENGINES.filter(({ provider }) => provider === "restic"))(
  "on a server over TLS, restic $version",
  (restic) => {
    let storage: Storage;
    beforeEach(async () => {
      host = await openEngineHost(restic);
    });
    afterEach(() => storage.stop());

    const secrets = async (
      names: [string, string],
      password: string,
      user = storage.user,
    ): Promise<AssignedRepository["secrets"]> => ({
      [names[0]]: { file: await host.write("user", `${user}\n`) },
      [names[1]]: { file: await host.write("password", `${password}\n`) },
    });
    const rest = async (password: string): Promise<Partial<AssignedRepository>> => ({
      location: `rest:https://127.0.0.1:${storage.port}/nas`,
      caFile: storage.caFile,
      secrets: await secrets(["RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD"], password),
    });
    const s3 = async (password: string, user?: string): Promise<Partial<AssignedRepository>> => ({
      location: `s3:https://127.0.0.1:${storage.port}/nas`,
      caFile: storage.caFile,
      secrets: await secrets(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], password, user),
    });

    it.each([false, true])("stores and restores through a REST server, append-only: %s", async (appendOnly) => {
      storage = await startRestServer({ appendOnly });
      await storeAndRestore({ ...(await rest(storage.password)), appendOnly });
      expect(await storage.names()).toEqual(["nas"]);
    });

    it("is rejected by a REST server with another password, and rejects one with an unknown certificate", async () => {
      storage = await startRestServer({ appendOnly: false });
      await isRefused(await rest("not/the:password"), "not/the:password");
      await isRefused({ ...(await rest(storage.password)), caFile: null }, storage.password);
      expect(await storage.names()).toEqual([]);
    });

    it("stores and restores through S3, and only with the right key", async () => {
      storage = await startS3({ bucket: "nas" });
      await isRefused(await s3("a-strangers-secret", "STRANGER"), "a-strangers-secret");
      expect(await storage.names("nas")).toEqual([]);
      await storeAndRestore(await s3(storage.password));
      expect(await storage.names("nas")).not.toEqual([]);
    });
  },
);
