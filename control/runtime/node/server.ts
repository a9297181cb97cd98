import { getRequestListener } from "@hono/node-server";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type App, createApp } from "../../app.ts";
import { migrate } from "../../db/migrate.ts";
import { hosts } from "../../db/schema/hosts.ts";
import type { Database } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { releaseLeases } from "../../notify/dispatch.ts";
import { recordVital } from "../../domain/service/vitals.ts";
import { removeStaleTempFiles } from "../../../shared/node/files.ts";
import type { Heartbeat } from "../../heartbeat.ts";
import { recordUptimeStart } from "../../domain/watch/uptime.ts";
import { databaseFile, localOrigin, type NodeConfig, publicOrigin } from "./config.ts";
import { lockDataDirectory } from "./data-directory.ts";
import { openDatabase } from "./database.ts";
import { distDirectory, VERSION } from "./dist.ts";
import { createHub } from "./hub.ts";
import { installDigest, installRoutes } from "./install.ts";
import { lineLog } from "./log.ts";
import { createMail } from "./mail.ts";
import { createPost, createDestinationCheck } from "./outgoing.ts";
import { openSigningKey } from "./signing-key.ts";
import { startTimers } from "./timers.ts";
import { createUpgrades } from "./upgrades.ts";

/** How long running requests, and notifications on their way, may take to end when the control plane stops. */
const STOPPING_MS = 5_000;

export interface RunningControl {
  /** Its public origin, without a trailing slash. */
  readonly url: string;
  /** The one that programs on this machine use. */
  readonly localUrl: string;
  readonly deps: Deps;
  readonly app: App;
  /** Closes sockets with 1001, lets running requests end, and gives the data directory back. */
  close(): Promise<void>;
}

/** What a test, or another program around it, holds in its own hands. */
type Overrides = Partial<Pick<Deps, "clock" | "random" | "log" | "post">>;

/**
 * Brings the whole control plane up in this process.
 * @throws Error when the data directory or the port is taken, or the database does not open
 */
export async function startControl(config: NodeConfig, overrides: Overrides = {}): Promise<RunningControl> {
  const held = [await lockDataDirectory(config.dataDir)];
  const letGo = (): void => held.toReversed().forEach((giveBack) => giveBack());
  try {
    await removeStaleTempFiles([config.dataDir]);
    const db = openDatabase(config.databaseUrl, config.databaseToken);
    held.push(() => db.$client.close());
    return await startWithDatabase(config, overrides, { db, release: letGo });
  } catch (error) {
    letGo();
    throw error;
  }
}

interface OpenResources {
  readonly db: Database;
  /** Closes the database and gives the data directory back. */
  readonly release: () => void;
}

async function startWithDatabase(
  config: NodeConfig,
  overrides: Overrides,
  { db, release: letGo }: OpenResources,
): Promise<RunningControl> {
  await migrate(db);
  // Whoever was connected to the process before this one is not connected to this one.
  await db.update(hosts).set({ connectionId: null, connectedAt: null });
  // The data directory is ours alone; a server of its own may have others who send.
  if (databaseFile(config) !== null) await releaseLeases({ db });
  const signingKey = await openSigningKey(config.dataDir, config.signingKey);
  const base = {
    db,
    clock: overrides.clock ?? { now: Date.now },
    random: overrides.random ?? ((bytes: number) => new Uint8Array(randomBytes(bytes))),
    log: overrides.log ?? lineLog((line) => process.stderr.write(line)),
  };
  await recordVital(base, "start");
  await recordUptimeStart(base);
  const server = createServer();
  const port = await listen(server, config);

  // From here to the first request listener nothing waits, so that no request comes before it.
  const hub = createHub(base);
  const files = join(distDirectory, "install");
  const judge = createDestinationCheck(config.webhookPrivate, port);
  const deps: Deps = {
    ...base,
    hub,
    signingKey,
    post: overrides.post ?? createPost(judge),
    mail: createMail(judge),
    config: { url: publicOrigin(config, port), installDigest: installDigest(files), version: VERSION },
    wakeOutbox: () => timers.wakeOutbox(),
  };
  const upgrades = createUpgrades(hub, async (request) => app.fetch(request));
  const app = createApp(deps, {
    socket: (context, host) => upgrades.take(context.req.raw, host),
    install: installRoutes(files, deps.config),
  });
  const answer = getRequestListener((request) => app.fetch(request));
  server.on("request", (incoming, outgoing) => {
    // A client keeps its connection for the next request: there is none any more.
    outgoing.once("close", () => setImmediate(() => stopping !== null && server.closeIdleConnections()));
    void answer(incoming, outgoing);
  });
  server.on("upgrade", (incoming, socket, head) => void upgrades.handle(incoming, socket, head));
  const timers = startTimers(deps, { heartbeat: heartbeatOf(config) });

  const stop = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    await Promise.all([hub.close(), withStopTimeout(timers.stop()), withStopTimeout(closed)]);
    server.closeAllConnections();
    await closed;
    letGo();
  };
  let stopping: Promise<void> | null = null;
  const localUrl = localOrigin({ host: config.host, port });
  return { url: deps.config.url, localUrl, deps, app, close: () => (stopping ??= stop()) };
}

/** Where the owner of this machine lets it be told: nowhere is forbidden. */
function heartbeatOf({ heartbeatUrl: url }: NodeConfig): Heartbeat | null {
  return url === null ? null : { url, post: createPost(() => null) };
}

async function listen(server: Server, { host, port }: NodeConfig): Promise<number> {
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    throw new Error(`port ${port} on ${host} is taken by another program: stop it, or set HOLDFAST_PORT`);
  }
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

async function withStopTimeout(end: Promise<unknown>): Promise<void> {
  await Promise.race([end, pause(STOPPING_MS, undefined, { ref: false })]);
}
