import { mkdir, realpath } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Performance } from "../../shared/binding.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { SnapshotRequest } from "../../shared/recovery-key.ts";
import type { SnapshotFacts } from "../../shared/run.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { CliDeps } from "./deps.ts";
import type { Verb } from "./verb.ts";
import { parseJson } from "../../shared/json.ts";
import { ENGINE_LADDER } from "../system/process/kill-ladder.ts";
import { ownUser } from "../system/process/user.ts";
import { providerOf } from "../providers/engines.ts";
import type { Access } from "../providers/provider.ts";
import { restoreFiles } from "../restore/files.ts";
import { chooseSnapshot } from "../restore/snapshot.ts";
import { ENGINE_TIMEOUTS } from "../run/access.ts";
import { RunError } from "../run-error.ts";
import { openRunLog } from "../run-log.ts";
import { readSecrets, secretValues } from "../policy/secrets.ts";

/** Internal: `holdfast restore-control` starts it, with its request on stdin. */
export const fetchSnapshotVerb: Verb = {
  name: "fetch-snapshot",
  takes: {},
  async run(deps) {
    const snapshot = await fetchSnapshot(deps, await text(process.stdin), deps.stopSignal());
    deps.out(`${JSON.stringify(snapshot)}\n`);
    return EXIT.done;
  },
};

/**
 * Fetches a snapshot on a machine that is not enrolled: the request contains everything needed.
 * @param request a `SnapshotRequest` as JSON
 * @returns the snapshot, as listed. Throws RunError
 */
async function fetchSnapshot(deps: CliDeps, request: string, signal: AbortSignal): Promise<SnapshotFacts> {
  const wanted = SnapshotRequest.parse(parseJson(request));
  const { repository, host, binding, target } = wanted;
  const secrets = await readSecrets(deps, { repository, wasSeen: true, mayGenerate: false });
  const log = openRunLog(deps.clock);
  log.hide(secretValues(secrets));
  const access: Access = {
    repository,
    secrets,
    log,
    signal,
    scope: { host, binding },
    paths: deps.paths,
    clock: deps.clock,
    run: uuidv7(deps.clock.now(), deps.random(10)),
    user: ownUser(),
    onChild: async () => undefined,
    ladder: ENGINE_LADDER,
    timeouts: ENGINE_TIMEOUTS,
    limits: { uploadKiBs: null, downloadKiBs: null },
    performance: Performance.parse({}),
  };
  const opened = await providerOf(repository).open(access, { mayCreate: false });
  const snapshot = chooseSnapshot(await opened.snapshots(), {
    wanted: wanted.snapshot,
    binding: "of the control plane",
  });
  await mkdir(target, { recursive: true, mode: 0o700 });
  const { failure, warnings } = await restoreFiles(opened, access, {
    aside: null,
    isTargetClosed: true,
    named: [],
    snapshot: snapshot.id,
    target: await realpath(target),
    include: [],
    excludes: [],
    overwrite: "always",
    delete: false,
    dryRun: false,
    verify: true,
    beforeWriting: async () => undefined,
    onProgress: () => undefined,
  });
  for (const warning of warnings) deps.log(warning);
  if (failure !== null) throw new RunError(failure);
  return snapshot;
}
