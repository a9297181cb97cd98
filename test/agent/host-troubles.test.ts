import { mkdir, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../support/until.ts";
import { startWorld, type World } from "../support/world.ts";
import { newId } from "./signer.ts";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.end());

test("an agent with damaged files keeps working; each file opens an incident, closed once a person removed it", async () => {
  const { agent, api, directory, user } = world;
  await mkdir(join(directory, "srv"));
  await writeFile(join(directory, "srv/letter"), "dear reader");
  const enrollment = await api.post("/enrollments", { name: "attic" });
  await agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]));
  agent.start();
  const online = () => until("the host to be online", async () => (await api.get("/hosts")).items[0]?.["online"]);
  await online();
  const request = { user, sourceDirectories: [join(directory, "srv")] };
  const contract = await api.post("/contracts", { host: "attic", name: "letters", request });
  const repository = { name: "disk", provider: "restic", location: join(directory, "repository") };
  await api.post("/repositories", { ...repository, passphrase: { generate: true } });
  const settings = { enable: false, retention: {}, performance: { niceness: 0 } };
  const binding = await api.post("/bindings", { contract: contract["id"], repository: "disk", settings });
  const run = async () => await world.endOf(await api.post(`/bindings/${binding["id"]}/run`, {}));
  expect(await run()).toMatchObject({ state: "succeeded" });
  await world.agentHasRevision();

  await agent.kill("SIGTERM");
  const state = join(directory, "host/var/lib/holdfast");
  const [remembered = ""] = (await readdir(join(state, "repositories"))).filter((name) =>
    /^[0-9a-f-]+\.json$/.test(name),
  );
  await truncate(join(state, "assignment.jws"), 100);
  await truncate(join(state, "repositories", remembered), 20);
  await writeFile(join(state, "spool", `${newId()}.json`), "\0".repeat(500));
  agent.start();
  await online();
  const open = async () =>
    (await api.get("/incidents?state=open")).items.map(({ kind, detail }) => `${kind} ${String(detail).split(" ")[0]}`);
  const expected = ["assignment.damaged", "spool.damaged", "state.damaged"].map((code) => `host.trouble ${code}`);
  // The control plane knows which repository it is: nothing is made anew, and backups go on.
  expect(await run()).toMatchObject({ state: "succeeded" });
  await until("an incident of each", async () => (await open()).length === 3);
  expect((await open()).toSorted()).toEqual(expected);

  const names = await readdir(state, { recursive: true });
  for (const name of names.filter((one) => one.endsWith(".unreadable"))) await rm(join(state, name));
  expect(await run()).toMatchObject({ state: "succeeded" });
  await until("their end", async () => (await open()).length === 0);
}, 180_000);
