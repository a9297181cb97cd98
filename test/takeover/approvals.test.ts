import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../support/until.ts";
import { startWorld, type Thing } from "../support/world.ts";

test("what a new host was not granted waits for root, is told, and goes on by itself once root says yes", async () => {
  const world = await startWorld({ hasPolicy: false });
  onTestFinished(() => world.end());
  const { api, agent, directory } = world;
  const { token } = await api.post("/enrollments", { name: "nas" });
  await mkdir(join(directory, "photos"));
  await writeFile(join(directory, "photos/one.jpg"), "a photo");
  expect(await agent.cli("enroll", "--url", world.url, "--token", String(token))).toMatchObject({ code: 0 });
  const repository = await api.post("/repositories", {
    name: "usb",
    provider: "restic",
    location: join(directory, "usb"),
    passphrase: { generate: true },
  });
  const contract = await api.post("/contracts", {
    host: "nas",
    name: "photos",
    request: { user: world.user, sourceDirectories: [join(directory, "photos")] },
  });
  const bind = { contract: contract["id"], repository: repository["id"], settings: { enable: false } };
  const binding = await api.post("/bindings", bind);
  agent.start();
  const approvals = (): Promise<Thing[]> => api.get("/approvals").then(({ items }) => items);
  const [asked] = await until(`something to wait for root; the agent said:\n${agent.said()}`, async () => {
    const items = await approvals();
    return items.length > 0 && items;
  });
  expect(asked).toMatchObject({ hostName: "nas", kind: "repository", bindings: ["photos-usb"] });
  expect(String(asked?.["summary"])).toContain(`Keep backups with restic at ${join(directory, "usb")}`);
  const open = async (): Promise<Thing[]> => (await api.get("/incidents?state=open&kind=host.approval")).items;
  expect(await open()).toHaveLength(1);

  // A run that is ordered now fails, and says what to type where.
  const early = await world.endOf(await api.post(`/bindings/${binding["id"]}/run`, {}));
  expect(early).toMatchObject({ state: "failed", failure: { code: "policy.approval_needed" } });

  const status = await agent.cli("status");
  expect(status.stdout).toContain(`waits       for root: Keep backups with restic`);
  const listed = await agent.cli("approve");
  expect(listed.stdout).toContain(String(asked?.["key"]));
  expect((await agent.cli("policy")).stdout).toMatch(/waits {4}repository "usb": Keep backups/);
  expect(await agent.cli("approve", "0123456789")).toMatchObject({ code: 2 });
  const [, , key = ""] = String(asked?.["command"]).split(" ");
  expect(await agent.cli("approve", key)).toMatchObject({ code: 0, stdout: expect.stringContaining("granted") });
  await until("nothing to wait any more", async () => (await approvals()).length === 0);
  await until("the incident to be closed", async () => (await open()).length === 0);
  const run = await world.endOf(await api.post(`/bindings/${binding["id"]}/run`, {}));
  expect(run).toMatchObject({ state: "succeeded" });
  expect(JSON.parse((await agent.cli("approve", "--granted", "--json")).stdout)).toMatchObject([{ key, by: "root" }]);

  // A policy that can't be followed allows nothing, and everybody is told.
  const policy = join(directory, "host/etc/holdfast/policy.json");
  await writeFile(policy, '{"level":"paranoid"}', { mode: 0o644 });
  const troubles = async (): Promise<Thing[]> => (await api.get("/incidents?state=open&kind=host.trouble")).items;
  const [told] = await until("the trouble to be told", async () => {
    const items = await troubles();
    return items.length > 0 && items;
  });
  expect(String(told?.["summary"])).toMatch(/policy\.json can't be followed: level: .*nothing is allowed here/);
  expect((await agent.cli("doctor")).stdout).toMatch(/^fail {2}policy: /m);
  const refused = await world.endOf(await api.post(`/bindings/${binding["id"]}/run`, {}));
  expect(refused).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
  await rm(policy);

  // Taken back, it waits again.
  expect(await agent.cli("approve", "--revoke", key)).toMatchObject({ code: 0 });
  await until("it to wait again", async () => (await approvals()).length === 1);
});
