import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { putInForce } from "../../agent/in-force/in-force.ts";
import { askForHook, askForRepository, askForSource } from "../../agent/policy/asks.ts";
import { policyLines } from "../../agent/policy/explain.ts";
import { readGrants, recordGrants } from "../../agent/policy/grants.ts";
import { loadPolicy, readPolicy } from "../../agent/policy/policy.ts";
import { loadDecideState } from "../../agent/in-force/grant-state.ts";
import { decide } from "../../agent/policy/decide.ts";
import { restore } from "../../agent/runs.ts";
import { writeMade } from "../../agent/state/made-snapshots.ts";
import { readWaiting } from "../../agent/policy/waiting.ts";
import { type Assignment, RestoreRequest } from "../../shared/assignment.ts";
import { type EngineHost, newId, type Wanted, type Work } from "../engine/engine-host.ts";
import { openReadyHost } from "../engine/ready-host.ts";

// Who has the control plane's signing key assigns whatever he likes. A host does only what root has granted on it.

const WAITS = { state: "failed", snapshot: null, failure: { code: "policy.approval_needed" } };
const REFUSED = { state: "failed", snapshot: null, failure: { code: "policy.refused" } };

describe("a host with the level guarded", () => {
  let host: EngineHost;
  let lines: string[];

  const waiting = async () => (await readWaiting({ paths: host.paths, clock: Date })).map(({ summary }) => summary);
  const grantRepository = async ({ assignment }: Work) => {
    await recordGrants({ paths: host.paths, clock: Date }, assignment.repositories.map(askForRepository), "root");
  };
  const granted = async (wanted: Wanted = {}): Promise<Work> => {
    const work = host.work(wanted);
    await grantRepository(work);
    return work;
  };
  const inForce = async (assignment: Assignment): Promise<Assignment> => {
    const config = { url: "http://127.0.0.1:1", host: assignment.host, name: "nas", audience: "", controlKey: "" };
    const now = await putInForce(
      { paths: host.paths, config, clock: Date, log: (line) => lines.push(line) },
      assignment,
    );
    if (now === null) throw new Error("nothing is in force");
    return now;
  };

  beforeEach(async () => {
    lines = [];
    host = await openReadyHost();
    await rm(host.paths.policyJson);
    await host.write("data/letter", "dear reader");
    await recordGrants({ paths: host.paths, clock: Date }, [], "installation");
  });
  afterEach(() => host.close());

  it("sends nothing to a place that root did not grant, and no file of its own anywhere", async () => {
    let requests = 0;
    const thief = createServer((_request, response) => {
      requests++;
      response.end();
    });
    await new Promise<void>((resolve) => thief.listen(0, "127.0.0.1", resolve));
    const location = `rest:http://127.0.0.1:${(thief.address() as AddressInfo).port}/`;
    const known = await host.write("known", "a passphrase that anybody knows\n");
    const key = await host.write("var/lib/holdfast/host.key", "the host's own key\n");
    const password = { RESTIC_REST_PASSWORD: { file: key } };
    expect(await host.backup(host.work({ location, passphrase: { file: known } }))).toMatchObject(WAITS);
    expect(
      await host.backup(host.work({ location, passphrase: { file: known }, sources: ["/etc/shadow"] })),
    ).toMatchObject(WAITS);
    expect(await host.backup(host.work({ location, secrets: password }))).toMatchObject(REFUSED);
    // Nor where a list of root's own has the place: the passphrase has to come from where root keeps secrets.
    await host.policy(JSON.stringify({ repositories: [location] }));
    expect(await host.backup(host.work({ location, passphrase: { file: known } }))).toMatchObject(WAITS);
    expect(requests).toBe(0);
    await new Promise((resolve) => thief.close(resolve));
    // Its own key is not backed up to a place that is granted either, nor through a link.
    const work = await granted({ sources: [key] });
    expect(await host.backup(work)).toMatchObject(REFUSED);
    await symlink(host.paths.state, join(host.root, "link"));
    expect(await host.backup(host.work({ sources: [join(host.root, "link")] }))).toMatchObject(REFUSED);
  });

  it("backs up what is not protected to a place that is granted, without asking", async () => {
    const work = await granted();
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(await waiting()).toEqual([]);
  });

  it("leaves its own keys out of a source that root granted", async () => {
    await host.write("var/lib/holdfast/host.key", "the host's own key\n");
    await host.write("etc/holdfast/secrets/nas", "a secret\n");
    await host.write("etc/app.conf", "no secret\n");
    const sources = [join(host.root, "etc"), join(host.root, "var")];
    const work = await granted({ sources });
    expect(await host.backup(work)).toMatchObject(WAITS);
    await recordGrants(
      { paths: host.paths, clock: Date },
      sources.map((source) => askForSource(source)),
      "root",
    );
    expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
    const stored = host.restic(work, "ls", "latest");
    expect(stored).toContain("etc/app.conf");
    expect(stored).not.toContain("host.key");
    expect(stored).not.toContain("secrets/nas");
  });

  it.each<[string, Wanted, string]>([
    ["a protected file", { sources: ["/etc/shadow"] }, "Back up /etc/shadow, which is protected"],
    ["a directory that holds one", { sources: ["/etc"] }, "Back up /etc, which holds what is protected"],
    ["a hook", { before: ["stop-app"] }, "Run the hook stop-app"],
    ["a unit to stop", { contract: { consistency: [{ stop: "app.service" }] } }, "Let app.service be stopped"],
    ["a database's tools", { contract: { consistency: [{ postgres: "app" }] } }, "as user postgres"],
    ["a unit to stop for a restore", { contract: { stopForRestore: ["app.service"] } }, "stopped for a restore"],
    ["a database's commands", { database: { backupCmd: "dump", restoreCmd: "load" } }, "Run the hook dump"],
    ["a secret elsewhere", { passphrase: { file: "/srv/known" } }, "from /srv/known"],
    [
      "credentials in clear",
      { location: "rest:http://nas/", secrets: { RESTIC_REST_PASSWORD: { file: "/etc/holdfast/secrets/x" } } },
      "IN CLEAR",
    ],
  ])("waits for root with %s", async (_what, wanted, summary) => {
    // Its place is granted as it would be without the rest.
    await granted(wanted.passphrase === undefined && wanted.secrets === undefined ? wanted : {});
    expect(await host.backup(host.work(wanted))).toMatchObject(WAITS);
    expect((await waiting()).join("\n")).toContain(summary);
  });

  it("asks where a source's link leads, since whoever owns the link chose that", async () => {
    const link = join(host.root, "link");
    await symlink("/etc", link);
    expect(await host.backup(await granted({ sources: [link] }))).toMatchObject(WAITS);
    expect(await waiting()).toEqual([expect.stringContaining("Back up /etc, which holds")]);
  });

  it("goes on with what it has until root says yes, and remembers content and no names", async () => {
    const work = await granted();
    expect(await inForce(work.assignment)).toEqual(work.assignment);
    const changed = host.work({ before: ["stop-app"], location: join(host.root, "thief") }).assignment;
    expect(await inForce(changed)).toEqual({ ...work.assignment, issuedAt: changed.issuedAt });
    expect(await waiting()).toEqual([
      expect.stringContaining("Run the hook stop-app"),
      expect.stringContaining(`Keep backups with restic at ${join(host.root, "thief")}`),
    ]);
    // Another name for the place is nothing new; nor is the same hook in another contract.
    const renamed = structuredClone(work.assignment);
    for (const repository of renamed.repositories) repository.name = "attic";
    expect((await inForce(renamed)).repositories).toEqual(renamed.repositories);
    await recordGrants({ paths: host.paths, clock: Date }, [askForHook("stop-app")], "root");
    expect((await inForce(changed)).contracts).toEqual(changed.contracts);
    expect((await inForce(changed)).repositories).toEqual(renamed.repositories);
    // Narrowing asks nobody.
    expect((await inForce({ ...changed, bindings: [] })).bindings).toEqual([]);
  });

  it("keeps in force what its policy forbids, so that each run of it fails and says why", async () => {
    const work = await granted();
    for (const policy of [{ users: ["nobody-else"] }, { repositories: ["/elsewhere"] }, { level: "paranoid" }]) {
      await host.policy(JSON.stringify(policy));
      const now = await inForce(work.assignment);
      expect([policy, now.bindings.map(({ name }) => name)]).toEqual([policy, ["files-nas"]]);
      expect(await host.backup({ assignment: now, binding: work.binding })).toMatchObject(REFUSED);
    }
    const codes = (await host.refusals()).map(({ code }) => code);
    expect(codes).toEqual(["policy.users", "policy.repositories", "policy.repositories"]);
    expect(await waiting()).toEqual([]);
  });

  it("runs a binding without the pings that wait", async () => {
    const pings = [{ kind: "healthchecks" as const, url: "https://hc.example/ping" }];
    const work = await granted({ settings: { pings } });
    expect((await inForce(work.assignment)).bindings[0]?.settings.pings).toEqual([]);
    expect(await waiting()).toEqual(["Send notifications and pings to https://hc.example"]);
  });

  it("shows root the control plane's text so that it can pass for nothing else", async () => {
    const hook = `true\n${"9".repeat(16)}  granted\u202e\u001b[2J`;
    await host.policy(JSON.stringify({ hooks: "named" }));
    await inForce(host.work({ before: [hook] }).assignment);
    const [first = ""] = (await waiting()).filter((summary) => summary.includes("Run this"));
    expect(first).toContain("true\\u{a}");
    expect(first).toContain("\\u{202e}\\u{1b}[2J");
    await inForce(host.work({ before: [`true;${" ".repeat(5000)}evil`] }).assignment);
    expect((await waiting()).join()).toContain("NOT SHOWN WHOLE");
  });

  it("asks before it restores a snapshot that it did not make, wherever that goes", async () => {
    const work = await granted();
    const made = await host.backup(work);
    const ordered = (request: object) =>
      restore(host.deps, {
        ...work,
        runId: newId(),
        trigger: "order",
        scheduledAt: null,
        signal: new AbortController().signal,
        restore: RestoreRequest.parse({ snapshot: "latest", ...request }),
      });
    expect(await ordered({})).toMatchObject({ state: "succeeded" });
    const { engineId } = await host.report({ kind: "backup" });
    const nothing = { snapshots: [], isComplete: true, wasDamaged: false, newest: null };
    await writeMade(host.paths, { binding: work.binding.id, engineId: engineId ?? "" }, nothing);
    const target = join(host.root, "beside");
    expect(await ordered({})).toMatchObject({ ...WAITS, snapshot: null });
    expect(await ordered({ target })).toMatchObject({ ...WAITS, snapshot: null });
    expect((await waiting())[0]).toContain(`Restore snapshot ${made.snapshot?.slice(0, 8)} of files-nas`);
    expect(await ordered({ target, dryRun: true })).toMatchObject({ state: "succeeded" });
    // Root at the terminal needs nobody, and once root said yes, nor does the control plane.
    expect(await host.restore(work, { target })).toMatchObject({ state: "succeeded" });
    const asks = await readWaiting({ paths: host.paths, clock: Date });
    await recordGrants({ paths: host.paths, clock: Date }, asks, "root");
    expect(await ordered({})).toMatchObject({ state: "succeeded" });
  });

  it("is granted once what it ran before it could ask, and told so", async () => {
    await rm(host.paths.grantsFile);
    const work = host.work({ before: ["stop-app"] });
    expect(await inForce(work.assignment)).toEqual(work.assignment);
    expect(await readGrants(host.paths)).toMatchObject([
      { kind: "hook", by: "upgrade" },
      { kind: "repository", by: "upgrade" },
    ]);
    expect(lines.join("\n")).toContain("2 things that run already are granted");
    await inForce(host.work({ before: ["stop-app", "other"] }).assignment);
    expect(await waiting()).toEqual([expect.stringContaining("Run the hook other")]);
  });

  it("grants nothing when its list of grants is damaged", async () => {
    const work = await granted();
    expect(await inForce(work.assignment)).toEqual(work.assignment);
    await writeFile(host.paths.grantsFile, '{"grants":[{"key":"');
    expect(await host.backup(work)).toMatchObject(WAITS);
    expect((await inForce({ ...work.assignment, revision: 2 })).bindings).toEqual([]);
  });

  it("asks before it restores with removal, once per order, and before another host's commands", async () => {
    const policy = await loadPolicy(host.paths);
    const work = await granted();
    const state = await loadDecideState(host.paths, policy);
    const times = { issuedAt: "2026-11-23T08:00:00.000Z", expiresAt: "2026-11-24T08:00:00.000Z" };
    const ordered = {
      id: newId(),
      host: work.assignment.host,
      ...times,
      kind: "restore" as const,
      binding: work.binding.id,
    };
    const request = {
      snapshot: "latest",
      target: null,
      include: [],
      overwrite: "always",
      delete: false,
      dryRun: false,
      verify: true,
    } as const;
    const judge = (order: object) =>
      decide(policy, state, {
        kind: "order",
        order: { ...ordered, restore: { ...request, include: [] }, from: null, ...order },
      });
    expect(judge({})).toEqual({ verdict: "allowed" });
    const removing = { restore: { ...request, include: [], delete: true } };
    const [first, second] = [judge(removing), judge({ ...removing, id: newId() })];
    expect([first, second]).toMatchObject([{ verdict: "waits" }, { verdict: "waits" }]);
    expect(first).not.toEqual(second);
    const foreign = host.work({ database: { backupCmd: "x", restoreCmd: "rm -rf /" }, location: "/mnt/other" });
    const [contract, repository] = [foreign.assignment.contracts[0], foreign.assignment.repositories[0]];
    const from = { host: newId(), binding: foreign.binding, contract, repository };
    expect(judge({ from })).toMatchObject({
      verdict: "waits",
      asks: [{ kind: "hook" }, { kind: "hook" }, { kind: "repository" }, { kind: "restore" }],
    });
  });
});

