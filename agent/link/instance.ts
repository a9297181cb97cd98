import { randomUUID } from "node:crypto";
import * as z from "zod";
import { type AgentInstance, MAX_EARLIER } from "../../shared/instance.ts";
import type { Paths } from "../config.ts";
import { peekState, readState, writeState } from "../system/state-file.ts";

/** Ids of the agent's processes, the newest last. It begins with the last one that the control plane knows. */
const Instances = z.object({ ids: z.array(z.string()).max(64) });

/** This process, as requests name it: so that a copy of this machine's disk is noticed. */
export interface OwnInstance extends AgentInstance {
  /** The control plane has answered, so it knows this process: those before are forgotten. */
  confirm(): Promise<void>;
}

/**
 * Makes the id of this process. Written before it is used, so that the next process can say that it came after it, even
 * if the control plane's answer was lost. Where nothing can be written, it goes by the id of the process before.
 */
export async function startInstance({ instanceFile }: Pick<Paths, "instanceFile">): Promise<OwnInstance> {
  const earlier = ((await readState(instanceFile, Instances))?.ids ?? []).slice(-MAX_EARLIER);
  const fresh = randomUUID();
  const isWritten = await tryWrite(instanceFile, [...earlier, fresh]);
  const id = isWritten ? fresh : (earlier.at(-1) ?? fresh);
  let isConfirmed = false;
  return {
    id,
    after: earlier.filter((one) => one !== id),
    async confirm() {
      if (!isConfirmed) isConfirmed = await tryWrite(instanceFile, [id]);
    },
  };
}

/** A full disk keeps no agent from its work. */
async function tryWrite(file: string, ids: string[]): Promise<boolean> {
  return await writeState(file, { ids }).then(
    () => true,
    () => false,
  );
}

/** The newest process of this host's daemon, for a command that speaks in its name; null: none ran yet. */
export async function readInstance({ instanceFile }: Pick<Paths, "instanceFile">): Promise<AgentInstance | null> {
  const found = await peekState(instanceFile, Instances);
  const ids = typeof found === "object" ? found.value.ids : [];
  const id = ids.at(-1);
  return id === undefined ? null : { id, after: ids.slice(-1 - MAX_EARLIER, -1) };
}
