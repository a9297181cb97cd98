import { arch, hostname, userInfo } from "node:os";
import type { HostFacts } from "../shared/host.ts";
import type { Paths } from "./config.ts";
import { readTextIfThere } from "./files.ts";
import { listHooks, loadPolicy } from "./policy.ts";
import { findEngines } from "./providers/engines.ts";
import { VERSION } from "./version.ts";

/** What this host is and can do, cut to what the model takes. */
export async function collectFacts(paths: Paths): Promise<HostFacts> {
  const [os, users, engines, policy, hooks] = await Promise.all([
    osName(),
    userNames(),
    findEngines(),
    loadPolicy(paths),
    listHooks(paths),
  ]);
  return {
    hostname: hostname().slice(0, 253),
    os: os.slice(0, 256),
    arch: arch(),
    agentVersion: VERSION,
    zone: hostZone(),
    runsAs: runsAs().slice(0, 64),
    users,
    engines: engines.slice(0, 16),
    hooksPolicy: policy.hooks,
    hooks: hooks.slice(0, 1000),
  };
}

/** The IANA zone that a schedule without one of its own is in. */
export function hostZone(): string {
  return new Intl.DateTimeFormat("en").resolvedOptions().timeZone;
}

async function osName(): Promise<string> {
  const release = (await readTextIfThere("/etc/os-release")) ?? "";
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? "Linux";
}

/** The local ones only: a directory service may have a hundred thousand. */
async function userNames(): Promise<string[]> {
  const lines = ((await readTextIfThere("/etc/passwd")) ?? "").split("\n");
  const names = lines.map((line) => line.split(":")[0] ?? "").filter((name) => name !== "" && name.length <= 64);
  return names.slice(0, 5000);
}

/** A user without a line in /etc/passwd (a container's) has a number only. */
function runsAs(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "");
  }
}
