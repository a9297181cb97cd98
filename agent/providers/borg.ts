import { backup } from "./borg-backup.ts";
import { check } from "./borg-check.ts";
import { prepareBorg } from "./borg-command.ts";
import { dump, load } from "./borg-dump.ts";
import { forget } from "./borg-forget.ts";
import { releaseDeadLocks } from "./borg-locks.ts";
import { prune } from "./borg-prune.ts";
import { identifyBorg } from "./borg-repository.ts";
import { borgContents } from "./borg-restore.ts";
import { listSnapshots } from "./borg-snapshots.ts";
import { BORG } from "./borg-version.ts";
import { findEngine, requireEngine } from "./engine-version.ts";
import type { Provider } from "./provider.ts";

/** borg 1.2 and 1.4. */
export const borg: Provider = {
  find: () => findEngine(BORG),

  async open(access, { mayCreate }) {
    const runner = await prepareBorg(await requireEngine(BORG), access);
    const engineId = await identifyBorg(runner, { mayCreate });
    return {
      engineId,
      backup: (input) => backup(runner, input),
      snapshots: () => listSnapshots(runner),
      forget: (snapshots) => forget(runner, snapshots),
      contents: () => borgContents(runner),
      dump: (input) => dump(runner, input),
      load: (input) => load(runner, input),
      prune: () => prune(runner),
      check: (input) => check(runner, input),
      releaseDeadLocks: (dead) => releaseDeadLocks(runner, dead),
    };
  },

  async exec(access, args) {
    const runner = await prepareBorg(await requireEngine(BORG), access);
    return await runner.callInherited(args);
  },
};
