import { text } from "node:stream/consumers";
import { SnapshotRequest } from "../../shared/recovery-key.ts";
import type { SnapshotFacts } from "../../shared/run.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { CliDeps } from "./deps.ts";
import type { Verb } from "./verb.ts";
import { parseJson } from "../../shared/json.ts";
import { chooseSnapshot } from "../restore/snapshot.ts";
import { readSecrets } from "../policy/secrets.ts";
import { openWithoutHost, restoreInto } from "./without-host.ts";

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
  const opened = await openWithoutHost(deps, { repository, secrets, signal, scope: { host, binding } });
  const snapshot = chooseSnapshot(await opened.repository.snapshots(), {
    wanted: wanted.snapshot,
    binding: "of the control plane",
  });
  await restoreInto(deps, opened, { snapshot: snapshot.id, target, include: [], isNamed: false });
  return snapshot;
}
