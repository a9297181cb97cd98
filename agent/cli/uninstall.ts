import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AssignedRepository } from "../../shared/assignment.ts";
import { loadAssignment } from "../link/assignments.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { CliDeps } from "./deps.ts";
import { readConfig } from "../config.ts";
import { readDaemonState } from "../daemon/claim.ts";
import { namesIn } from "../../shared/node/files.ts";
import { installedResultFiles } from "../daemon/scripts.ts";
import type { Verb } from "./verb.ts";
import { removeAll } from "../system/remove-all.ts";
import { isUnderSystemd, systemctl } from "../systemctl.ts";

const UNIT_NAME = "holdfast-agent.service";

export const uninstall: Verb = {
  name: "uninstall",
  help: { usage: "uninstall [--yes]", summary: "take the agent off this machine" },
  takes: { flags: ["yes"] },
  run: async (deps, given) => await uninstallAgent(deps, { yes: given.flag("yes") }),
};

/**
 * Removes the agent from this machine, with everything install.sh has installed. Repositories are not touched.
 * @param input without `yes` it only lists what would be removed
 * @returns the exit status
 */
async function uninstallAgent(deps: CliDeps, input: { yes: boolean }): Promise<number> {
  const { paths } = deps;
  const own = [paths.binary, paths.unit, paths.etc, paths.state, paths.cache, paths.runtime].filter((path) =>
    existsSync(path),
  );
  const installed = [...own, ...(await installedResultFiles(paths))];
  if (installed.length === 0) {
    deps.out("nothing of the Holdfast agent is installed here\n");
    return EXIT.done;
  }
  const repositories = await knownRepositories(deps);
  const inside = repositories
    .map(({ location }) => location)
    .filter((location) => existsSync(location) && installed.some((path) => `${location}/`.startsWith(`${path}/`)));
  if (inside.length > 0) {
    deps.log(`a repository lies in what would be removed: move it away first: ${inside.join(", ")}`);
    return EXIT.failed;
  }
  const passphrases = (await namesIn(paths.secretsDir)).map((name) => join(paths.secretsDir, name));
  deps.out(`${input.yes ? "removing" : "this would remove"}:\n${installed.map((path) => `  ${path}\n`).join("")}`);
  if (passphrases.length > 0) {
    deps.out(
      "with these passphrases, which were made on this host and are nowhere else. Without them nobody can read the repositories:\n" +
        passphrases.map((path) => `  ${describePassphraseFile(path, repositories)}\n`).join(""),
    );
  }
  if (!input.yes) {
    deps.out("Copy what you still need, then run 'holdfast-agent uninstall --yes'. Repositories stay as they are.\n");
    return EXIT.usage;
  }
  const isService = existsSync(paths.unit) && isUnderSystemd(paths);
  if (isService) {
    const trouble = await systemctl(paths, ["disable", "--now", UNIT_NAME]);
    if (trouble !== null) {
      deps.log(trouble);
      return EXIT.failed;
    }
  }
  const daemon = await readDaemonState(paths);
  if (daemon !== null) {
    deps.log(`the agent still runs as process ${daemon.process.pid}: stop it, then run this again`);
    return EXIT.failed;
  }
  for (const path of installed) await removeAll(path);
  if (isUnderSystemd(paths)) {
    const trouble = await systemctl(paths, ["daemon-reload"]);
    if (trouble !== null) deps.log(trouble);
  }
  deps.out("removed. The control plane still lists this host: revoke it there.\n");
  return EXIT.done;
}

async function knownRepositories(deps: CliDeps): Promise<AssignedRepository[]> {
  const config = await readConfig(deps.paths);
  const assignment = config === null ? null : await loadAssignment({ ...deps, config });
  return assignment?.repositories ?? [];
}

/** Files of generated passphrases are named by their repository's id; people know its name and location. */
function describePassphraseFile(path: string, repositories: readonly AssignedRepository[]): string {
  const repository = repositories.find(({ id }) => path.includes(id));
  return repository === undefined ? path : `${path} (${repository.name}, ${repository.location})`;
}
