import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { page } from "../../shared/api.ts";
import { ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { agentIn } from "../support/agent.ts";
import { openClient } from "../support/client.ts";
import type { Dice } from "../support/random.ts";
import { until } from "../support/until.ts";
import { doubled, type Fault, type Found, lied, lost, sum } from "./fault.ts";

const MOMENTS = ["before it comes", "while it is sent", "before it says so", "at any time", "never"] as const;
type Moment = (typeof MOMENTS)[number];

const LOOK_EVERY_MS = 20;
/** How long somebody may take who is there, before time is moved on. */
const PATIENCE_MS = 3_000;
const MOST_LOOKS = 60;

/**
 * kill -9 of an agent that sends a notification for the control plane, around the moment it is sent; the receiver fails
 * now and then too.
 */
export const relayKilled: Fault = {
  name: "relay-killed",
  rounds: 50,
  async start(log) {
    const lan = await openLan();
    const struck = new Map<Moment, number>();
    return {
      async round(dice) {
        const moment = dice.pick(MOMENTS);
        struck.set(moment, (struck.get(moment) ?? 0) + 1);
        const found = await playRound(lan, dice, moment);
        return { ...found, said: found.said.map((line) => `killed ${moment}: ${line}`) };
      },
      async end() {
        await lan.end();
        for (const [moment, times] of struck) log(`killed ${moment}: ${times} times`);
      },
    };
  },
};

type Lan = Awaited<ReturnType<typeof openLan>>;

async function playRound(lan: Lan, dice: Dice, moment: Moment): Promise<Found> {
  const { agent, client, receiver } = lan;
  receiver.heard.length = 0;
  let isKilled = false;
  const kill = async (): Promise<void> => {
    if (isKilled) return;
    isKilled = true;
    await agent.kill("SIGKILL");
  };
  const fails = dice.pick([0, 0, 1, 2]);
  receiver.take = async (response, nth) => {
    if (moment === "while it is sent") await kill();
    const isTaken = nth > fails;
    response.writeHead(isTaken ? 204 : 500).end();
    if (moment === "before it says so") await kill();
    return isTaken;
  };
  if (moment === "before it comes") await kill();
  await client.ask(Delivery, "POST", `/api/v1/channels/${lan.channel}/test`);
  if (moment === "at any time") {
    await delay(dice.pick([0, 5, 10, 20, 40, 80, 160]));
    await kill();
  }
  const [sent] = (await client.ask(page(Delivery), "GET", "/api/v1/deliveries?limit=1")).items;
  if (sent === undefined) return lost("the delivery is not there");
  // Who was killed is back before his lease is over, or after.
  if (isKilled && dice.isLucky(0.5)) lan.pass(61_000);
  let isBack = false;
  const { state, attempts } = await untilSent(lan, sent.id, () => {
    if (isKilled && !isBack) agent.start();
    isBack = isKilled;
  });
  const { heard } = receiver;
  const strangers = heard.filter(({ id }) => id !== sent.id).length;
  const times = heard.filter(({ isTaken }) => isTaken).length;
  return sum([
    state === "delivered" ? sum([]) : lost(`it ended as ${state} after ${heard.length} requests`),
    strangers === 0 ? sum([]) : doubled(`${strangers} requests came under another id`),
    state === "delivered" && times === 0 ? lied("it is said to be delivered, and nobody took it") : sum([]),
    // Nobody may send what he was not given: each time it is given out is counted as an attempt.
    heard.length <= attempts ? sum([]) : doubled(`${heard.length} requests, and ${attempts} attempts`),
  ]);
}

/**
 * Looks until it is over, moving time on whenever nobody does anything.
 * @param revive starts again who was killed
 * @returns it, as it was last
 */
async function untilSent(lan: Lan, id: string, revive: () => void): Promise<Delivery> {
  const look = () => lan.client.ask(Delivery, "GET", `/api/v1/deliveries/${id}`);
  let now = await look();
  for (let looks = 0; looks < MOST_LOOKS && now.state === "pending"; looks++) {
    const { attempts, nextAttemptAt } = now;
    const wait = Date.parse(nextAttemptAt ?? "") - lan.now();
    const end = performance.now() + (wait > 0 ? 0 : PATIENCE_MS);
    do {
      await delay(LOOK_EVERY_MS);
      revive();
      now = await look();
    } while (performance.now() < end && now.state === "pending" && now.attempts === attempts);
    if (now.state === "pending" && now.attempts === attempts) lan.pass(Math.max(wait, 61_000));
  }
  return now;
}

async function openLan() {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-relay-"));
  let ahead = 0;
  const clock = { now: () => Date.now() + ahead };
  const quiet = { info: () => undefined, error: () => undefined };
  const config = readConfig({ HOLDFAST_DATA: join(directory, "control"), HOLDFAST_PORT: "0" });
  const control = await startControl(config, { clock, log: quiet });
  const { token } = await createToken(control.deps, { name: "faults", scope: "admin", expiresInSeconds: null });
  const client = openClient(control.url, () => token);
  const receiver = await openReceiver();
  const root = join(directory, "host");
  const agent = agentIn(root);
  await mkdir(join(root, "etc/holdfast"), { recursive: true });
  await writeFile(join(root, "etc/holdfast/policy.json"), JSON.stringify({ outgoing: [receiver.origin] }));
  const enrollment = await client.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas" });
  await agent.cli("enroll", "--url", control.url, "--token", enrollment.token);
  agent.start();
  const via = await until("the host to be online", async () => {
    const [host] = (await client.ask(page(Host), "GET", "/api/v1/hosts")).items;
    return host?.online === true && host.id;
  });
  const hook = { name: "lan", kind: "webhook", url: `${receiver.origin}/hook`, events: [], via };
  const { id: channel } = await client.ask(ChannelCreated, "POST", "/api/v1/channels", hook);
  return {
    agent,
    client,
    receiver,
    channel,
    now: () => clock.now(),
    pass(milliseconds: number): void {
      ahead += milliseconds;
      control.deps.wakeOutbox();
    },
    async end(): Promise<void> {
      await agent.kill("SIGKILL");
      await control.close();
      await receiver.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Who is told: says of each request whether it took it. */
async function openReceiver() {
  const heard: { id: string; isTaken: boolean }[] = [];
  const receiver = {
    heard,
    take: async (response: ServerResponse, _nth: number): Promise<boolean> => {
      response.writeHead(204).end();
      return true;
    },
  };
  const server = createServer((request, response) => {
    request.resume();
    const one = { id: String(request.headers["webhook-id"]), isTaken: false };
    const nth = heard.push(one);
    void receiver.take(response, nth).then((isTaken) => (one.isTaken = isTaken));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(receiver, {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}
