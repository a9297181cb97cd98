import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Paths } from "../config.ts";
import { isWithin, PolicyError } from "./check.ts";
import { parsePasswd } from "../system/process/user.ts";

/**
 * Places that say who may do what on this machine, or hold what runs as root: who writes there is root. A restore
 * writes and removes nothing there, and changes no directory above them, unless root names the very path at the host's
 * own terminal.
 */
const SYSTEM_PLACES: readonly string[] = [
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/boot",
  "/dev",
  "/proc",
  "/sys",
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
  "/etc/polkit-1",
  "/etc/dbus-1",
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
  "/etc/logrotate.conf",
  "/etc/logrotate.d",
  "/etc/systemd",
  "/run/systemd",
  "/etc/init.d",
  "/etc/rc.local",
  "/etc/inittab",
  "/etc/udev",
  "/etc/ld.so.conf",
  "/etc/ld.so.conf.d",
  "/etc/ld.so.preload",
  "/etc/ld.so.cache",
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

/** What the agent lives from and is run by: nobody but the agent and root writes there, whoever asks. */
export function agentPlaces(paths: Paths): string[] {
  return [paths.state, paths.cache, dirname(paths.policyJson), paths.binary, paths.unit, paths.backupUnit];
}

/** The system's own places, and where each user keeps the keys that let somebody in. */
export function systemPlaces(): string[] {
  const users = parsePasswd(readFileSync("/etc/passwd", "utf8").split("\n"));
  return [...new Set([...SYSTEM_PLACES, ...users.map(({ home }) => join(home, ".ssh"))])];
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
