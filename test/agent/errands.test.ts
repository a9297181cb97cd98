import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { channels, deliveries, retry } from "../../control/cli/channels.ts";
import type { Verb } from "../../control/cli/terminal.ts";
import { httpReceiver } from "../node/http-receiver.ts";
import { until } from "../support/until.ts";
import { startWorld } from "../support/world.ts";

/** A verb of `holdfast`, as somebody types it who may use this control plane. */
async function holdfast(verb: Verb, words: string[], env: Record<string, string>) {
  let out = "";
  const terminal = { env, out: (text: string) => void (out += text), err: () => undefined };
  return { code: await verb.run(words, terminal), out };
}

test("an agent in its own process brings a notification where the control plane does not reach, once its host's policy lets it", async () => {
  const world = await startWorld();
  onTestFinished(world.end);
  const { agent, api } = world;
  const receiver = await httpReceiver();
  const enrollment = await api.post("/enrollments", { name: "nas" });
  await agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]));
  agent.start();
  const host = await until("the host to be online", async () => {
    const [found] = (await api.get("/hosts?name=nas")).items;
    return found?.["online"] === true && found;
  });
  const lan = { name: "lan", kind: "ntfy", url: receiver.url, topic: "backups", token: "tk_SECRET" };
  const channel = await api.post("/channels", { ...lan, via: host["id"] });
  const { token } = await api.post("/tokens", { name: "person", scope: "admin" });
  const env = { HOLDFAST_URL: world.url, HOLDFAST_TOKEN: String(token) };
  const outcome = (attempts: number) =>
    until(`attempt ${attempts}; the agent said:\n${agent.said()}`, async () => {
      const [delivery] = (await api.get(`/deliveries?channel=${channel["id"]}`)).items;
      return Number(delivery?.["attempts"]) >= attempts && delivery;
    });

  await api.post(`/channels/${channel["id"]}/test`, {});
  const refused = await outcome(1);
  expect(refused).toMatchObject({ state: "pending", lastStatus: null });
  expect(refused["lastError"]).toContain("the host's policy has to name its origin in outgoing");
  expect(receiver.requests).toEqual([]);
  expect(await holdfast(channels, [], env)).toMatchObject({
    ...{ code: 3, out: expect.stringMatching(/^lan +ntfy +nas +failed 1 times +never +127\.0\.0\.1 is a private/m) },
  });

  const etc = join(world.directory, "host/etc/holdfast");
  await mkdir(etc, { recursive: true });
  await writeFile(join(etc, "policy.json"), JSON.stringify({ outgoing: [new URL(receiver.url).origin] }));
  const id = String(refused["id"]);
  expect(await holdfast(retry, [id], env)).toMatchObject({ code: 0, out: expect.stringContaining("on its way again") });
  expect(await outcome(2)).toMatchObject({ id, state: "delivered", lastStatus: 204, lastError: null });
  expect(receiver.requests).toMatchObject([{ method: "POST", headers: { authorization: "Bearer tk_SECRET" } }]);
  expect((await holdfast(channels, [], env)).code).toBe(0);
  const listed = await holdfast(deliveries, [], env);
  expect(listed.out).toMatch(new RegExp(`^${id} .* lan +channel\\.test +delivered +2 `, "m"));
  expect((await holdfast(deliveries, ["--failed"], env)).out).toBe("none\n");
  expect(agent.said() + world.url).not.toContain("SECRET");
});
