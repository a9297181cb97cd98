import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

const trees = join(import.meta.dirname, "../../node_modules/.cache/trees");
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** What nspawn exits with when the machine inside asked to be rebooted. */
const REBOOT = 133;

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A Debian of its own: its own files, its own network, systemd as PID 1. */
export interface Machine {
  /** The address of our end of its only cable: what the control plane listens on. */
  readonly gateway: string;
  /** Where its root directory is here. */
  readonly root: string;
  /** Runs a line of shell in it, as root. */
  sh(line: string): Promise<Said>;
  /** Asks it to reboot, and waits until it is up again. */
  reboot(): Promise<void>;
  /** Powers it off and takes every trace away. Safe to call at any point, again too. */
  destroy(): Promise<void>;
}

/**
 * Boots a machine from a tree that `.ci/tree` made. The tree itself is never written to.
 * @param suite which one: "bookworm"
 */
export async function bootMachine(suite: string): Promise<Machine> {
  const tree = join(trees, suite);
  if (!existsSync(tree)) throw new Error(`${tree} is missing: 'npm test' makes it, or: sh .ci/setup test`);
  const name = `hf${randomInt(1e9).toString(36)}`;
  const network = `198.18.${randomInt(256)}`;
  const place = randomInt(64) * 4;
  const [gateway, address] = [`${network}.${place + 1}`, `${network}.${place + 2}`];
  const directory = mkdtempSync(join(tmpdir(), "holdfast-machine-"));
  const root = join(directory, "root");
  const undo: (() => void)[] = [() => rmSync(directory, { recursive: true, force: true })];
  let running: ChildProcess | null = null;

  const boot = async (): Promise<void> => {
    running = startNspawn(name, root);
    await until(
      `${name} to be up`,
      async () => /running|degraded/.test((await enter(running, "systemctl is-system-running")).stdout),
      90,
    );
  };
  const destroy = async (): Promise<void> => {
    await powerOff(running);
    running = null;
    for (const step of undo.splice(0).toReversed()) attempt(step);
  };
  const takeAlong = (): void => {
    running?.kill("SIGKILL");
    for (const step of undo.splice(0).toReversed()) attempt(step);
  };
  process.once("exit", takeAlong);
  undo.unshift(() => process.off("exit", takeAlong));

  try {
    for (const part of ["root", "upper", "work"]) mkdirSync(join(directory, part));
    const layers = `lowerdir=${tree},upperdir=${join(directory, "upper")},workdir=${join(directory, "work")}`;
    run("mount", "-t", "overlay", "overlay", "-o", layers, root);
    undo.push(() => run("umount", root));
    writeFileSync(join(root, "etc/hostname"), `${name}\n`);
    writeFileSync(join(root, "etc/hosts"), `127.0.0.1 localhost\n127.0.1.1 ${name}\n`);
    run("ip", "netns", "add", name);
    undo.push(() => run("ip", "netns", "del", name));
    run("ip", "link", "add", `${name}a`, "type", "veth", "peer", "name", `${name}b`, "netns", name);
    run("ip", "address", "add", `${gateway}/30`, "dev", `${name}a`);
    run("ip", "link", "set", `${name}a`, "up");
    run("ip", "-n", name, "address", "add", `${address}/30`, "dev", `${name}b`);
    run("ip", "-n", name, "link", "set", `${name}b`, "up");
    run("ip", "-n", name, "link", "set", "lo", "up");
    await boot();
  } catch (error) {
    await destroy();
    throw error;
  }
  return {
    gateway,
    root,
    sh: (line) => enter(running, line),
    reboot: async () => {
      const before = running;
      const ended = new Promise<number | null>((resolve) => before?.once("exit", resolve));
      await enter(before, "systemctl reboot");
      const code = await ended;
      if (code !== REBOOT) throw new Error(`${name} ended with ${code} instead of rebooting`);
      await boot();
    },
    destroy,
  };
}

/** Everything on the machine's disk but what the test keeps under /srv and what systemd writes about itself. */
export async function filesOf(there: Machine): Promise<Set<string>> {
  const { stdout } = await there.sh(
    "find / -xdev \\( -path /srv -o -path /proc -o -path /sys -o -path /run -o -path /var/log -o -path /var/lib/systemd -o -path /tmp/systemd-private-\\* -o -path /var/tmp/systemd-private-\\* \\) -prune -o -print",
  );
  return new Set(stdout.split("\n"));
}

function startNspawn(name: string, root: string): ChildProcess {
  return spawn(
    "systemd-nspawn",
    [
      "--quiet",
      "--boot",
      "--directory",
      root,
      "--machine",
      name,
      "--register=no",
      "--keep-unit",
      "--console=pipe",
      `--network-namespace-path=/run/netns/${name}`,
    ],
    { stdio: "ignore", env: { PATH, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" } },
  );
}

/** Runs shell in the machine: in all namespaces of its PID 1, which is nspawn's only child. */
function enter(nspawn: ChildProcess | null, line: string): Promise<Said> {
  const leader = leaderOf(nspawn);
  if (leader === null) return Promise.resolve({ code: 255, stdout: "", stderr: "the machine is not running" });
  const child = spawn("nsenter", ["-t", leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w", "/bin/sh", "-c", line], {
    env: { PATH, HOME: "/root", LC_ALL: "C.UTF-8" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 255, stdout, stderr }));
  });
}

function leaderOf(nspawn: ChildProcess | null): string | null {
  if (nspawn?.pid === undefined || nspawn.exitCode !== null) return null;
  try {
    return readFileSync(`/proc/${nspawn.pid}/task/${nspawn.pid}/children`, "utf8").trim().split(" ")[0] || null;
  } catch {
    return null;
  }
}

async function powerOff(nspawn: ChildProcess | null): Promise<void> {
  if (nspawn === null || nspawn.exitCode !== null || nspawn.signalCode !== null) return;
  const ended = new Promise((resolve) => nspawn.once("exit", resolve));
  nspawn.kill("SIGTERM");
  const leader = leaderOf(nspawn);
  const hard = setTimeout(() => {
    if (leader !== null) process.kill(Number(leader), "SIGKILL");
    nspawn.kill("SIGKILL");
  }, 20_000);
  await ended;
  clearTimeout(hard);
}

function run(command: string, ...words: string[]): void {
  execFileSync(command, words, { stdio: ["ignore", "ignore", "pipe"] });
}

/** Every step of a clean-up is tried, whatever the one before it did. */
function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    process.stderr.write(`clean-up: ${String(error)}\n`);
  }
}
