import { arch, hostname, userInfo } from "node:os";
import { messageOf } from "../../shared/error-message.ts";
import type { HostFacts, HostTrouble } from "../../shared/host.ts";
import { type Paths, readConfig } from "../config.ts";
import { readTextIfExists } from "../../shared/node/files.ts";
import { recipientOfHost } from "../policy/age-key.ts";
import { listHooks, loadPolicy } from "../policy/policy.ts";
import { findEngines } from "../providers/engines.ts";
import { readWaiting } from "../policy/waiting.ts";
import { hostZone } from "../system/zone.ts";
import { findTroubles } from "../state/troubles.ts";
import { VERSION } from "../version.ts";

/**
 * Collects the host's facts, cut to the limits of the model.
 * @param listTroubles overrides where troubles come from: the daemon knows more than the files show
 */
export async function collectFacts(
  { paths, clock }: { paths: Paths; clock: { now(): number } },
  listTroubles = (): Promise<HostTrouble[]> => findTroubles(paths),
): Promise<HostFacts> {
  const [os, users, engines, policy, hooks, troubles, sealing, approvals] = await Promise.all([
    osName(),
    localUsers(),
    findEngines(),
    loadPolicy(paths),
    listHooks(paths),
    listTroubles(),
    sealingFacts(paths),
    readWaiting({ paths, clock }),
  ]);
  return {
    troubles: [...sealing.troubles, ...troubles].slice(0, 100),
    hostname: hostname().slice(0, 253),
    os: os.slice(0, 256),
    arch: arch(),
    agentVersion: VERSION,
    zone: hostZone(),
    runsAs: runsAs(users).slice(0, 64),
    users: users.map(({ name }) => name).slice(0, 5000),
    engines: engines.slice(0, 16),
    hooksPolicy: policy.hooks,
    hooks: hooks.slice(0, 1000),
    nextControlKey: (await readConfig(paths).catch(() => null))?.nextControlKey ?? null,
    level: policy.level,
    approvals,
    recipient: sealing.recipient,
  };
}

/** A key that can't be used is a trouble of the host, and holds back no other fact. */
async function sealingFacts(paths: Paths): Promise<Pick<HostFacts, "recipient" | "troubles">> {
  try {
    return { recipient: await recipientOfHost(paths), troubles: [] };
  } catch (error) {
    const message = `nothing that is sealed to this host can be opened: ${messageOf(error)}`.slice(0, 1000);
    return { recipient: null, troubles: [{ code: "state.damaged", subject: paths.ageKeyFile, message }] };
  }
}

async function osName(): Promise<string> {
  const release = (await readTextIfExists("/etc/os-release")) ?? "";
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? "Linux";
}

interface LocalUser {
  name: string;
  uid: number;
}

/** Local users only: a directory service may have a hundred thousand. */
async function localUsers(): Promise<LocalUser[]> {
  const lines = ((await readTextIfExists("/etc/passwd")) ?? "").split("\n").map((line) => line.split(":"));
  return lines.flatMap(([name = "", , uid]) => (name === "" || name.length > 64 ? [] : [{ name, uid: Number(uid) }]));
}

/** By uid first: Bun's userInfo trusts the environment, and a service has no USER there. */
function runsAs(users: LocalUser[]): string {
  const own = process.getuid?.();
  const local = users.find(({ uid }) => uid === own);
  if (local !== undefined) return local.name;
  try {
    return userInfo().username;
  } catch {
    return String(own ?? "");
  }
}
