import { join } from "node:path";
import type { AssignedBinding } from "../../shared/assignment.ts";
import { resultOf } from "../../shared/result.ts";
import type { Paths } from "../config.ts";
import { unitText } from "./units/unit-file.ts";

/** One file of a binding's result (script or unit), as it should be. */
export interface ResultFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

/** In every file the agent manages here. A file without it belongs to somebody else. */
const MARKER = "# Kept by holdfast-agent: changes here are lost.";

export function isManaged(text: string): boolean {
  return text.split("\n", 2).includes(MARKER);
}

/** A unit managed by somebody else (the NixOS module, say) that does the same as ours. */
export function isEquivalentUnit(text: string): boolean {
  return /^ExecStart=.*holdfast-agent"? backup %i$/m.test(text.replaceAll("\\\n", ""));
}

interface Input {
  readonly paths: Paths;
  readonly bindings: readonly AssignedBinding[];
  /** How the agent itself is started. */
  readonly command: readonly string[];
  /** The user of the units: the agent's own. */
  readonly user: string;
}

/** The restore script of each binding, enabled or not, and the one unit they share. */
export function resultFiles(input: Input): ResultFile[] {
  const scripts = input.bindings.map((binding) => ({
    path: join(input.paths.scriptsDir, resultOf(binding.name).restoreScript),
    text: scriptOf(input, binding),
    mode: 0o755,
  }));
  return [...scripts, { path: input.paths.backupUnit, text: `${MARKER}\n${unitText(input)}`, mode: 0o644 }];
}

/** Uses the binding's id, so that a binding that later gets this name is never meant. */
function scriptOf({ paths, command }: Input, binding: AssignedBinding): string {
  const agent = command.map(quote).join(" ");
  const root = paths.root === "/" ? "unset HOLDFAST_AGENT_ROOT" : `export HOLDFAST_AGENT_ROOT=${quote(paths.root)}`;
  return `#!/bin/sh
${MARKER}
# Manages the backups of the binding ${binding.name}, even when its schedule is off or the control plane is down.
set -eu
${root}

usage() {
  echo "$0 snapshots"
  echo "$0 backup"
  echo "$0 restore <snapshot>"
  echo "$0 exec <arg> [<args>...]"
}

if [ -z "\${1-}" ]; then
  usage
  exit 0
fi
verb=$1
shift
case "$verb" in
  snapshots | backup)
    exec ${agent} "$verb" ${binding.id} "$@"
    ;;
  restore)
    if [ -z "\${1-}" ]; then
      echo "$0: restore which snapshot? '$0 snapshots' lists them, oldest first" >&2
      exit 1
    fi
    exec ${agent} restore ${binding.id} "$@"
    ;;
  exec)
    exec ${agent} exec ${binding.id} -- "$@"
    ;;
  *)
    usage
    exit 1
    ;;
esac
`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
