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
import { listEveryArchive, listSnapshots } from "./snapshots.ts";
import { BORG } from "./version.ts";
import { findEngine, requireEngine } from "../engine-version.ts";
import type { Provider } from "../provider.ts";

/** borg 1.2 and 1.4. */
export const borg: Provider = {
  find: () => findEngine(BORG),

  async open(access, { mayCreate }) {
    const runner = await prepareBorg(await requireEngine(BORG), access);
    const engineId = await ensureBorgRepository(runner, { mayCreate });
    return {
      engineId,
      backup: (input) => backup(runner, input),
      snapshots: () => listSnapshots(runner),
      everySnapshot: () => listEveryArchive(runner),
      forget: (snapshots) => forget(runner, snapshots),
      contents: () => borgContents(runner),
      dump: (input) => dump(runner, input),
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
