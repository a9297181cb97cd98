import { setPriority } from "node:os";
import type { Performance } from "../../../shared/binding.ts";

const CLASSES = { realtime: 1, "best-effort": 2, idle: 3 } as const;

/** Sets a child's niceness before it does anything. A user who may not gets its backup all the same. */
export function setNiceness(pid: number, { niceness }: Performance): void {
  try {
    setPriority(pid, niceness);
  } catch {
    // It has ended already, or this user may not.
  }
}

/**
 * What a child's shell does to its own I/O priority; "" when it has the wanted one anyway, as with the default
 * settings. Only a program can set it, and a host without that program still gets its backup.
 * @param own the agent's own, as ionice shows it; "" when it is not known
 */
export function ioPriorityCommand(wanted: Performance, own: string): string {
  const { ioSchedulingClass, ioPriority } = wanted;
  if (inherited(own, wanted) === priorityOf(ioSchedulingClass, ioPriority)) return "";
  const level = ioPriority === null || ioSchedulingClass === "idle" ? "" : ` -n ${ioPriority}`;
  return `ionice -c ${CLASSES[ioSchedulingClass]}${level} -p $$ >/dev/null 2>&1; `;
}

/** ionice's level for a class that is given without one. */
const MIDDLE = 4;

function priorityOf(name: string, level: number | null): string {
  return name === "idle" ? "idle" : `${name}: prio ${level ?? MIDDLE}`;
}

/** What a child with that niceness has. Without a class of its own, it goes by the niceness. */
function inherited(own: string, { niceness }: Performance): string {
  return own.startsWith("none") ? priorityOf("best-effort", Math.floor((niceness + 20) / 5)) : own;
}
