import { chmod, chown, copyFile, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "../support/on-disk.ts";
import { passageAdvice } from "../../agent/system/passage.ts";
import { findUser } from "../../agent/system/process/find-user.ts";
import { newestRestic } from "../support/restic.ts";
import { openContractHost, type Bound, type ContractHost } from "./contract-host.ts";

// `npm start` by root out of a clone in a home that nobody else may enter (Debian's default), with contracts of another
// user. Nobody but root can become another user.

const nobody = { uid: 65_534, gid: 65_534 };

describe.skipIf(process.getuid?.() !== 0)("a program in a private home, and an agent's root of its own user", () => {
  let host: ContractHost;
  let elsewhere: string;
  const bound = (name: string, change: Partial<Bound>): Bound => ({
    name,
    provider: "borg",
    location: join(elsewhere, name),
    request: { user: "nobody", sourceDirectories: [join(elsewhere, "people/srv")] },
    ...change,
  });

  beforeAll(async () => {
    host = await openContractHost({ isPrivate: true });
    elsewhere = await mkdtemp(join(tmpdir(), "holdfast-elsewhere-"));
    await chmod(elsewhere, 0o755);
    await mkdir(join(elsewhere, "people"));
    await chmod(join(elsewhere, "people"), 0o755);
    const source = join(elsewhere, "people/srv");
    await mkdir(source, { mode: 0o700 });
    const live = join(source, "live.db");
    const database = new DatabaseSync(live);
    database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    database.close();
    for (const path of [source, live]) await chown(path, nobody.uid, nobody.gid);
    await chmod(live, 0o600);
    const consistency = [{ sqlite: live }];
    await host.assign([bound("files", {}), bound("database", { provider: "restic", consistency })]);
  });
  afterAll(async () => {
    await host?.close();
    await rm(elsewhere, { recursive: true, force: true });
  });

  test("another user's files are backed up by borg", async () => {
    expect(await host.start("files")).toMatchObject({ code: 0, stdout: expect.stringContaining("succeeded") });
  });

  test("another user's SQLite database is copied by that user, with a program it can't read", async () => {
    expect(await host.start("database")).toMatchObject({ code: 0, stdout: expect.stringContaining("succeeded") });
  });

  test("others may walk through the root, and see nothing of the agent's state", async () => {
    const modeOf = async (path: string): Promise<number> => (await stat(join(host.root, path))).mode & 0o777;
    expect(await Promise.all(["", "var", "var/cache", "var/cache/holdfast"].map(modeOf))).toEqual([
      0o711, 0o711, 0o711, 0o711,
    ]);
    expect([await modeOf("var/lib/holdfast"), await modeOf("home")]).toEqual([0o700, 0o700]);
  });

  test("a tool below a private directory is named, with what to open", async () => {
    const engine = join(host.root, "home/restic");
    await copyFile(newestRestic().path, engine);
    const { code, stderr } = await host.start("database", { HOLDFAST_RESTIC: engine });
    expect(code).toBe(1);
    expect(stderr).toContain(`user nobody can't run ${engine} (engine.missing)\n`);
    expect(stderr).toContain(`Let user "nobody" walk through: chmod o+x ${join(host.root, "home")}.`);
  });

  test("a source below a private directory is named, with what to open", async () => {
    const above = join(elsewhere, "people");
    await chmod(above, 0o700);
    const { code, stderr } = await host.start("files");
    await chmod(above, 0o755);
    expect(code).toBe(1);
    expect(stderr).toContain(`Let user "nobody" walk through: chmod o+x ${above}.`);
  });

  test("where it can't help, the agent says which directories to open, and for whom", async () => {
    const home = join(host.root, "home");
    await writeFile(join(home, "x"), "");
    const user = await findUser("nobody");
    expect(await passageAdvice(user, join(home, "x"))).toContain(`Let user "nobody" walk through: chmod o+x ${home}.`);
    await chown(home, 0, nobody.gid);
    expect(await passageAdvice(user, join(home, "x"))).toContain(`chmod g+x ${home}.`);
    await chown(home, nobody.uid, nobody.gid);
    expect(await passageAdvice(user, join(home, "x"))).toContain("namei -l");
  });
});
