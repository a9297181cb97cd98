import type { Paths } from "../../config.ts";

export interface UnitInput {
  readonly paths: Pick<Paths, "root" | "handOverDir">;
  /** How the agent itself is started. */
  readonly command: readonly string[];
  /** The user of the unit: the agent's own. */
  readonly user: string;
}

/**
 * One backup, as systemd starts it. Its arguments: the directory in which the agent hands the run over, and the command
 * that does the backup without the agent. A FIFO that nobody holds open any more reads as ended, so an agent that is
 * gone is never waited for. See hand-over.ts for the other side.
 */
const SCRIPT = `cd "$1" 2>/dev/null && [ -p log ] && command exec 3<>log && command exec 4<log && exec 3>&- &&
echo $$ >pid && mv pid attached && read -r answer <&4 || { cd / && shift && exec "$@" 3>&- 4<&-; };
trap ": >stop" INT TERM; cat <&4 & while kill -0 $! 2>/dev/null; do wait $!; done;
[ -s status ] && read -r status <status && exit "$status";
echo "the agent ended before this backup did: when it runs again, it finishes what is left"; exit 1`;

/**
 * The unit that all bindings of this host share. The agent does the work, and hands its log and end over; without the
 * agent, the unit does it alone. Status 3 is a success with warnings: a usable snapshot exists. 4 is a backup that was
 * cancelled or put off: nothing failed.
 */
export function unitText({ paths, command, user }: UnitInput): string {
  const isMachine = paths.root === "/";
  const agent = [...command.map(quoteForUnit), "backup %i"].join(" ");
  const root = isMachine ? "" : `Environment=${quoteForUnit(`HOLDFAST_AGENT_ROOT=${paths.root}`)}\n`;
  const start = isMachine
    ? `/bin/sh -c ${quoteForUnit(SCRIPT).replaceAll("\n", " \\\n  ")} holdfast-backup \\\n  ${paths.handOverDir}/%i ${agent}`
    : agent;
  return `[Unit]
Description=Holdfast backup of %i
# Only for the order at a shutdown: a backup without a network need not wait for one.
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
User=${user}
${root}ExecStart=${start}
SuccessExitStatus=3 4
# Stopped, it is cancelled in order: the engine's lock is removed, the after hooks run, the report is stored. Whoever
# does the work ends what it has started, and a service that a hook started lives on.
KillMode=process
# A program of the run that the kernel ended for its memory fails the run.
OOMPolicy=continue
TimeoutStartSec=infinity
TimeoutStopSec=150
UMask=0077
`;
}

/** Whether a run can be handed over to the unit with this text. */
export function canBeHandedOver(text: string, { handOverDir }: Pick<Paths, "handOverDir">): boolean {
  return text.includes(`${handOverDir}/%i`);
}

/** systemd expands % and $ inside quotes too. */
function quoteForUnit(text: string): string {
  const escaped = text.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$");
  return `"${escaped}"`;
}
