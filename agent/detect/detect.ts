import { access, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Detection, Probe } from "../../shared/catalog.ts";
import { findContainers } from "./containers.ts";
import type { SearchPaths } from "./search-paths.ts";

/**
 * Looks for the services of the probes on this host, and for nothing else.
 * @returns one detection per layout of a service, and per container
 */
export async function detect(probes: readonly Probe[], searchPaths: SearchPaths): Promise<Detection[]> {
  const onHost = await Promise.all(probes.map((probe) => detectOnHost(probe, searchPaths)));
  const inContainers = await findContainers(probes, searchPaths.sockets);
  const found = [...onHost.flatMap((one) => one ?? []), ...inContainers];
  const best = new Map<string, Detection>();
  for (const detection of found) {
    const key = `${detection.entry}/${detection.layout}/${detection.container ?? ""}`;
    const other = best.get(key);
    best.set(key, other === undefined ? detection : better(other, detection));
  }
  return [...best.values()].toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

/** Several probes may find the same service: the one with more parameters wins, or those they agree on. */
function better(one: Detection, other: Detection): Detection {
  const [mine, theirs] = [Object.entries(one.params), Object.entries(other.params)];
  if (mine.length !== theirs.length) return mine.length > theirs.length ? one : other;
  const agreed = mine.filter(([name, value]) => other.params[name] === value);
  return agreed.length === mine.length ? one : { ...one, params: Object.fromEntries(agreed) };
}

async function detectOnHost(
  { entry, layout, units, paths, choices }: Probe,
  searchPaths: SearchPaths,
): Promise<Detection | null> {
  const unitFiles = (await Promise.all(units.map((unit) => findUnit(unit, searchPaths)))).filter(
    (file) => file !== null,
  );
  const there = await Promise.all(paths.map(isThere));
  const hasPaths = paths.length > 0 && there.every(Boolean);
  if (unitFiles.length === 0 && !hasPaths) return null;
  const evidence = [
    ...unitFiles.map((file) => `unit ${file}`),
    ...(hasPaths ? paths : []).map((path) => `path ${path}`),
  ];
  return { entry, layout, params: choices, container: null, evidence };
}

/** The unit's file, as systemd would find it. A masked unit is a link to /dev/null. */
async function findUnit(unit: string, { unitDirectories }: SearchPaths): Promise<string | null> {
  for (const directory of unitDirectories) {
    const file = join(directory, unit);
    try {
      return (await realpath(file)) === "/dev/null" ? null : file;
    } catch {
      // Not in this directory.
    }
  }
  return null;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

function keyOf({ entry, layout, container }: Detection): string {
  return `${entry}/${layout}/${container ?? ""}`;
}
