import { uuidv7 } from "../../shared/ids.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { readConfig } from "../config.ts";
import { replaceHostKey } from "../link/host-key.ts";
import { openRunLog } from "../run-log.ts";
import { rotatePassphrase } from "../upkeep/rotate-passphrase.ts";
import type { CliDeps } from "./deps.ts";
import { loadHostContext } from "./host.ts";
import type { Verb } from "./verb.ts";

/** Replaces a secret of this host by a new one; what is cut off is finished by running it again. */
export const rotate: Verb = {
  name: "rotate",
  help: {
    usage: "rotate key | rotate passphrase REPOSITORY",
    summary: "give this host a new key, or a repository a new passphrase",
  },
  takes: { names: ["WHAT"], more: true },
  async run(deps, given) {
    const [what, [wanted, ...rest]] = [given.name(0), given.more];
    if (rest.length > 0) throw new UsageError(`unexpected argument '${rest[0]}'`);
    if (what === "key" && wanted === undefined) return await rotateKey(deps);
    if (what === "passphrase" && wanted !== undefined) return await rotateRepository(deps, wanted);
    throw new UsageError(what === "passphrase" ? "REPOSITORY is missing" : `write: ${rotate.help?.usage}`);
  },
};

async function rotateKey(deps: CliDeps): Promise<number> {
  const config = await readConfig(deps.paths);
  if (config === null) throw new Error("this machine is not enrolled");
  deps.out(`this host's key is now ${await replaceHostKey({ ...deps, config })}\n`);
  return EXIT.done;
}

/** The old passphrase works until the new one has opened the repository. */
async function rotateRepository(deps: CliDeps, wanted: string): Promise<number> {
  const signal = deps.stopSignal();
  const { assignment, runner } = await loadHostContext(deps);
  const repository = assignment.repositories.find(({ id, name }) => id === wanted || name === wanted);
  if (repository === undefined) throw new UsageError(`no repository '${wanted}' here`);
  const run = uuidv7(deps.clock.now(), deps.random(10));
  await rotatePassphrase(runner, { assignment, repository, run, log: openRunLog(deps.clock), signal });
  deps.out(`${repository.name} has a new passphrase; the one before opens nothing any more\n`);
  deps.log("A recovery kit that was printed before does not open it: print the kit again.");
  return EXIT.done;
}
