import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Verb } from "../../control/cli/verb.ts";
import { check, forget, prune } from "../../control/cli/upkeep.ts";
import { flip, largestIn } from "../support/damage.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { until } from "../support/until.ts";
import { startWorld, type World } from "../support/world.ts";

// Old snapshots, their space, and damage, from both command lines and the API down to restic and a webhook.

let world: World;
let receiver: Receiver;

beforeAll(async () => {
  world = await startWorld();
  receiver = await startReceiver();
});

afterAll(async () => {
  await world.end();
  await receiver.stop();
});

test("a dry run shows what a retention would remove, the run removes it, and damage is notified", async () => {
  const { agent, api, directory } = world;
  const channel = await api.post("/channels", { name: "me", kind: "webhook", url: receiver.url });
  const { token } = await api.post("/tokens", { name: "operator", scope: "operate" });
  const holdfast = async (verb: Verb, ...words: string[]) => {
    let [out, err] = ["", ""];
    const env = { HOLDFAST_URL: world.url, HOLDFAST_TOKEN: String(token) };
    const code = await verb.run(words, { env, out: (text) => (out += text), err: (text) => (err += text) });
    return { code, out, err };
  };
  await mkdir(join(directory, "srv"));
  await writeFile(join(directory, "srv/photo"), randomBytes(300_000));
  const enrollment = await api.post("/enrollments", { name: "nas" });
  await agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]));
  const policy = JSON.stringify({ level: "open", keep: { snapshots: 1, days: 0 } });
  await writeFile(join(directory, "host/etc/holdfast/policy.json"), policy, { mode: 0o644 });
  agent.start();
  await until("the host to be online", async () => (await api.get("/hosts?name=nas")).items[0]?.["online"]);
  const request = { user: world.user, sourceDirectories: [join(directory, "srv")] };
  const contract = await api.post("/contracts", { host: "nas", name: "photos", request });
  const repository = await api.post("/repositories", {
    name: "disk",
    provider: "restic",
    location: join(directory, "repository"),
    passphrase: { generate: true },
    maintenance: { readDataParts: 1 },
  });
  const binding = await api.post("/bindings", {
    contract: contract["id"],
    repository: "disk",
    settings: { enable: false, retention: {}, performance: { niceness: 0 } },
  });
  const runs: string[] = [];
  for (let count = 0; count < 2; count++) {
    const ended = await world.endOf(await api.post(`/bindings/${binding["id"]}/run`, {}));
    runs.push(String(ended["snapshot"]));
  }
  await api.patch(`/bindings/${binding["id"]}`, { settings: { retention: { keep_last: 1 } } });
  await world.agentHasRevision();
  const [old = "", kept = ""] = runs;
  const listed = async () => (await api.get(`/snapshots?binding=${binding["id"]}`)).items.map((one) => one["id"]);

  const dryRun = await holdfast(forget, "photos-disk", "--dry-run");
  expect(dryRun).toMatchObject({ code: 0, err: "" });
  expect(dryRun.out).toMatch(new RegExp(`^remove ${old.slice(0, 8)}`, "m"));
  expect(dryRun.out).toMatch(new RegExp(`^keep   ${kept.slice(0, 8)} .*keep_last 1$`, "m"));
  expect(dryRun.out).toContain("1 to keep, 1 to remove");
  const alone = await agent.cli("forget", "photos-disk", "--dry-run", "--json");
  expect(JSON.parse(alone.stdout)).toMatchObject({ state: "succeeded", plan: [{ keep: false }, { keep: true }] });
  expect(await listed()).toEqual([kept, old]);

  expect((await holdfast(forget, "photos-disk")).code).toBe(0);
  expect(await listed()).toEqual([kept]);
  expect(await holdfast(prune, "disk", "--wait")).toMatchObject({ code: 0, out: expect.stringMatching(/^succeeded/) });
  expect((await holdfast(check, "photos-disk", "--wait")).code).toBe(0);

  flip(largestIn(join(directory, "repository/data")));
  const plan = async (check: Record<string, unknown>) =>
    await api.patch(`/repositories/${repository["id"]}`, { maintenance: { readDataParts: 1, check } });
  // Nobody asks: its own time has come.
  await plan({ timerConfig: { OnCalendar: "*-*-* *:*:0/5", RandomizedDelaySec: "0" } });
  const { data } = await receiver.take("repository.check_failed", String(channel["secret"]));
  await plan({});
  await world.agentHasRevision();
  const found = await holdfast(check, "disk", "--wait");
  expect(found).toMatchObject({ code: 1, err: expect.stringContaining("docs/repair.md") });
  expect(data).toMatchObject({ repository: { name: "disk" }, host: { name: "nas" }, binding: null });
  expect(await agent.cli("prune", "disk")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("repository.damaged"),
  });
  const { stdout: status } = await agent.cli("status");
  expect(status).toMatch(/^check {7}disk: next 20\S+Z, damaged since 20\S+Z/m);
  expect(status).toMatch(/^prune {7}disk: next 20/m);
  expect(await agent.cli("check", "attic")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("there is: disk"),
  });
  const { items } = await api.get(`/runs?repository=${repository["id"]}&kind=check`);
  const seen = items.map(({ state, binding: of, trigger }) => ({ state, of, trigger }));
  expect(seen.at(-1)).toEqual({ state: "succeeded", of: null, trigger: "order" });
  expect(seen.at(-2)).toEqual({ state: "failed", of: null, trigger: expect.stringMatching(/^(schedule|catch-up)$/) });
  expect(seen[0]).toEqual({ state: "failed", of: null, trigger: "order" });
}, 180_000);
