import { backup } from "./backup.ts";
import { check } from "./check.ts";
import { prepareBorg } from "./command.ts";
import { dump, load } from "./dump.ts";
import { forget } from "./forget.ts";
import { removeStaleLocks } from "./locks.ts";
import { addPassphrase } from "./passphrase.ts";
import { prune } from "./prune.ts";
import { ensureBorgRepository } from "./repository.ts";
import { borgContents } from "./restore.ts";
import { listArchives, listEveryArchive, withoutName } from "./snapshots.ts";
import { BORG } from "./version.ts";
import { findEngine, requireEngine } from "../engine-version.ts";
import type { Provider } from "../provider.ts";
import { listOnce, openMemory } from "../recall.ts";

/** borg 1.2 and 1.4. */
export const borg: Provider = {
  find: () => findEngine(BORG),

  async open(access, { mayCreate, recall = "none" }) {
    const engine = await requireEngine(BORG);
    const runner = await prepareBorg(engine, access);
    const look = () => ensureBorgRepository(runner, { mayCreate });
    const memory = await openMemory(access, { engine, mode: recall, look });
    const work = { runner, memory };
    const { list, takeListed } = listOnce(memory, () => listArchives(runner));
    return {
      engineId: memory.engineId,
      backup: (input) => backup(work, input),
      snapshots: async () => (await list()).map(withoutName),
      everySnapshot: () => listEveryArchive(runner),
      forget: async (snapshots) => forget(work, { listed: await takeListed(), unwanted: snapshots }),
      contents: () => borgContents(runner),
      dump: (input) => dump(work, input),
      load: (input) => load(runner, input),
      prune: () => prune(runner),
      check: (input) => check(runner, input),
      addPassphrase: (passphrase) => addPassphrase(runner, passphrase),
      // Its key has one passphrase.
      dropPassphrase: async () => undefined,
      removeStaleLocks: (dead) => removeStaleLocks(runner, dead),
    };
  },

  async exec(access, args) {
    const runner = await prepareBorg(await requireEngine(BORG), access);
    return await runner.callInherited(args);
  },
};
