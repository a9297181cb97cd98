// The layers of each program, from the bottom up: the one place where they are listed. docs/architecture.md shows the
// same picture. A folder stands for all that is in it, but what has a line of its own. Names on one line don't import
// each other.

export interface Program {
  readonly name: string;
  readonly layers: readonly (readonly string[])[];
  /** Imports that climb all the same, each with its reason. */
  readonly exceptions: readonly { readonly from: string; readonly to: string; readonly why: string }[];
}

export const PROGRAMS: readonly Program[] = [
  {
    name: "agent",
    layers: [
      ["version", "redact", "run-error"],
      ["system"],
      ["config", "run-log"],
      ["systemctl"],
      ["state"],
      ["policy"],
      ["link"],
      ["declared"],
      ["in-force"],
      ["detect"],
      ["providers"],
      ["consistency"],
      ["run"],
      ["restore"],
      ["backup"],
      ["upkeep"],
      ["runs", "recover"],
      ["daemon"],
      ["cli"],
      ["main"],
    ],
    exceptions: [],
  },
  {
    name: "control",
    layers: [
      ["db"],
      ["deps"],
      ["keys"],
      ["auth", "catalog", "hub"],
      ["notify"],
      ["domain"],
      ["domain/incidents", "domain/notifications"],
      ["domain/lateness"],
      ["domain/hosts"],
      ["domain/contracts"],
      ["domain/declared", "domain/runs"],
      ["domain/reports", "domain/watch", "domain/service"],
      ["heartbeat", "tick"],
      ["routes"],
      ["app"],
      ["runtime/node", "runtime/worker"],
      ["cli"],
    ],
    exceptions: [],
  },
];
