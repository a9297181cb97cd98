import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The test files that take the most time, the longest first, each more than a tenth of a minute. */
const LONG = [
  "contract/seed-borg",
  "provider/borg-newest",
  "provider/borg-oldest",
  "contract/seed-restic",
  "provider/remote",
  "engine/retention",
  "provider/restic-newest",
  "provider/restic-between",
  "engine/restore",
  "provider/restic-oldest",
  "catalog/services",
  "consistency/server",
  "faults/agent-killed",
  "consistency/dump",
  "contract/untested",
  "engine/fidelity",
  "takeover/restore-race",
  "takeover/storage",
  "takeover/restore-places",
  "takeover/kept-aside",
  "takeover/canaries",
  "takeover/rotation",
  "takeover/recovery-kit",
  "takeover/rotate-passphrase",
  "takeover/deletion",
  "takeover/append-only",
  "takeover/exec",
  "upkeep/upkeep",
  "engine/recover",
  "worker/workerd",
  "engine/restore-target",
  "agent/cli",
  "contract/seed-database",
  "fuzz/fuzz",
  "agent/declared-story",
  "agent/restore-other-host",
  "faults/disk-full",
  "upkeep/whole",
  "agent/daemon",
  "engine/policy",
  "faults/wire",
  "pattern/differential",
  "consistency/sqlite",
  "engine/secrets",
  "boundaries/references",
  "retention/differential",
  "engine/backup",
  "takeover/dumps",
  "takeover/sealed",
  "story",
  "install/own-root",
  "install/machine",
  "node/restore-control",
];

/**
 * Starts the long files first, so that none of them is left running alone at the end: what Vitest itself remembers of
 * durations a fresh clone has not. A file that is not in the list comes after those that are; a wrong order costs time
 * only.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const index = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return index === -1 ? LONG.length : index;
    };
    return (await super.sort(files)).toSorted((one, other) => place(one) - place(other));
  }
}