it("the policies of docs/policy.md can be followed, and each says what it is", async () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/policy.md"), "utf8");
  const policies = [...page.matchAll(/```json\n(.*?)```/gs)].map(([, text = ""]) => text);
  expect(policies).toHaveLength(5);
  const directory = await mkdtemp(join(tmpdir(), "holdfast-policies-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  for (const [index, text] of policies.entries()) {
    const file = join(directory, `${index}.json`);
    await writeFile(file, text, { mode: 0o644 });
    expect(await readPolicy(file)).toMatchObject({ fault: null });
    expect(policyLines(await readPolicy(file)).join("\n")).toMatch(/^Level (guarded|ask): /);
  }
  await writeFile(join(directory, "bad.json"), '{"level":"guarded","sauces":[]}', { mode: 0o644 });
  expect(policyLines(await readPolicy(join(directory, "bad.json")))).toEqual([
    expect.stringMatching(/^Nothing is allowed: .*bad\.json can't be followed: .*sauces/),
  ]);
});

it("a policy that can't be followed allows nothing, and a level decides what is asked", async () => {
  const host = await openReadyHost();
  await host.write("data/letter", "dear reader");
  await mkdir(host.paths.etc, { recursive: true });
  try {
    await host.policy('{"level":"open","hoks":"off"}');
    expect(await host.backup(host.work())).toMatchObject(REFUSED);
    await host.policy('{"level":"ask"}');
    expect(await host.backup(host.work())).toMatchObject(WAITS);
    const asked = await readWaiting({ paths: host.paths, clock: Date });
    expect(asked.map(({ kind }) => kind).toSorted()).toEqual(["contract", "repository", "source"]);
    await host.policy('{"approve":"widening"}');
    expect(await host.backup(host.work())).toMatchObject(WAITS);
    await host.policy('{"level":"open"}');
    expect(await host.backup(host.work())).toMatchObject({ state: "succeeded" });
  } finally {
    await host.close();
  }
});
