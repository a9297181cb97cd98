import { uuidv7 } from "../../shared/ids.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { openRunLog } from "../run-log.ts";
import { rotatePassphrase } from "../upkeep/rotate-passphrase.ts";
import { loadHostContext } from "./host.ts";
import type { Verb } from "./verb.ts";

/** Replaces a secret of this host by a new one, while the old one still works. */
export const rotate: Verb = {
  name: "rotate",
  help: {
    usage: "rotate passphrase REPOSITORY",
    summary: "give the repository a new passphrase; after an interruption, run it again",
  },
  takes: { names: ["WHAT", "REPOSITORY"] },
  async run(deps, given) {
    const [what, wanted] = [given.name(0), given.name(1)];
    if (what !== "passphrase") throw new UsageError(`'${what}' can't be rotated here; 'passphrase' can`);
    const signal = deps.stopSignal();
    const { assignment, runner } = await loadHostContext(deps);
    const repository = assignment.repositories.find(({ id, name }) => id === wanted || name === wanted);
    if (repository === undefined) throw new UsageError(`no repository '${wanted}' here`);
    const run = uuidv7(deps.clock.now(), deps.random(10));
    await rotatePassphrase(runner, { assignment, repository, run, log: openRunLog(deps.clock), signal });
    deps.out(`${repository.name} has a new passphrase; the one before opens nothing any more\n`);
    deps.log("A recovery kit that was printed before does not open it: print the kit again.");
    return EXIT.done;
  },
};
