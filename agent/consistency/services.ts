import type { Consistency } from "../../shared/consistency.ts";
import { containerProgram, type Doing, perform, requireProgram, stateOfContainer } from "./run.ts";
import { runError } from "../run-error.ts";
import type { Resumption } from "../state/spool-entry.ts";

/** A unit or a container that stands still while a backup runs. */
export interface Halt {
  readonly name: string;
  readonly command: readonly string[];
  /** What sets it going again. */
  readonly resumption: Resumption;
}

/** What has to be halted, in order, of what is running now: what stands still already stays as it is. */
export async function findHalts(doing: Doing, entries: readonly Consistency[]): Promise<Halt[]> {
  const halts: Halt[] = [];
  for (const entry of entries) {
    if ("stop" in entry) halts.push(...(await unitHalt(doing, entry.stop)));
    if ("pause" in entry) halts.push(...(await containerHalt(doing, entry.pause)));
  }
  return halts;
}

export async function halt(doing: Doing, { name, command }: Halt): Promise<void> {
  doing.log.line(`${name} is halted`);
  await perform(doing, { what: `halting ${name}`, command });
}

/** Sets going what was halted. Throws `consistency.failed` */
export async function resume(doing: Doing, { name, command }: Resumption): Promise<void> {
  doing.log.line(`${name} is set going again`);
  await perform(doing, { what: `setting ${name} going again`, command });
}

async function unitHalt(doing: Doing, unit: string): Promise<Halt[]> {
  const systemctl = await requireProgram("systemctl");
  const lines = await perform(doing, {
    what: `asking for the state of ${unit}`,
    command: [systemctl, "show", "--property=LoadState,ActiveState", unit],
  });
  if (lines.includes("LoadState=not-found")) throw runError("consistency.failed", `there is no unit ${unit} here`);
  if (!lines.some((line) => /^ActiveState=(active|activating|reloading)$/.test(line))) return [];
  return [
    { name: unit, command: [systemctl, "stop", unit], resumption: { name: unit, command: [systemctl, "start", unit] } },
  ];
}

async function containerHalt(doing: Doing, container: string): Promise<Halt[]> {
  const program = await containerProgram(doing, container);
  if ((await stateOfContainer(doing, { program, container })) !== "running") return [];
  const name = `container ${container}`;
  const resumption = { name, command: [program, "unpause", container] };
  return [{ name, command: [program, "pause", container], resumption }];
}
