import { createApp } from "../../app.ts";
import { createThrottle } from "../../auth/throttle.ts";
import type { Clients } from "../../routes/access.ts";
import { readSigningKey } from "../../auth/signing-key.ts";
import type { Deps } from "../../deps.ts";
import { dispatch } from "../../notify/dispatch.ts";
import { sendHeartbeat } from "../../heartbeat.ts";
import { parseDestinationRules } from "../../notify/destinations.ts";
import { tick } from "../../tick.ts";
import { readAgentFiles } from "./agent-files.ts";
import { openDatabase } from "./database.ts";
import type { Env } from "./env.ts";
import type { HostHub } from "./host-hub.ts";
import { openHub, openSocket } from "./hub.ts";
import { log } from "./log.ts";
import { createPost } from "./outgoing.ts";

export { HostHub } from "./host-hub.ts";

/** The variables, the namespace of the hosts' Durable Objects, and dist/assets. */
interface WorkerEnv extends Env {
  readonly HOST_HUB: DurableObjectNamespace<HostHub>;
  readonly ASSETS: Fetcher;
}

/** From wrangler.toml; a test compares it with package.json. */
declare const HOLDFAST_VERSION: string;

/** Of this isolate. Cloudflare writes the header itself, whatever a client sends. */
const clients: Clients = {
  throttle: createThrottle({ now: () => Date.now() }),
  addressOf: ({ req }) => req.header("cf-connecting-ip") ?? null,
  onAuthenticated: () => undefined,
};

export default {
  async fetch(request, env, context) {
    const deps = await openDeps(env, context);
    const app = createApp(deps, { socket: ({ req }, host) => openSocket(env.HOST_HUB, host, req.raw), clients });
    return app.fetch(request, { address: request.headers.get("cf-connecting-ip") ?? undefined });
  },

  /** Cron trigger; the timers' counterpart in the Node runtime. */
  async scheduled(_controller, env, context) {
    const deps = await openDeps(env, context);
    await tick(deps);
    const url = env.HOLDFAST_HEARTBEAT_URL ?? "";
    await sendHeartbeat(deps, url === "" ? null : { url, post: createPost({ private: "allow", exceptions: [] }) });
  },
} satisfies ExportedHandler<WorkerEnv>;

/** New for every request: on Workers, requests can't share I/O. */
async function openDeps(env: WorkerEnv, context: ExecutionContext): Promise<Deps> {
  const deps: Deps = {
    db: openDatabase(env.HOLDFAST_DATABASE_URL, env.HOLDFAST_DATABASE_TOKEN),
    clock: { now: () => Date.now() },
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    log,
    hub: openHub(env.HOST_HUB, log),
    signingKey: await readSigningKey(env.HOLDFAST_SIGNING_KEY ?? "", "HOLDFAST_SIGNING_KEY"),
    nextSigningKey:
      env.HOLDFAST_NEXT_SIGNING_KEY === undefined
        ? null
        : await readSigningKey(env.HOLDFAST_NEXT_SIGNING_KEY, "HOLDFAST_NEXT_SIGNING_KEY"),
    post: createPost(
      parseDestinationRules(env.HOLDFAST_WEBHOOK_PRIVATE ?? "lan") ?? { private: "refuse", exceptions: [] },
    ),
    mail: null,
    config: { url: new URL(env.HOLDFAST_URL).origin, version: HOLDFAST_VERSION },
    agentFiles: readAgentFiles(env.ASSETS),
    wakeOutbox: () => context.waitUntil(sendNow(deps)),
  };
  return deps;
}

/** A failure here is retried by the next cron trigger. */
async function sendNow(deps: Deps): Promise<void> {
  try {
    await dispatch(deps);
  } catch (error) {
    deps.log.error("sending notifications failed", { error: String(error) });
  }
}
