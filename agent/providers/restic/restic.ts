import { backup } from "./backup.ts";
import { check } from "./check.ts";
import { prepareRestic } from "./command.ts";
import { dump, load } from "./dump.ts";
import { forget } from "./forget.ts";
import { removeStaleLocks } from "./locks.ts";
import { addPassphrase, dropPassphrase } from "./passphrase.ts";
import { prune } from "./prune.ts";
import { ensureResticRepository } from "./repository.ts";
import { resticContents } from "./restore.ts";
import { listEverySnapshot, listSnapshots } from "./snapshots.ts";
import { RESTIC } from "./version.ts";
import { findEngine, requireEngine } from "../engine-version.ts";
import type { Provider } from "../provider.ts";
import { listOnce, openMemory } from "../recall.ts";

/** restic 0.14 and newer. */
export const restic: Provider = {
  find: () => findEngine(RESTIC),

  async open(access, { mayCreate, recall = "none" }) {
    const engine = await requireEngine(RESTIC);
    const runner = await prepareRestic(engine, access);
    const look = () => ensureResticRepository(runner, { mayCreate });
    const memory = await openMemory(access, { engine, mode: recall, look });
    const work = { runner, memory };
    const { list, takeListed } = listOnce(memory, () => listSnapshots(runner));
    return {
      engineId: memory.engineId,
      backup: (input) => backup(work, input),
      snapshots: list,
      everySnapshot: () => listEverySnapshot(runner),
      forget: async (snapshots) => forget(work, { before: await takeListed(), unwanted: snapshots }),
      contents: () => resticContents(runner),
      dump: (input) => dump(work, input),
      load: (input) => load(runner, input),
      prune: () => prune(runner),
      check: (input) => check(runner, input),
      addPassphrase: (passphrase) => addPassphrase(runner, passphrase),
      dropPassphrase: (passphrase) => dropPassphrase(runner, passphrase),
      removeStaleLocks: (dead) => removeStaleLocks(runner, dead),
    };
  },

  async exec(access, args) {
    const runner = await prepareRestic(await requireEngine(RESTIC), access);
    return await runner.callInherited(args);
  },
};
