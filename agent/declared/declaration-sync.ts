import { createHash } from "node:crypto";
import { sentBody } from "../../shared/contract.ts";
import { type DeclarationInput, declarationFault, type Declarations, MAX_DECLARED } from "../../shared/declaration.ts";
import { messageOf } from "../../shared/error-message.ts";
import type { Api } from "../link/api.ts";
import type { AgentConfig, Paths } from "../config.ts";
import type { ContractFile } from "./contract-file.ts";
import { readDeclared } from "./contract-files.ts";
import { digestOf, readContractState, updateContractState } from "./contract-state.ts";
import { fit, publishAll, TOO_MANY } from "./publish.ts";
import { watchContracts } from "./contract-watch.ts";
import type { Timers } from "../system/timers.ts";

export interface DeclarationSyncDeps {
  paths: Paths;
  config: Pick<AgentConfig, "name">;
  api: Pick<Api, "putDeclarations">;
  timers: Timers;
  log: (line: string) => void;
  /** Delivers run reports first, so that runs of a contract arrive before its declaration is removed. */
  deliver: () => Promise<unknown>;
  /** There is something to publish: requests a pull, which publishes it. */
  onChange: () => void;
}

export interface DeclarationSync {
  /**
   * Publishes the declarations if they have changed.
   * @returns whether it did; throws ApiError when the control plane is away
   */
  publish(): Promise<boolean>;
  /** Forces the next publish: the control plane may be another one, or restored from a backup. */
  reset(): void;
  stop(): void;
}

/** Keeps the control plane up to date with contracts.d. */
export function startDeclarationSync(deps: DeclarationSyncDeps): DeclarationSync {
  let lastPublished = "";
  let lastSeen = "";
  let lastLogged = "contracts.d: 0 declared";
  const logIfChanged = (...lines: string[]): void => {
    const text = lines.join("\n");
    if (text !== lastLogged) for (const line of lines) deps.log(line);
    lastLogged = text;
  };
  const checkFiles = async (): Promise<void> => {
    try {
      const text = JSON.stringify((await declarationsOf(deps)).now);
      // A rejected text is not retried at once: each pull publishes again, at its own slow pace.
      if (text !== lastPublished && text !== lastSeen) deps.onChange();
      lastSeen = text;
    } catch (error) {
      logIfChanged(`contracts.d can't be looked at: ${messageOf(error)}`);
    }
  };
  return {
    async publish() {
      const { now, texts } = await declarationsOf(deps);
      const text = JSON.stringify(now);
      if (text === lastPublished) {
        // Everything was pulled since the last publish: the assignment is made from these texts.
        const settled = digestOf(texts);
        if ((await readContractState(deps.paths)).settled !== settled)
          await updateContractState(deps.paths, { settled });
        return false;
      }
      // Stored before it is sent: the host can always publish again what the control plane has.
      await updateContractState(deps.paths, { texts });
      await deps.deliver();
      const { refused, rejected } = await publishAll(deps.api, now);
      await updateContractState(deps.paths, { refused, rejected });
      const troubles = [...now.faults, ...refused].map(({ file, message }) => `contracts.d: ${file}: ${message}`);
      logIfChanged(
        ...troubles,
        ...(rejected === null ? [`contracts.d: ${now.declarations.length} declared`] : [`contracts.d: ${rejected}`]),
      );
      if (rejected !== null) return false;
      lastPublished = text;
      return true;
    },
    reset() {
      lastPublished = "";
    },
    stop: watchContracts({ ...deps, onPossibleChange: () => void checkFiles() }),
  };
}

async function declarationsOf(
  deps: Pick<DeclarationSyncDeps, "paths" | "config">,
): Promise<{ now: Declarations; texts: Readonly<Record<string, string>> }> {
  const { contracts, kept, faults, texts } = await readDeclared(deps.paths);
  const all = contracts.map((contract) => declarationOf(contract, deps.config.name));
  const { fitting, tooMany } = fit(all);
  const names = [...kept, ...tooMany].map(({ name }) => name);
  const now = {
    declarations: fitting,
    faults: [...faults, ...tooMany.map(({ file }) => declarationFault(file, null, TOO_MANY))].slice(0, MAX_DECLARED),
    // An older control plane knows no such key.
    ...(names.length === 0 ? {} : { kept: names }),
  };
  return { now, texts };
}

function declarationOf({ file, name, body, bound }: ContractFile, host: string): DeclarationInput {
  if (bound === null) return { ...sentBody(body), file, name, bound };
  const { repository, settings } = bound;
  const named = { ...repository, name: repository.name ?? placeName(host, repository.location) };
  return { ...sentBody(body), file, name, bound: { repository: named, settings } };
}

/** A repository's name is unique among all hosts. A name that does not contain the whole location gets its digest. */
function placeName(host: string, location: string): string {
  const slug = location
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const digest = createHash("sha256").update(location).digest("hex").slice(0, 8);
  const name = `${host}-${slug}`;
  return `/${slug.replaceAll("-", "/")}` === location && name.length <= 63 ? name : `${name.slice(0, 54)}-${digest}`;
}
