import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startReceiver } from "./support/receiver.ts";
import type { Receiver } from "./support/receiver.ts";
import { describeTree } from "./support/tree.ts";
import { until } from "./support/until.ts";
import { startWorld } from "./support/world.ts";
import type { World } from "./support/world.ts";

// The whole of Holdfast, top to bottom, with the real programs: a control plane, an agent in a process of its own,
// restic, a webhook receiver. Read it first; every step below has a closer test somewhere else.

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

test("a service's contract is backed up, also while the control plane is down, and restored byte for byte", async () => {
  const { agent, api, directory } = world;

  // A service with files of every sort, and hooks that stop and start it.
  const files = join(directory, "srv/photos");
  await mkdir(join(files, "2026/summer"), { recursive: true });
  await writeFile(join(files, "2026/summer/beach.jpg"), Buffer.alloc(300_000, 7));
  await writeFile(join(files, "-rf $HOME [1]\n.txt"), "an odd name is a name");
  await symlink("2026/summer/beach.jpg", join(files, "best.jpg"));
  await chmod(join(files, "2026"), 0o2750);
  const stopped = join(directory, "service-is-stopped");
  const broken = join(directory, "service-is-broken");
  await world.installHook("stop-photos", `test ! -e '${broken}'\ntouch '${stopped}'`);
  await world.installHook("start-photos", `rm -f '${stopped}'`);

  // Somebody asks to be told.
  const channel = await api.post("/channels", { name: "me", kind: "webhook", url: receiver.url });
  const secret = String(channel["secret"]);
  await api.post(`/channels/${channel["id"]}/test`, {});
  expect((await receiver.take("channel.test", secret)).data).toMatchObject({ channel: { name: "me" } });

  // Where backups are to go.
  await api.post("/repositories", {
    name: "disk",
    provider: "restic",
    location: join(directory, "repository"),
    passphrase: { generate: true },
  });

  // A line is pasted on the host, which installs the agent and enrols it with a token that works once.
  // What stands at its end is what root grants: where backups may go, and what may be run.
  const enrollment = await api.post("/enrollments", {
    name: "nas",
    repositories: ["disk"],
    hooks: ["stop-photos", "start-photos"],
  });
  expect(await world.paste(String(enrollment["command"]))).toMatchObject({ code: 0 });
  agent.start();
  await until("the host to be online", async () => (await api.get("/hosts?name=nas")).items[0]?.["online"]);

  // What is to be kept, when and for how long.
  const contract = await api.post("/contracts", {
    host: "nas",
    name: "photos",
    request: {
      user: world.user,
      sourceDirectories: [files],
      excludePatterns: ["*.tmp"],
      hooks: { beforeBackup: ["stop-photos"], afterBackup: ["start-photos"] },
    },
  });
  const binding = await api.post("/bindings", {
    contract: contract["id"],
    repository: "disk",
    settings: { timerConfig: { OnCalendar: world.inSeconds(6), RandomizedDelaySec: "0" } },
  });
  expect(binding).toMatchObject({ name: "photos-disk", health: "unprotected" });

  // The agent runs it when it is due; nobody asks.
  const first = await world.nextRun(binding, "backup", null);
  expect(first).toMatchObject({ state: "succeeded", trigger: "schedule", failure: null });
  expect(await api.get(`/bindings/${binding["id"]}`)).toMatchObject({ health: "healthy" });
  await expect(stat(stopped)).rejects.toThrow("ENOENT");
  const asFirst = await describeTree(files);

  // Files change; somebody asks for a run now.
  await writeFile(join(files, "2026/summer/sunset.jpg"), Buffer.alloc(200_000, 9));
  await writeFile(join(files, "upload.tmp"), "left out");
  const ordered = await api.post(`/bindings/${binding["id"]}/run`, {});
  expect(ordered).toMatchObject({ state: "queued" });
  const second = await world.endOf(ordered);
  expect(second).toMatchObject({ state: "succeeded", trigger: "order" });
  const listed = await api.get(`/snapshots?binding=${binding["id"]}`);
  expect(listed.items.map((snapshot) => snapshot["id"])).toEqual([second["snapshot"], first["snapshot"]]);

  // The service will not stop: no backup of half a service, the service is started again, and a person is told, once.
  await writeFile(broken, "");
  for (const attempt of [1, 2]) {
    const failed = await world.endOf(await api.post(`/bindings/${binding["id"]}/run`, {}));
    expect(failed, `attempt ${attempt}`).toMatchObject({ state: "failed", failure: { code: "hook.failed" } });
  }
  const notification = await receiver.take("run.failed", secret);
  expect(notification.data).toMatchObject({
    host: { name: "nas" },
    contract: { name: "photos" },
    run: { failure: { code: "hook.failed", message: expect.stringContaining("stop-photos") } },
  });
  await expect(stat(stopped)).rejects.toThrow("ENOENT");
  await rm(broken);
  await world.endOf(await api.post(`/bindings/${binding["id"]}/run`, {}));
  await receiver.take("run.recovered", secret);
  expect(receiver.count("run.failed")).toBe(1);

  // The control plane goes away. The agent goes on by itself.
  const before = (await agent.cli("snapshots", "photos-disk")).stdout.trim().split("\n");
  await api.patch(`/bindings/${binding["id"]}`, { settings: { timerConfig: { OnCalendar: world.inSeconds(6) } } });
  await world.agentHasRevision();
  await world.stopControl();
  const after = await until("a backup without a control plane", async () => {
    const { stdout } = await agent.cli("snapshots", "photos-disk");
    const ids = stdout.trim().split("\n");
    return ids.length > before.length && ids;
  });

  // Once it is back, it hears all of it.
  await world.startControl();
  const alone = await until("the report of the run it did alone", async () => {
    const { items } = await api.get(`/runs?binding=${binding["id"]}&kind=backup`);
    return items.find((run) => run["snapshot"] === after.at(-1));
  });
  expect(alone).toMatchObject({ state: "succeeded", trigger: "schedule" });

  // The worst day.
  const asLast = await describeTree(files);
  await rm(files, { recursive: true });
  expect(await agent.cli("restore", "photos-disk", String(alone["snapshot"]))).toMatchObject({ code: 0 });
  expect(await describeTree(files)).toEqual(asLast.filter((line) => !line.endsWith(" upload.tmp")));

  // And an older state, beside the new one, asked for from afar.
  const aside = join(directory, "aside");
  const restore = await api.post("/restores", { binding: binding["id"], snapshot: first["snapshot"], target: aside });
  expect(await world.endOf(restore)).toMatchObject({ kind: "restore", state: "succeeded" });
  expect(await describeTree(join(aside, files))).toEqual(asFirst);

  // The passphrase never left the host.
  const passphrase = await readFile(await world.passphraseFile("disk"), "utf8");
  expect(passphrase.trim().length).toBeGreaterThanOrEqual(40);
  expect(await world.controlBytesContain(passphrase.trim())).toBe(false);
});
