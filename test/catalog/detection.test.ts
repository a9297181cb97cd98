import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startFakeDocker, type FakeDocker } from "../support/fake-docker.ts";
import { until } from "../support/until.ts";
import { startWorld, type World } from "../support/world.ts";

let place: string;
let docker: FakeDocker;
let world: World;
const env = { DOCKER_HOST: process.env["DOCKER_HOST"], SYSTEMD_UNIT_PATH: process.env["SYSTEMD_UNIT_PATH"] };

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "holdfast-detection-"));
  docker = await startFakeDocker(join(place, "docker.sock"), [
    { name: "films", image: "lscr.io/linuxserver/radarr:latest", mounts: { "/config": join(place, "radarr") } },
  ]);
  await mkdir(join(place, "units"));
  await writeFile(join(place, "units/deluged.service"), "[Service]\n");
  process.env["DOCKER_HOST"] = `unix://${docker.socket}`;
  process.env["SYSTEMD_UNIT_PATH"] = join(place, "units");
  world = await startWorld();
});

afterAll(async () => {
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await world.end();
  await docker.stop();
  await rm(place, { recursive: true, force: true });
});

test("the real agent detects the host's services and proposes them; root's policy can forbid it", async () => {
  const { agent, api } = world;
  const enrollment = await api.post("/enrollments", { name: "nas" });
  expect(await agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]))).toMatchObject({
    code: 0,
  });
  agent.start();
  const proposed = async (): Promise<unknown[]> =>
    (await api.get("/proposals")).items.map(({ entry, layout, container }) => [entry, layout, container]);
  await until("the proposals", async () => (await proposed()).length >= 2);
  expect(await proposed()).toEqual(
    expect.arrayContaining([
      ["deluge", "debian", null],
      ["radarr", "docker", "films"],
    ]),
  );
  const [radarr] = (await api.get("/proposals")).items.filter(({ entry }) => entry === "radarr");
  expect(radarr).toMatchObject({ contract: { request: { sourceDirectories: [join(place, "radarr")] } } });
  expect((await api.get("/contracts")).items).toEqual([]);

  const accepted = await api.post(`/proposals/${radarr?.["id"]}/accept`, { name: "films" });
  expect(accepted).toMatchObject({ name: "films", consistency: [{ sqlite: join(place, "radarr/radarr.db") }] });
  expect(await proposed()).not.toContainEqual(["radarr", "docker", "films"]);
  expect((await api.get("/bindings")).items).toEqual([]);

  await agent.kill("SIGTERM");
  await writeFile(join(world.directory, "host/etc/holdfast/policy.json"), '{"detect":false}');
  docker.asked.length = 0;
  agent.start();
  await until("nothing to be proposed", async () => (await proposed()).length === 0);
  expect(docker.asked).toEqual([]);
});
