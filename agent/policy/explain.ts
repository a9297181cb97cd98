import type { Policy } from "./policy.ts";

/** What a policy means, one sentence per line. */
export function policyLines(policy: Policy): string[] {
  if (policy.fault !== null) return [`Nothing is allowed: ${policy.fault}`];
  return [
    ...LEVELS[policy.level],
    hooksLine(policy),
    listLine(policy.sources, "Backed up", policy.level === "open" ? "everything" : "everything that is not protected"),
    listLine(policy.repositories, "Used as repositories", "every place that root grants"),
    listLine(policy.users, "Users that run something", "every user"),
    listLine(policy.services, "Stopped, paused or entered", "every unit and container that root grants"),
    RESTORES[policy.restore],
    outgoingLine(policy),
    `No order and no retention removes the ${policy.keep.snapshots} newest good snapshots of a binding, nor the last good one of each of the last ${policy.keep.days} days that had one.`,
    ...(policy.appendOnly.length === 0 ? [] : [`Only added to, never removed from: ${policy.appendOnly.join(", ")}.`]),
    `Secrets of repositories are read from /etc/holdfast/secrets${policy.secrets.map((place) => `, ${place}`).join("")}, or from where root grants it.`,
    `Services of the catalogue are ${policy.detect ? "looked for and reported" : "not looked for"}.`,
  ];
}

const LEVELS = {
  guarded: [
    "Level guarded: the control plane may add and change contracts, schedules, exclusions and retention, run backups, checks and restores.",
    "New places to keep backups, new hooks and commands, protected files, and restores that remove something wait for root.",
  ],
  ask: ["Level ask: everything that the control plane wants and did not have before waits for root."],
  open: [
    "Level open: the control plane may do everything that this policy does not forbid. Whoever has it is root here.",
  ],
} as const;

const RESTORES = {
  off: "The control plane orders no restores.",
  staging: "Restores that the control plane orders go to a directory of their own.",
  "in-place": "Restores may go to where the files were, or to a directory of their own; never into a protected place.",
} as const;

function hooksLine({ hooks, hookNames, level }: Policy): string {
  if (hooks === "off") return "No hooks run.";
  if (hooks === "inline") return "Hooks run, also as shell that the control plane writes.";
  if (hookNames !== null) return `Only these hooks run: ${hookNames.length === 0 ? "none" : hookNames.join(", ")}.`;
  return level === "open"
    ? "Hooks of hooks.d run, by name."
    : "Hooks of hooks.d run by name, once root has granted them.";
}

function listLine(list: readonly string[] | null, what: string, all: string): string {
  if (list === null) return `${what}: ${all}.`;
  return list.length === 0 ? `${what}: nothing.` : `${what}: only ${list.join(", ")}.`;
}

function outgoingLine({ outgoing, level }: Policy): string {
  if (outgoing === "off") return "No notifications and no pings are sent from here.";
  if (outgoing === "public" || (outgoing === null && level === "open"))
    return "Notifications and pings are sent to public addresses.";
  if (outgoing === null) return "Notifications and pings are sent where root grants it.";
  return listLine(outgoing, "Notifications and pings are sent to", "");
}
