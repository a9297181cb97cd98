import type { Consistency } from "../../shared/consistency.ts";
import { containerProgram, type CommandContext, runCommand, requireProgram, stateOfContainer } from "./run-command.ts";
import { runError } from "../run-error.ts";
import type { ResumeCommand } from "../state/spool-entry.ts";

/** A unit or container that is stopped or paused during a backup. */
export interface Halt {
  readonly name: string;
  readonly command: readonly string[];
  /** The command that starts or unpauses it again. */
  readonly resumption: ResumeCommand;
}

/** What has to be halted, in order. Only what is running now: a stopped service stays stopped. */
export async function findHalts(context: CommandContext, entries: readonly Consistency[]): Promise<Halt[]> {
  const halts: Halt[] = [];
  for (const entry of entries) {
    if ("stop" in entry) halts.push(...(await unitHalt(context, entry.stop)));
    if ("pause" in entry) halts.push(...(await containerHalt(context, entry.pause)));
  }
  return halts;
}

export async function halt(context: CommandContext, { name, command }: Halt): Promise<void> {
  context.log.line(`${name} is stopped`);
  await runCommand(context, { what: `stopping ${name}`, command });
}

/** Starts or unpauses what was halted. @throws `consistency.failed` */
export async function resume(context: CommandContext, { name, command }: ResumeCommand): Promise<void> {
  context.log.line(`${name} is started again`);
  await runCommand(context, { what: `starting ${name} again`, command });
}

async function unitHalt(context: CommandContext, unit: string): Promise<Halt[]> {
  const systemctl = await requireProgram("systemctl");
  const lines = await runCommand(context, {
    what: `asking for the state of ${unit}`,
    command: [systemctl, "show", "--property=LoadState,ActiveState", unit],
  });
  if (lines.includes("LoadState=not-found")) throw runError("consistency.failed", `there is no unit ${unit} here`);
  if (!lines.some((line) => /^ActiveState=(active|activating|reloading)$/.test(line))) return [];
  return [
    { name: unit, command: [systemctl, "stop", unit], resumption: { name: unit, command: [systemctl, "start", unit] } },
  ];
}

async function containerHalt(context: CommandContext, container: string): Promise<Halt[]> {
  const program = await containerProgram(context, container);
  if ((await stateOfContainer(context, { program, container })) !== "running") return [];
  const name = `container ${container}`;
  const resumption = { name, command: [program, "unpause", container] };
  return [{ name, command: [program, "pause", container], resumption }];
}
