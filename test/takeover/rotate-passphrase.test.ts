import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { listSnapshots } from "../../agent/runs.ts";
import { type EngineHost, openEngineHost, type Work } from "../engine/engine-host.ts";
import { type FoundEngine, IS_WHOLE, oldestAndNewest } from "../support/engines.ts";

// A passphrase is replaced by another, and kill -9 comes after each call of the tool.

let host: EngineHost;
afterEach(() => host.close());

/** The tool, and after call number `kill-at` the end of whoever called it. */
async function deadlyTool({ path }: FoundEngine): Promise<string> {
  const file = join(host.root, "tool");
  await writeFile(
    file,
    `#!/bin/sh
calls=$(( $(cat '${host.root}/calls') + 1 ))
echo $calls >'${host.root}/calls'
[ $calls = $(cat '${host.root}/kill-at') ] || exec '${path}' "$@"
'${path}' "$@"
kill -9 $(cat '${host.root}/victim')
`,
  );
  await chmod(file, 0o755);
  return file;
}

/** @param killAt null: nobody is killed @returns the exit code, null when it was killed */
async function rotate(engine: FoundEngine, tool: string, killAt: number | null): Promise<number | null> {
  await writeFile(join(host.root, "calls"), "0");
  await writeFile(join(host.root, "kill-at"), String(killAt ?? -1));
  const variable = engine.provider === "restic" ? "HOLDFAST_RESTIC" : "HOLDFAST_BORG";
  const child = spawn(process.execPath, [join(import.meta.dirname, "../engine/mortal-rotation.ts"), host.root], {
    env: { ...process.env, [variable]: tool },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const [code] = (await once(child, "exit")) as [number | null];
  return code;
}

const kept = async (): Promise<string[]> => (await readdir(host.paths.secretsDir)).toSorted();
const passphrase = async ({ binding }: Work): Promise<string> =>
  (await readFile(join(host.paths.secretsDir, binding.repository), "utf8")).trim();

const NEWEST = [oldestAndNewest("restic")[1], ...(IS_WHOLE ? [oldestAndNewest("borg")[1]] : [])];

describe.each(NEWEST)("with $provider $version", (engine) => {
  it("one of the kept passphrases opens the repository whenever the rotation is killed", async () => {
    host = await openEngineHost(engine);
    await host.write("data/file", "one");
    const work = host.work();
    await host.backup(work);
    await writeFile(join(host.root, "work.json"), JSON.stringify(work));
    const before = await passphrase(work);
    const tool = await deadlyTool(engine);
    let killed = 0;
    while ((await rotate(engine, tool, killed + 1)) === null) {
      killed++;
      expect(await listSnapshots(host.deps, work)).toHaveLength(1);
    }
    expect(killed).toBeGreaterThan(engine.provider === "restic" ? 4 : 3);
    const { repository } = work.binding;
    expect(await kept()).toEqual([repository, `${repository}.place`]);
    const after = await passphrase(work);
    expect(after).not.toBe(before);
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    // The old one opens nothing any more.
    await writeFile(join(host.paths.secretsDir, repository), `${before}\n`);
    await expect(listSnapshots(host.deps, work)).rejects.toMatchObject({
      failure: { code: "repository.wrong_passphrase" },
    });
  });
});
