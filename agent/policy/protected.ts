import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Paths } from "../config.ts";
import { isWithin, PolicyError } from "./check.ts";
import { parsePasswd } from "../system/process/user.ts";

/**
 * Places that say who may do what on this machine, or hold what runs as root: who writes there is root. A restore
 * writes and removes nothing there, and changes no directory above them, unless root names the very path at the host's
 * own terminal.
 */
const CODE_PLACES: readonly string[] = [
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/nix",
  "/usr/bin",
  "/usr/sbin",
  "/usr/lib",
  "/usr/lib32",
  "/usr/lib64",
  "/usr/libexec",
  "/usr/local/bin",
  "/usr/local/sbin",
  "/usr/local/lib",
  "/usr/share/polkit-1",
  "/etc/polkit-1",
  "/etc/dbus-1",
  "/etc/logrotate.conf",
  "/etc/logrotate.d",
  "/etc/init.d",
  "/etc/rc.local",
  "/etc/inittab",
  "/etc/udev",
  "/etc/modprobe.d",
  "/etc/modules",
  "/etc/modules-load.d",
  "/etc/sysctl.conf",
  "/etc/sysctl.d",
  "/etc/fstab",
  "/etc/profile",
  "/etc/profile.d",
  "/etc/bash.bashrc",
  "/etc/environment",
  "/etc/zsh",
  "/etc/apt",
  "/etc/nixos",
  "/root/.bashrc",
  "/root/.bash_profile",
  "/root/.bash_login",
  "/root/.profile",
];

/** The same; and they are not read for a backup either unless root grants it: accounts, keys and jobs. */
const ACCESS_PLACES: readonly string[] = [
  "/boot",
  "/dev",
  "/proc",
  "/sys",
  "/etc/passwd",
  "/etc/passwd-",
  "/etc/shadow",
  "/etc/shadow-",
  "/etc/group",
  "/etc/group-",
  "/etc/gshadow",
  "/etc/gshadow-",
  "/etc/subuid",
  "/etc/subgid",
  "/etc/sudoers",
  "/etc/sudoers.d",
  "/etc/doas.conf",
  "/etc/pam.conf",
  "/etc/pam.d",
  "/etc/security",
  "/etc/ssh",
  "/etc/crontab",
  "/etc/anacrontab",
  "/etc/cron.d",
  "/etc/cron.hourly",
  "/etc/cron.daily",
  "/etc/cron.weekly",
  "/etc/cron.monthly",
  "/var/spool/cron",
  "/var/spool/at",
  "/etc/systemd",
  "/run/systemd",
  "/etc/ld.so.conf",
  "/etc/ld.so.conf.d",
  "/etc/ld.so.preload",
  "/etc/ld.so.cache",
];

/** What the agent lives from and is run by: nobody but the agent and root writes there, whoever asks. */
export function agentPlaces(paths: Paths): string[] {
  return [paths.state, paths.cache, dirname(paths.policyJson), paths.binary, paths.unit, paths.backupUnit];
}

/** The system's own places, and where each user keeps the keys that let somebody in. */
export function systemPlaces(): string[] {
  return [...new Set([...CODE_PLACES, ...ACCESS_PLACES, ...keyPlaces()])];
}

/** Where each user keeps the keys that let somebody in. */
function keyPlaces(): string[] {
  const users = parsePasswd(readFileSync("/etc/passwd", "utf8").split("\n"));
  return users.map(({ home }) => join(home, ".ssh"));
}

/**
 * What no source reads unless root grants it: the places that exist, with symbolic links resolved. The agent's own
 * state is not among them: it is left out of every backup (`ownSecrets`).
 */
export function readProtectedPlaces(paths: Paths): string[] {
  const places = [dirname(paths.policyJson), ...ACCESS_PLACES, ...keyPlaces()];
  return [...new Set(places.filter((place) => existsSync(place)).map((place) => realpathSync(place)))];
}

/** The agent's keys, memory and secrets: in no backup, and never a secret of a repository. */
export function ownSecrets({ state, etcSecretsDir }: Pick<Paths, "state" | "etcSecretsDir">): string[] {
  return [state, etcSecretsDir];
}

/** Throws PolicyError when a restore would write into a protected place. @param real behind all symbolic links */
export function refuseProtected(paths: Paths, real: string): void {
  const place = [...agentPlaces(paths), ...systemPlaces()].find((one) => isWithin(real, one));
  if (place === undefined) return;
  throw new PolicyError(
    "policy.restore",
    `${real} is in ${place}, which is protected on this host: nothing is written there`,
  );
}
