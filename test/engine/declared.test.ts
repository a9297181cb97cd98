import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newestRestic } from "../support/restic.ts";
import { type EngineHost, openEngineHost, type Wanted } from "./engine-host.ts";

// What root has written down on the host needs nobody's leave. That the control plane says so is not enough.

let host: EngineHost;
beforeEach(async () => {
  host = await openEngineHost(newestRestic());
  await host.write("data/file", "one");
});
afterEach(() => host.close());

const shell = 'set -o pipefail; [[ "$HOLDFAST_CONTRACT$UNSET" == files ]] && touch ';
const mark = (): string => join(host.root, "hook-ran");

/** Assigned as declared, whether or not a file says so. */
function assigned(wanted: Wanted = {}) {
  return host.work({ before: [`${shell}'${mark()}'`], ...wanted, contract: { declared: true } });
}

async function declare(work: ReturnType<typeof assigned>, change: Record<string, unknown> = {}): Promise<string> {
  const directory = host.paths.contractsDir;
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
  const request = { ...work.assignment.contracts[0]?.request, ...change };
  const file = join(directory, "files.json");
  await writeFile(file, JSON.stringify({ request }), { mode: 0o644 });
  return file;
}

describe("a contract that root has declared", () => {
  it("runs its shell by bash, as its user, from its sources, whatever the policy says of those", async () => {
    await host.policy({ hooks: "off", sources: ["/elsewhere"], users: ["nobody"] });
    const work = assigned();
    await declare(work);
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(host.restic(work, "ls", "latest")).toContain("data/file");
    expect(await host.refusals()).toEqual([]);
  });

  it("is kept only where the policy lets anything be kept", async () => {
    await host.policy({ repositories: ["rest:https://nas/"] });
    const work = assigned();
    await declare(work);
    expect(await host.backup(work)).toMatchObject({ failure: { code: "policy.refused" } });
    expect(await host.refusals()).toMatchObject([{ code: "policy.repositories" }]);
  });

  it.each<[string, (work: ReturnType<typeof assigned>) => Promise<unknown>]>([
    ["no file says so", async () => undefined],
    ["the file asks for something else", (work) => declare(work, { excludePatterns: ["*.tmp"] })],
    ["others may write the file", async (work) => chmod(await declare(work), 0o666)],
  ])("is believed from the control plane in nothing when %s, and that is reported", async (_when, prepare) => {
    const work = assigned();
    await prepare(work);
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
    expect(await host.refusals()).toMatchObject([{ code: "policy.hooks", subject: "files-nas" }]);
  });

  it("is not done either while the policy can't be followed", async () => {
    await host.policy("{");
    const work = assigned();
    await declare(work);
    expect(await host.backup(work)).toMatchObject({ failure: { code: "policy.refused" } });
  });
});
