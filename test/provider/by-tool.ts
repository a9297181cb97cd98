import { randomBytes } from "node:crypto";
import { readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SettingsInput } from "../../shared/binding.ts";
import type { EngineHost, Work } from "../engine/engine-host.ts";
import type { FoundEngine } from "../support/engines.ts";

/** What the suite has to know of a tool beyond what the provider's interface says. */
export interface ToolFacts {
  /** The command that stores, as it stands in the process list. */
  readonly store: string;
  readonly init: readonly string[];
  /** A command that has the repository for itself for a while. */
  readonly hold: readonly string[];
  /** A place where nobody answers. */
  readonly unreachable: string;
  /** What a repository of the tool has in its directory, without being enough of it. */
  readonly part: string;
  /** The locks in the host's local repository. */
  locks(host: EngineHost): Promise<string[]>;
  /** The ids of all that is stored, of whomever. */
  ids(host: EngineHost, work: Work): string[];
  /** The paths in the newest snapshot. */
  paths(host: EngineHost, work: Work): string[];
  /** Makes sources that take long to store. @returns the settings it needs for that */
  slow(host: EngineHost): Promise<SettingsInput>;
  /** What every call has in it when uploads are limited to 2048 KiB/s, downloads to 1024. */
  readonly limits: readonly string[];
  /** What a run's log says of limits in vain. */
  readonly limitsNotKept: readonly string[];
  /** A shell's line that says what the tool would say if it had stored what it has not. */
  readonly lie: string;
}

export const BY_TOOL: Record<FoundEngine["provider"], ToolFacts> = {
  restic: {
    store: "backup",
    init: ["init"],
    hold: ["check", "--read-data", "--limit-download", "8"],
    unreachable: "rest:http://127.0.0.1:1/nas",
    part: "keys",
    // Under another name it is still being written.
    locks: async (host) =>
      (await readdir(join(host.root, "srv/repository/locks")).catch(() => [])).filter((name) =>
        /^[0-9a-f]{64}$/.test(name),
      ),
    ids: (host, work) => (JSON.parse(host.byHand(work, "snapshots", "--json")) as { id: string }[]).map(({ id }) => id),
    paths: (host, work) => host.byHand(work, "ls", "latest").split("\n"),
    async slow(host) {
      await writeFile(await host.write("data/slow/file", ""), randomBytes(8_000_000));
      return { limitUploadKiBs: 1500 };
    },
    limits: ["--limit-upload 2048", "--limit-download 1024"],
    limitsNotKept: [],
    lie: `echo '{"message_type":"summary","snapshot_id":"00000000","total_files_processed":3}'`,
  },
  borg: {
    store: "create",
    init: ["init", "--encryption", "none"],
    hold: ["with-lock", "::", "sleep", "300"],
    unreachable: "ssh://127.0.0.1:1/nas",
    part: "data",
    locks: async (host) =>
      (await readdir(join(host.root, "srv/repository")).catch(() => [])).filter((name) => name.startsWith("lock.")),
    ids: (host, work) => archivesOf(host, work).map(({ id }) => id),
    paths(host, work) {
      const newest = archivesOf(host, work).at(-1)?.name ?? "";
      const paths = host.byHand(work, "list", "--short", `::${newest}`).split("\n");
      return paths.map((path) => `/${path}`);
    },
    // It can't be slowed down on the host's own disk. Many files: it stops between two only.
    async slow(host) {
      for (let index = 0; index < 200; index++) await truncate(await host.write(`data/slow/${index}`, ""), 2 ** 28);
      return {};
    },
    limits: ["--upload-ratelimit 2048"],
    limitsNotKept: ["limitUploadKiBs does nothing", "limitDownloadKiBs does nothing"],
    lie: `echo '{"archive":{"stats":{"nfiles":3,"original_size":3,"deduplicated_size":3}}}'`,
  },
};

function archivesOf(host: EngineHost, work: Work): { id: string; name: string }[] {
  return JSON.parse(host.byHand(work, "list", "--json", "--consider-checkpoints")).archives;
}
