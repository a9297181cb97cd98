import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { type EngineHost, openEngineHost, type Work } from "../engine/engine-host.ts";
import { oldestAndNewest } from "../support/engines.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { startRestServer, type Storage } from "../support/storage.ts";

// An attacker who is root on the host has all that it has: its credentials, its passphrase, the tool itself. Where the
// storage only lets the host add, no snapshot goes for good by that.

const run = promisify(execFile);
let host: EngineHost;
afterEach(() => host.close());

/** What the host's own tool answers to its root. */
async function asRoot(
  path: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number; out: string }> {
  return await run(path, args, { env: { PATH: process.env["PATH"] ?? "", ...env } }).then(
    ({ stdout }) => ({ code: 0, out: stdout }),
    (error: { code?: number; stderr?: string }) => ({ code: error.code ?? -1, out: error.stderr ?? "" }),
  );
}

async function passphraseOf(work: Work): Promise<string> {
  return (await readFile(join(host.paths.secretsDir, work.binding.repository), "utf8")).trim();
}

describe("root on a host whose storage only lets it add", () => {
  const [, restic] = oldestAndNewest("restic");
  const [borg] = oldestAndNewest("borg");
  let server: { stop(): Promise<void> };
  afterEach(() => server.stop());

  it("removes no snapshot from rest-server --append-only, by no command of restic", async () => {
    host = await openEngineHost(restic);
    const storage: Storage = (server = await startRestServer({ appendOnly: true }));
    await host.write("data/file", "one");
    const work = host.work({
      location: `rest:https://127.0.0.1:${storage.port}/nas`,
      repository: { caFile: storage.caFile, appendOnly: true },
      secrets: {
        RESTIC_REST_USERNAME: { file: await host.write("user", storage.user) },
        RESTIC_REST_PASSWORD: { file: await host.write("password", storage.password) },
      },
    });
    const { snapshot } = await host.backup(work);
    const env = {
      RESTIC_REPOSITORY: `rest:https://127.0.0.1:${storage.port}/nas`,
      RESTIC_PASSWORD: await passphraseOf(work),
      RESTIC_CACERT: storage.caFile,
      RESTIC_REST_USERNAME: storage.user,
      RESTIC_REST_PASSWORD: storage.password,
      RESTIC_CACHE_DIR: join(host.root, "cache"),
    };
    const id = snapshot ?? "";
    const attempts = [
      ["forget", id],
      ["forget", "--prune", "--keep-last", "1", "--unsafe-allow-remove-all", "--tag", "none"],
      ["tag", "--set", "gone", id],
      ["rewrite", "--forget", "--exclude", "*", id],
      ["prune", "--max-unused", "0"],
      ["unlock", "--remove-all"],
    ];
    for (const args of attempts) await asRoot(restic.path, args, env);
    expect((await asRoot(restic.path, ["forget", id], env)).out).toMatch(/403|forbidden|unable to remove/i);
    expect((await asRoot(restic.path, ["snapshots", "--json", id], env)).out).toContain(id);
    expect(await asRoot(restic.path, ["check", "--read-data"], env)).toMatchObject({ code: 0 });
    expect(await host.restore(work, { target: join(host.root, "out"), snapshot: id })).toMatchObject({
      state: "succeeded",
    });
  });

  it("hides archives from borg serve --append-only, and the storage's owner brings them all back", async () => {
    host = await openEngineHost(borg);
    const data = join(host.root, "served");
    await mkdir(data);
    const sshd: Sshd = (server = await startSshd({
      command: `${borg.path} serve --append-only --restrict-to-path ${data}`,
    }));
    await host.write("data/file", "one");
    const place = join(data, "repository");
    const work = host.work({
      location: `ssh://root@127.0.0.1:${sshd.port}${place}`,
      repository: { ssh: { identityFile: sshd.keyFile, hostKey: sshd.hostKey }, appendOnly: true },
    });
    const { snapshot } = await host.backup(work);
    const good = Number(
      (await readFile(join(place, "transactions"), "utf8")).match(/transaction (\d+)(?!.*transaction)/s)?.[1],
    );
    const own = {
      BORG_PASSPHRASE: await passphraseOf(work),
      BORG_BASE_DIR: join(host.root, "attacker"),
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
      BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
    };
    const attacker = {
      ...own,
      BORG_REPO: `ssh://root@127.0.0.1:${sshd.port}${place}`,
      BORG_RSH: `ssh -i ${sshd.keyFile} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR`,
      BORG_DELETE_I_KNOW_WHAT_I_AM_DOING: "YES",
    };
    await asRoot(borg.path, ["delete", "--force", "--glob-archives", "*"], attacker);
    await asRoot(borg.path, ["compact", "--threshold", "0"], attacker);
    await asRoot(borg.path, ["delete", "--force"], attacker);
    const listed = async (env: Record<string, string>): Promise<string> =>
      (await asRoot(borg.path, ["list", "--format", "{id} "], env)).out;
    expect(await listed(attacker)).not.toContain(snapshot);

    // On the storage: back to the last transaction before the attack.
    for (const name of await readdir(place)) {
      const number = Number(/^(?:index|hints|integrity)\.(\d+)$/.exec(name)?.[1] ?? -1);
      if (number >= 0) await rm(join(place, name));
    }
    for (const directory of await readdir(join(place, "data"))) {
      for (const segment of await readdir(join(place, "data", directory)))
        if (Number(segment) > good) await rm(join(place, "data", directory, segment));
    }
    const owner = { ...own, BORG_REPO: place, BORG_BASE_DIR: join(host.root, "owner") };
    expect(await asRoot(borg.path, ["check", "--verify-data"], owner)).toMatchObject({ code: 0 });
    expect(await listed(owner)).toContain(snapshot);
  });
});
