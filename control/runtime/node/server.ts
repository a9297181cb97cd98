import { getRequestListener } from "@hono/node-server";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Context } from "hono";
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
import { isInNetworks } from "../../../shared/address.ts";
import { createThrottle } from "../../auth/throttle.ts";
import { clientAddress, type NodeBindings } from "./client-address.ts";
import { CONNECTION_LIMITS, type ConnectionLimits, limitConnections } from "./connections.ts";
import { databaseFile, localOrigin, type NodeConfig, publicOrigin } from "./config.ts";
import { lockDataDirectory } from "./data-directory.ts";
import { openDatabase } from "./database.ts";
import { distDirectory, VERSION } from "./dist.ts";
import { createHub } from "./hub.ts";
import { installRoutes, readAgentFiles } from "./install.ts";
import { lineLog } from "./log.ts";
import { createMail } from "./mail.ts";
import { createPost, createDestinationCheck } from "./outgoing.ts";
import { protectRowsOnce } from "./row-protection.ts";
import { finishSwitchIfBegun, readNextSigningKey } from "./next-signing-key.ts";
import { openSigningKey } from "./signing-key.ts";
import { startTimers } from "./timers.ts";
import { createUpgrades } from "./upgrades.ts";

/** Time for running requests and notifications to finish when the control plane stops. */
const STOPPING_MS = 5_000;

export interface RunningControl {
  /** The public origin, without a trailing slash. */
  readonly url: string;
  /** The origin for programs on this machine. */
  readonly localUrl: string;
  readonly deps: Deps;
  readonly app: App;
  /** Closes sockets with 1001, lets running requests finish, and unlocks the data directory. */
  close(): Promise<void>;
}

/** Dependencies that a test or an embedding program provides. */
type Overrides = Partial<Pick<Deps, "clock" | "random" | "log" | "post">> & {
  readonly limits?: Partial<ConnectionLimits>;
};

/**
 * Starts the control plane in this process.
 * @throws Error when the data directory or the port is in use, or the database can't be opened
 */
export async function startControl(config: NodeConfig, overrides: Overrides = {}): Promise<RunningControl> {
  const cleanup = [await lockDataDirectory(config.dataDir)];
  const release = (): void => cleanup.toReversed().forEach((step) => step());
  try {
    await removeStaleTempFiles([config.dataDir]);
    const db = openDatabase(config.databaseUrl, config.databaseToken);
    cleanup.push(() => db.$client.close());
    return await startWithDatabase(config, overrides, { db, release });
  } catch (error) {
    release();
    throw error;
  }
}

interface OpenResources {
  readonly db: Database;
  /** Closes the database and unlocks the data directory. */
  readonly release: () => void;
}

async function startWithDatabase(
  config: NodeConfig,
  overrides: Overrides,
  { db, release }: OpenResources,
): Promise<RunningControl> {
  await migrate(db);
  // Connections of the previous process are gone.
  await db.update(hosts).set({ connectionId: null, connectedAt: null });
  // A local database has no other dispatcher; one on a server may have.
  if (databaseFile(config) !== null) await releaseLeases({ db });
  const base = {
    db,
    clock: overrides.clock ?? { now: Date.now },
    random: overrides.random ?? ((bytes: number) => new Uint8Array(randomBytes(bytes))),
    log: overrides.log ?? lineLog((line) => process.stderr.write(line)),
  };
  if (config.signingKey === undefined) await finishSwitchIfBegun(base, config.dataDir);
  const signingKey = await openSigningKey(config.dataDir, config.signingKey);
  const nextSigningKey = await readNextSigningKey(config.dataDir, config.nextSigningKey);
  await protectRowsOnce({ ...base, signingKey }, config.dataDir);
  await recordVital(base, "start");
  await recordUptimeStart(base);
  const server = createServer({
    connectionsCheckingInterval: overrides.limits?.checkMs ?? CONNECTION_LIMITS.checkMs,
  });
  const port = await listen(server, config);

  // No await from here to the request listener, so that no request comes before it.
  const hub = createHub(base);
  const files = join(distDirectory, "install");
  const check = createDestinationCheck(config.webhookPrivate, port);
  const deps: Deps = {
    ...base,
    hub,
    signingKey,
    nextSigningKey,
    post: overrides.post ?? createPost(check),
    mail: createMail(check),
    config: { url: publicOrigin(config, port), version: VERSION },
    agentFiles: readAgentFiles(files),
    wakeOutbox: () => timers.wakeOutbox(),
  };
  const isProxy = (address: string): boolean => isInNetworks(address, config.trustedProxy);
  const connections = limitConnections(server, { ...CONNECTION_LIMITS, ...overrides.limits }, isProxy);
  const upgrades = createUpgrades(hub, async (request, incoming) => app.fetch(request, { incoming }));
  const app = createApp(deps, {
    socket: (context, host) => upgrades.take(context.req.raw, host),
    install: installRoutes(files),
    clients: {
      throttle: createThrottle(deps.clock),
      addressOf: ({ env }: Context<{ Bindings: NodeBindings }>) => clientAddress(env, config.trustedProxy),
      onAuthenticated: ({ env }: Context<{ Bindings: NodeBindings }>) => connections.trust(env.incoming.socket),
    },
  });
  const answer = getRequestListener((request, { incoming }) =>
    app.fetch(request, { address: clientAddress({ incoming }, config.trustedProxy) ?? undefined, incoming }),
  );
  server.on("request", (incoming, outgoing) => {
    // Keep-alive connections would delay the stop.
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
    release();
  };
  let stopping: Promise<void> | null = null;
  const localUrl = localOrigin({ host: config.host, port });
  return { url: deps.config.url, localUrl, deps, app, close: () => (stopping ??= stop()) };
}

/** No destination rules: the URL comes from the owner of this machine. */
function heartbeatOf({ heartbeatUrl: url }: NodeConfig): Heartbeat | null {
  return url === null ? null : { url, post: createPost(() => null) };
}

async function listen(server: Server, { host, port }: NodeConfig): Promise<number> {
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    throw new Error(`port ${port} on ${host} is in use by another program: stop it, or set HOLDFAST_PORT`);
  }
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

async function withStopTimeout(end: Promise<unknown>): Promise<void> {
  await Promise.race([end, pause(STOPPING_MS, undefined, { ref: false })]);
}
