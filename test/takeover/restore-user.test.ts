import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { foreignBinding } from "../../agent/daemon/dispatch.ts";
import { readDeclared } from "../../agent/declared/contract-files.ts";
import { digestOf, updateContractState } from "../../agent/declared/contract-state.ts";
import { putInForce } from "../../agent/in-force/in-force.ts";
import { askForRestoreUser } from "../../agent/policy/asks.ts";
import { recordGrants } from "../../agent/policy/grants.ts";
import { readWaiting } from "../../agent/policy/waiting.ts";
import type { AssignedContract } from "../../shared/assignment.ts";
import { type EngineHost, newId, type Work } from "../engine/engine-host.ts";
import { openReadyHost } from "../engine/ready-host.ts";

// Root's own file lets a restoreCmd run as root, as the seed's requesters expect. Who has the control plane's signing
// key must not get there: not by restoreUser, nor by a contract that claims to be declared, nor by another host's.

const WAITS = { state: "failed", failure: { code: "policy.approval_needed" } };

let host: EngineHost;
let request: { user: string; backupName: string; backupCmd: string; restoreCmd: string };

const place = (name: string): string => join(host.root, "open", name);
const ranAs = async (): Promise<string> => (await readFile(place("mark"), "utf8").catch(() => "nobody ran it")).trim();

/** Assigned, with whatever the control plane says of it. */
function work(change: Partial<{ declared: boolean; restoreUser: string | null; name: string }> = {}): Work {
  const { assignment, binding } = host.work({ database: request });
  const contracts = assignment.contracts.map((contract) => ({ ...contract, ...change }) as AssignedContract);
  return { assignment: { ...assignment, contracts }, binding };
}

/** A file of root's own that the control plane knows. @returns its path */
async function declare(beside: object = {}, name = "database"): Promise<string> {
  await mkdir(host.paths.contractsDir, { recursive: true });
  await chmod(host.paths.contractsDir, 0o755);
  const file = join(host.paths.contractsDir, `${name}.json`);
  await writeFile(file, JSON.stringify({ request, ...beside }), { mode: 0o644 });
  await updateContractState(host.paths, { settled: digestOf((await readDeclared(host.paths)).texts) });
  return file;
}

beforeEach(async () => {
  host = await openReadyHost();
  await mkdir(join(host.root, "open"));
  await chmod(join(host.root, "open"), 0o777);
  await host.policy({ hooks: "inline" });
  request = {
    user: "root",
    backupName: "dump",
    backupCmd: "echo rows",
    restoreCmd: `cat >/dev/null; id -un >'${place("mark")}'`,
  };
  const made = await host.backup(host.work({ database: request }));
  if (made.state !== "succeeded") throw new Error(`no snapshot: ${made.failure?.message}`);
  // Restores read the repository as the agent itself, whoever the contract's user is.
  request.user = "nobody";
});
afterEach(() => host.close());

describe("the restoreCmd of a contract that root declares", () => {
  it("runs as the agent's own user, as the seed's providers run it, whatever the policy says", async () => {
    await declare();
    await host.policy({ hooks: "off", users: ["nobody"] });
    expect(await host.restore(work({ declared: true }), {})).toMatchObject({ state: "succeeded", failure: null });
    expect(await ranAs()).toBe("root");
  });

  it("runs as the restoreUser of the file", async () => {
    await declare({ restoreUser: "nobody" });
    expect(await host.restore(work({ declared: true, restoreUser: "nobody" }), {})).toMatchObject({ failure: null });
    expect(await ranAs()).toBe("nobody");
  });
});

describe("the restoreCmd of any other contract", () => {
  it("runs as the contract's user, or as a restoreUser that the policy allows", async () => {
    expect(await host.restore(work(), {})).toMatchObject({ state: "succeeded", failure: null });
    expect(await ranAs()).toBe("nobody");
    await host.policy({ hooks: "inline", users: ["nobody"] });
    const refused = await host.restore(work({ restoreUser: "daemon" }), {});
    expect(refused).toMatchObject({ failure: { code: "policy.refused" } });
    expect(refused.failure?.message).toContain('"daemon"');
  });

  it.each<[string, (asked: Work) => Promise<unknown>]>([
    ["nothing declares it", async () => undefined],
    ["root's file says something else", () => declare({ restoreUser: "daemon" })],
    ["root's file is gone", () => declare().then((file) => rm(file))],
    ["root's file declares another contract with the same command", () => declare({ restoreUser: "root" }, "other")],
  ])("that claims to be declared does not run as root when %s", async (_when, prepare) => {
    const crafted = work({ declared: true });
    await prepare(crafted);
    expect(await host.restore(crafted, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(await ranAs()).toBe("nobody");
    await rm(place("mark"));
    // Nor by its restoreUser, in the level that asks for nothing else.
    for (const restoreUser of ["root", "0"]) {
      expect(await host.restore(work({ declared: true, restoreUser }), {})).toMatchObject(WAITS);
    }
    expect(await ranAs()).toBe("nobody ran it");
  });

  it("of another host's order is not declared here, whatever the order says", async () => {
    await declare();
    const crafted = work({ declared: true });
    const [contract, repository] = [crafted.assignment.contracts[0], crafted.assignment.repositories[0]];
    if (contract === undefined || repository === undefined) throw new Error("nothing was assigned");
    const from = { host: crafted.assignment.host, binding: crafted.binding, contract, repository };
    const foreign = foreignBinding(from, { issuedAt: crafted.assignment.issuedAt });
    expect(await host.restore(foreign, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(await ranAs()).toBe("nobody");
    const asRoot = { ...from, contract: { ...contract, restoreUser: "root" } as AssignedContract };
    expect(await host.restore(foreignBinding(asRoot, crafted.assignment), {})).toMatchObject(WAITS);
  });

  it("runs as root once root has said yes to this very command, and no other", async () => {
    const asked = work({ restoreUser: "root" });
    expect(await host.backup(asked)).toMatchObject(WAITS);
    const [ask] = await readWaiting({ paths: host.paths, clock: Date });
    expect(ask).toMatchObject({
      kind: "hook",
      summary: expect.stringContaining("Run this as user root, for a restore"),
    });
    await recordGrants(
      { paths: host.paths, clock: Date },
      [askForRestoreUser({ kind: "databasebackup", request, restoreUser: "root" })],
      "root",
    );
    expect(await host.restore(asked, {})).toMatchObject({ state: "succeeded", failure: null });
    expect(await ranAs()).toBe("root");
    request.restoreCmd += "; echo more";
    expect(await host.restore(work({ restoreUser: "root" }), {})).toMatchObject(WAITS);
  });

  it("is not granted by an upgrade", async () => {
    const config = { url: "http://127.0.0.1:1", host: newId(), name: "nas", audience: "", controlKey: "" };
    const deps = { paths: host.paths, config, clock: Date, log: () => undefined };
    await rm(host.paths.policyJson);
    const { assignment } = work({ restoreUser: "root" });
    expect((await putInForce(deps, assignment))?.contracts).toEqual([]);
    const waiting = await readWaiting({ paths: host.paths, clock: Date });
    expect(waiting.map(({ summary }) => summary)).toEqual([expect.stringContaining("as user root, for a restore")]);
  });
});
