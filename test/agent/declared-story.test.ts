import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/until.ts";
import { startWorld, type Thing, type World } from "../support/world.ts";

// A file in contracts.d from its first line to its last, through the real agent, the real control plane and a real
// restic.

let world: World;
let contractsDir: string;

beforeAll(async () => {
  world = await startWorld();
  contractsDir = join(world.directory, "host/etc/holdfast/contracts.d");
  await mkdir(join(world.directory, "srv"));
  await writeFile(join(world.directory, "srv/letter.txt"), "dear reader");
  await writeFile(join(world.directory, "passphrase"), "correct horse battery staple\n", { mode: 0o600 });
  const enrollment = await world.api.post("/enrollments", { name: "nas" });
  await world.agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]));
  await mkdir(contractsDir, { recursive: true });
  await chmod(contractsDir, 0o755);
  world.agent.start();
  await until("the host to be online", async () => (await world.api.get("/hosts")).items[0]?.["online"]);
});

afterAll(() => world.end());

/** As nixos-rebuild, or a careful person: whole, or not at all. */
async function declare(value: unknown): Promise<void> {
  const draft = join(contractsDir, ".letters.draft");
  await writeFile(draft, typeof value === "string" ? value : JSON.stringify(value), { mode: 0o644 });
  await rename(draft, join(contractsDir, "letters.json"));
}

function declared(change: { excludePatterns?: string[] } = {}) {
  const request = {
    user: "",
    sourceDirectories: [join(world.directory, "srv")],
    excludePatterns: [],
    ...change,
    hooks: { beforeBackup: [`date >'${world.directory}/srv/made-by-a-hook'`], afterBackup: [] },
  };
  const settings = {
    enable: true,
    passphrase: { result: { path: join(world.directory, "passphrase") } },
    repository: { path: join(world.directory, "repository"), timerConfig: { OnCalendar: "yearly" } },
    retention: { daily: 7 },
  };
  return { request, settings };
}

const only = async (path: string): Promise<Thing | undefined> => (await world.api.get(path)).items[0];

const runs = async (binding: Thing): Promise<Thing> =>
  world.endOf(await world.api.post(`/bindings/${binding["id"]}/run`, {}));

test.runIf(process.getuid?.() === 0)(
  "a user made a moment ago is accepted at once, and soon among the facts",
  async () => {
    const name = `holdfast-${process.pid}`;
    const host = await only("/hosts");
    const request = { user: name, sourceDirectories: ["/srv"] };
    await expect(world.api.post("/contracts", { host: "nas", name: "early", request })).rejects.toThrow(
      `has no user \\"${name}\\"; create the user there`,
    );
    execFileSync("useradd", ["--no-create-home", "--system", name]);
    try {
      expect(await world.api.post("/contracts", { host: "nas", name: "late", request })).toMatchObject({ request });
      await until("the facts to name it", async () => {
        const { facts } = z.object({ facts: z.object({ users: z.array(z.string()) }) }).parse(await only("/hosts"));
        return facts.users.includes(name);
      });
      expect((await only("/hosts"))?.["connectedAt"]).toBe(host?.["connectedAt"]);
    } finally {
      execFileSync("userdel", [name]);
    }
  },
);

test("a file appears, is bound, runs, changes, breaks and is removed; its snapshots stay restorable", async () => {
  await declare(declared().request);
  const contract = await until("the contract", () => only("/contracts?name=letters"));
  expect(contract).toMatchObject({ declared: true, request: { user: world.user } });

  await declare(declared());
  const binding = await until("the binding", () => only("/bindings?name=letters"));
  expect(binding).toMatchObject({
    contract: contract["id"],
    declared: true,
    settings: { retention: { keep_daily: 7 } },
  });
  // Its hook is shell, which nobody else may send here: the host's own root has written it.
  expect(await runs(binding)).toMatchObject({ state: "succeeded", failure: null });

  await declare(declared({ excludePatterns: ["*.tmp"] }));
  await until("the change", async () => {
    const now = await only("/contracts?name=letters");
    return JSON.stringify(now?.["request"]).includes("*.tmp") && now?.["id"] === contract["id"];
  });
  await world.agentHasRevision();

  // A pattern that nobody takes, in another file: that file's fault alone.
  const bad = join(contractsDir, "m-bad.json");
  await writeFile(bad, JSON.stringify({ ...declared().request, excludePatterns: ["!keep"] }), { mode: 0o644 });
  const field = "excludePatterns.0";
  await until("the incident", async () => {
    const incident = await only("/incidents?state=open&kind=host.declaration_refused");
    return String(incident?.["summary"]).includes(`m-bad.json: ${field}: must not begin with '!'`);
  });
  expect(await only("/hosts")).toMatchObject({ declarationFaults: [{ file: "m-bad.json", field }] });
  expect((await world.agent.cli("status")).stdout).toContain(
    "contracts   1 declared here; not in force as written: 1\n",
  );
  expect(await world.agent.cli("doctor")).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(`fail  contracts.d: m-bad.json: ${field}: must not begin`),
  });
  await declare(declared({ excludePatterns: ["*.bak"] }));
  await until("the change beside it", async () =>
    JSON.stringify((await only("/contracts?name=letters"))?.["request"]).includes("*.bak"),
  );
  await rm(bad);
  await until("the end of the incident", async () => {
    const { items } = await world.api.get("/incidents?state=open");
    return !items.some(({ kind }) => kind === "host.declaration_refused");
  });

  // A slip of the pen takes nothing away, and is told everywhere.
  await declare("{");
  const host = await until("the fault", async () => {
    const now = await only("/hosts");
    return JSON.stringify(now?.["declarationFaults"]).includes("letters.json") && now;
  });
  expect(host).toMatchObject({
    declarationFaults: [{ file: "letters.json", message: expect.stringContaining("is not JSON") }],
  });
  expect(await world.agent.cli("status")).toMatchObject({
    code: 3,
    stdout: expect.stringContaining("fault       letters.json: is not JSON"),
  });
  expect(await world.agent.cli("doctor")).toMatchObject({
    code: 1,
    stdout: expect.stringContaining("fail  contracts.d: letters.json: is not JSON"),
  });
  expect(await runs(binding)).toMatchObject({ state: "succeeded" });

  // The control plane is away: the host goes on with what it has, and tells it what changed once it is back.
  await world.stopControl();
  await rm(join(contractsDir, "letters.json"));
  await rm(join(world.directory, "srv/letter.txt"));
  expect(await world.agent.cli("restore", "letters", "latest")).toMatchObject({ code: 0 });
  await world.startControl();
  const left = await until("what is left of it", async () => {
    const now = await only("/bindings?name=letters");
    return now?.["declared"] === false && now;
  });
  expect(left).toMatchObject({ id: binding["id"], paused: true, health: "paused" });
  expect(await only("/hosts")).toMatchObject({ declarationFaults: [] });
  await world.agentHasRevision();
  await rm(join(world.directory, "srv/letter.txt"));
  const restored = await world.api.post("/restores", { binding: binding["id"], snapshot: "latest" });
  expect(await world.endOf(restored)).toMatchObject({ state: "succeeded" });
  expect(await readFile(join(world.directory, "srv/letter.txt"), "utf8")).toBe("dear reader");

  // It comes back, and is what it was.
  await declare(declared());
  expect(
    await until("the binding to be on again", async () => {
      const now = await only("/bindings?name=letters");
      return now?.["declared"] === true && now;
    }),
  ).toMatchObject({ id: binding["id"], paused: false });
}, 180_000);
