import { access, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Detection, Probe } from "../shared/catalog.ts";
import { findContainers } from "./detect-containers.ts";
import type { Machine } from "./detect-machine.ts";

/**
 * Looks on the host for what the probes name, and for nothing else.
 * @returns one detection per layout of a service, and per container
 */
export async function detect(probes: readonly Probe[], machine: Machine): Promise<Detection[]> {
  const onHost = await Promise.all(probes.map((probe) => detectOnHost(probe, machine)));
  const inContainers = await findContainers(probes, machine.sockets);
  const found = [...onHost.flatMap((one) => one ?? []), ...inContainers];
  const best = new Map<string, Detection>();
  for (const detection of found) {
    const key = `${detection.entry}/${detection.layout}/${detection.container ?? ""}`;
    const other = best.get(key);
    // Several probes may find the same, and one of them knows more of where its files are.
    if (other === undefined || countOf(detection) > countOf(other)) best.set(key, detection);
  }
  return [...best.values()].toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

async function detectOnHost({ entry, layout, units, paths }: Probe, machine: Machine): Promise<Detection | null> {
  const unitFiles = (await Promise.all(units.map((unit) => findUnit(unit, machine)))).filter((file) => file !== null);
  const there = await Promise.all(paths.map(isThere));
  const hasPaths = paths.length > 0 && there.every(Boolean);
  if (unitFiles.length === 0 && !hasPaths) return null;
  const evidence = [
    ...unitFiles.map((file) => `unit ${file}`),
    ...(hasPaths ? paths : []).map((path) => `path ${path}`),
  ];
  return { entry, layout, params: {}, container: null, evidence };
}

/** The unit's file, as systemd would find it; one that is masked is a link to nothing. */
async function findUnit(unit: string, { unitDirectories }: Machine): Promise<string | null> {
  for (const directory of unitDirectories) {
    const file = join(directory, unit);
    try {
      return (await realpath(file)) === "/dev/null" ? null : file;
    } catch {
      // Not in this one.
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

function countOf({ params }: Detection): number {
  return Object.keys(params).length;
}

function keyOf({ entry, layout, container }: Detection): string {
  return `${entry}/${layout}/${container ?? ""}`;
}
