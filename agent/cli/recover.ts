import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { messageOf } from "../../shared/error-message.ts";
import type { RepositoryAccess } from "../../shared/escrow.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { type Arguments, EXIT, UsageError } from "../../shared/node/arguments.ts";
import { namesIn } from "../../shared/node/files.ts";
import { readKit } from "../../shared/node/recovery-kit.ts";
import { AssignedRepositorySpec } from "../../shared/repository.ts";
import { agentPaths, type Paths } from "../config.ts";
import type { ScopedSnapshot } from "../providers/provider.ts";
import { chooseSnapshot } from "../restore/snapshot.ts";
import { failureOf } from "../run-error.ts";
import type { CliDeps } from "./deps.ts";
import type { Verb } from "./verb.ts";
import { openWithoutHost, restoreInto } from "./without-host.ts";

/** Restores from a repository with nothing but the recovery kit: no control plane, no host that knew it. */
export const recover: Verb = {
  name: "recover",
  help: {
    usage: `recover --kit FILE [--check] [--repository NAME] [--location L] [--snapshot ID --target DIR [--include PATH…]]
          [--ssh-key FILE] [--ca FILE]`,
    summary: "with the recovery kit alone, on any machine: open its repositories, list snapshots, restore one to DIR",
  },
  takes: {
    flags: ["check"],
    texts: ["kit", "repository", "location", "snapshot", "target", "ssh-key", "ca"],
    lists: ["include"],
    restInto: "include",
  },
  async run(deps, given) {
    const wanted = given.text("kit");
    if (wanted === undefined) throw new UsageError("--kit is missing");
    const kit = readKit(await readKitText(wanted));
    if (given.flag("check")) return await checkAll(deps, given, kit.repositories);
    const chosen = choose(kit.repositories, given);
    if (chosen === null) {
      for (const { name, provider, location } of kit.repositories) deps.out(`${name}  ${provider}  ${location}\n`);
      deps.log("Give --repository NAME for its snapshots; --location L when it is somewhere else now.");
      return EXIT.done;
    }
    return await withEmptyState(async (paths) => await recoverFrom({ ...deps, paths }, given, chosen));
  },
};

/** Opens each repository. The exit status says whether all could be. */
async function checkAll(deps: CliDeps, given: Arguments, repositories: readonly RepositoryAccess[]): Promise<number> {
  let isWhole = true;
  for (const access of repositories) {
    try {
      const count = await withEmptyState(async (paths) => {
        const opened = await open({ ...deps, paths }, given, access);
        return (await opened.repository.everySnapshot()).length;
      });
      deps.out(`ok    ${access.name}: opens at ${access.location}, ${count} snapshots\n`);
    } catch (error) {
      isWhole = false;
      deps.out(`fail  ${access.name}: ${failureOf(error).message}\n`);
    }
  }
  return isWhole && repositories.length > 0 ? EXIT.done : EXIT.failed;
}

async function recoverFrom(deps: CliDeps, given: Arguments, access: RepositoryAccess): Promise<number> {
  const wanted = given.text("snapshot");
  const target = given.text("target");
  if ((wanted === undefined) !== (target === undefined)) throw new UsageError("give --snapshot and --target together");
  if (target !== undefined && (await namesIn(target)).length > 0) throw new UsageError(`${target} is not empty`);
  const opened = await open(deps, given, access);
  const snapshots = await opened.repository.everySnapshot();
  if (wanted === undefined || target === undefined) {
    for (const snapshot of snapshots) deps.out(`${lineOf(snapshot)}\n`);
    return EXIT.done;
  }
  const { id } = chooseSnapshot(snapshots, { wanted, binding: `any in ${access.name}` });
  const { scope } = snapshots.find((one) => one.id === id) ?? { scope: opened.access.scope };
  const scoped = await openWithoutHost(deps, { ...opened.access, scope });
  const include = given.list("include");
  const { into, stats, warnings } = await restoreInto(deps, scoped, { snapshot: id, target, include, isNamed: true });
  deps.out(`${stats.filesRestored ?? "all"} files of snapshot ${id.slice(0, 8)} are in ${into}\n`);
  return warnings.length > 0 ? EXIT.warned : EXIT.done;
}

function lineOf({ id, takenAt, scope, paths }: ScopedSnapshot): string {
  return `${id.slice(0, 12)}  ${takenAt}  host ${scope.host}, binding ${scope.binding}  ${paths.join(" ")}`;
}

/** @returns null when the kit has several, and none was named */
function choose(repositories: readonly RepositoryAccess[], given: Arguments): RepositoryAccess | null {
  const [name, location] = [given.text("repository"), given.text("location")];
  const fitting = repositories.filter((one) =>
    name === undefined ? location === undefined || one.location === location : one.name === name,
  );
  const [found, another] = fitting;
  if (found !== undefined && another === undefined) return location === undefined ? found : { ...found, location };
  if (name === undefined && location === undefined) return null;
  throw new UsageError(
    found === undefined
      ? `the kit has no such repository; it has: ${repositories.map((one) => one.name).join(", ")}`
      : "several repositories of the kit fit: give --repository NAME and --location L",
  );
}

async function open(
  deps: CliDeps,
  given: Arguments,
  { passphrase, secrets: env, hostKey, ...known }: RepositoryAccess,
): ReturnType<typeof openWithoutHost> {
  const id = uuidv7(deps.clock.now(), deps.random(10));
  const repository = AssignedRepositorySpec.parse({
    ...known,
    id,
    passphrase: { generate: true },
    ssh: { hostKey, identityFile: given.text("ssh-key") ?? null },
    caFile: given.text("ca") ?? null,
    existing: true,
  });
  const secrets = { passphrase, env };
  return await openWithoutHost(deps, {
    repository,
    secrets,
    scope: { host: id, binding: id },
    signal: deps.stopSignal(),
  });
}

/** What the engines keep goes away again: this machine need not be a host. */
async function withEmptyState<T>(work: (paths: Paths) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-recover-"));
  try {
    return await work(agentPaths(directory));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function readKitText(file: string): Promise<string> {
  if (file === "-") return await text(process.stdin);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`--kit ${file} can't be read: ${messageOf(error)}`);
  }
}
