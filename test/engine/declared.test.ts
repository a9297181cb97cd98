import { access, chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { examineRestores } from "../../agent/cli/doctor-restores.ts";
import { readDeclared } from "../../agent/declared/contract-files.ts";
import { digestOf, updateContractState } from "../../agent/declared/contract-state.ts";
import { type EngineHost, type Wanted } from "./engine-host.ts";
import { openReadyHost } from "./ready-host.ts";

// What root has written down on the host needs nobody's leave. That the control plane says so is not enough.

let host: EngineHost;
beforeEach(async () => {
  host = await openReadyHost();
  await host.write("data/file", "one");
});
afterEach(() => host.close());

const shell = 'set -o pipefail; [[ "$HOLDFAST_CONTRACT$UNSET" == files ]] && touch ';
const mark = (): string => join(host.root, "hook-ran");

/** Assigned as declared, whether or not a file says so. */
function assigned(wanted: Wanted = {}) {
  const { assignment, binding } = host.work({ before: [`${shell}'${mark()}'`], ...wanted });
  const contracts = assignment.contracts.map((contract) => ({ ...contract, declared: true }));
  return { assignment: { ...assignment, contracts }, binding };
}

type Assigned = ReturnType<typeof assigned>;

/**
 * The control plane was told of the file and everything was pulled since: what it assigns should be what the file says.
 */
async function settled(...given: Parameters<typeof declare>): Promise<void> {
  await declare(...given);
  await updateContractState(host.paths, { settled: digestOf((await readDeclared(host.paths)).texts) });
}

/** A file that asks for what is assigned, with a change. */
async function declare({ assignment }: Assigned, change: object = {}): Promise<string> {
  const directory = host.paths.contractsDir;
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
  const [contract] = assignment.contracts;
  const file = join(directory, `${contract?.name}.json`);
  await writeFile(file, JSON.stringify({ request: { ...contract?.request, ...change } }), {
    mode: 0o644,
  });
  return file;
}

describe("a contract that root has declared", () => {
  it("runs its shell commands with bash, as its user, in its sources, whatever the policy says", async () => {
    await host.policy({ hooks: "off", sources: ["/elsewhere"], users: ["nobody"] });
    const work = assigned();
    await declare(work);
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(host.restic(work, "ls", "latest")).toContain("data/file");
    expect(await host.refusals()).toEqual([]);
  });

  it("is run as its file says while the control plane does not know it yet", async () => {
    const work = assigned();
    await host.write("data/x.tmp", "left out");
    const changed = { excludePatterns: ["*.tmp"], hooks: { beforeBackup: [`touch '${mark()}2'`], afterBackup: [] } };
    await declare(work, changed);
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(host.restic(work, "ls", "latest")).not.toContain("x.tmp");
    await expect(access(mark())).rejects.toThrow("ENOENT");
    await access(`${mark()}2`);
  });

  it("has its database's own commands run as well", async () => {
    await host.policy({ hooks: "off" });
    const work = assigned({ database: { backupCmd: "echo one", restoreCmd: `cat >'${mark()}'` } });
    await declare(work);
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded" });
    expect(await readFile(mark(), "utf8")).toBe("one\n");
    await settled(work, { restoreCmd: "cat" });
    expect(await host.restore(work, {})).toMatchObject({ failure: { code: "policy.refused" } });
  });

  it("that could not be restored is named by doctor, on a good day", async () => {
    await host.policy({ hooks: "off" });
    const findings = async (restoreCmd: string) => {
      const work = assigned({ database: { backupCmd: "echo one", restoreCmd } });
      await declare(work);
      const found: string[] = [];
      const add = (...finding: string[]): void => void found.push(finding.join(" "));
      await examineRestores(host.deps, { assignment: work.assignment, found: add });
      return found;
    };
    expect(await findings("gunzip | cat")).toEqual([expect.stringMatching(/^ok restore of files-nas /)]);
    expect(await findings("gunzip | no-such-psql")).toEqual([
      expect.stringMatching(/^warn restore of files-nas it would fail: .*"no-such-psql".* Install /),
    ]);
  });

  it("is backed up only where the policy allows backups", async () => {
    await host.policy({ repositories: ["rest:https://nas/"] });
    const work = assigned();
    await declare(work);
    expect(await host.backup(work)).toMatchObject({ failure: { code: "policy.refused" } });
    expect(await host.refusals()).toMatchObject([{ code: "policy.repositories" }]);
  });

  it.each<[string, (work: Assigned) => Promise<unknown>]>([
    ["no file says so", async () => undefined],
    ["the file asks for something else", (work) => settled(work, { excludePatterns: ["*.tmp"] })],
    ["the file is another contract's", (work) => declare(work).then((file) => rename(file, `${file}.json`))],
    ["others may write the file", async (work) => chmod(await declare(work), 0o666)],
  ])("is not taken from the control plane when %s, and that is reported", async (_when, prepare) => {
    const work = assigned();
    await prepare(work);
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
    expect(await host.refusals()).toMatchObject([{ code: "policy.hooks", subject: "files-nas" }]);
  });

  it("is not run while the policy is invalid", async () => {
    await host.policy("{");
    const work = assigned();
    await declare(work);
    expect(await host.backup(work)).toMatchObject({ failure: { code: "policy.refused" } });
  });
});
