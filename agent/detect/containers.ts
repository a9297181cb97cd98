import type { Detection, Probe } from "../../shared/catalog.ts";
import { ContainerName } from "../../shared/unix.ts";
import { imageName, inspectContainer, listContainers, type Container, type ListedContainer } from "./container-api.ts";

type Mounts = Container["mounts"];

/** Finds running containers of the probes' images, at every container engine whose socket may be read. */
export async function findContainers(probes: readonly Probe[], sockets: readonly string[]): Promise<Detection[]> {
  const wanted = new Set(probes.flatMap(({ images }) => images));
  if (wanted.size === 0) return [];
  const found = await Promise.all(sockets.map((socket) => findAt(socket, { probes, wanted })));
  return found.flat();
}

interface Search {
  readonly probes: readonly Probe[];
  readonly wanted: ReadonlySet<string>;
}

async function findAt(socket: string, { probes, wanted }: Search): Promise<Detection[]> {
  const listed = await listContainers(socket);
  const detections: Detection[] = [];
  for (const { id, image } of listed) {
    // An image whose tag has moved on is listed by its digest only: inspecting the container gives the name.
    if (image.name !== null && !wanted.has(image.name)) continue;
    const container = await inspectContainer(socket, id);
    if (container === null || !ContainerName.safeParse(container.name).success) continue;
    const name = imageName(container.image);
    for (const probe of probes) {
      if (name !== null && probe.images.includes(name)) detections.push(detectionOf(probe, { container, listed }));
    }
  }
  return detections;
}

function detectionOf(probe: Probe, seen: { container: Container; listed: readonly ListedContainer[] }): Detection {
  const { entry, layout } = probe;
  const { container, listed } = seen;
  const params: Record<string, string> = {};
  const evidence = [`container ${container.name} of image ${container.image}`];
  for (const [param, inside] of Object.entries(probe.mounts)) {
    const outside = onHost(inside, container.mounts);
    if (outside === null) continue;
    params[param] = outside;
    evidence.push(`its ${inside} is ${outside}`);
  }
  for (const [param, images] of Object.entries(probe.companions)) {
    const companion = companionOf(container, images, listed);
    if (companion === null) continue;
    params[param] = companion;
    evidence.push(`container ${companion} of the same Compose project`);
  }
  const hasCompanions = Object.keys(probe.companions).every((param) => param in params);
  if (hasCompanions) Object.assign(params, probe.choices);
  if (probe.self !== null) params[probe.self] = container.name;
  if (probe.project !== null && container.projectDirectory?.startsWith("/") === true) {
    params[probe.project] = container.projectDirectory;
    evidence.push(`its Compose project is in ${container.projectDirectory}`);
  }
  return { entry, layout, params, container: container.name, evidence };
}

/** The host path of a directory in the container: below the nearest mount above it. */
function onHost(inside: string, mounts: Mounts): string | null {
  const above = mounts
    .filter(({ target }) => inside === target || inside.startsWith(`${target}/`))
    .toSorted((one, other) => other.target.length - one.target.length)[0];
  return above === undefined ? null : `${above.source}${inside.slice(above.target.length)}`;
}

/** Only if there is exactly one: a guess between two would be a wrong backup. */
function companionOf(
  { project }: Container,
  images: readonly string[],
  listed: readonly ListedContainer[],
): string | null {
  if (project === null) return null;
  const [only, ...more] = listed.filter(
    (other) => other.project === project && other.image.name !== null && images.includes(other.image.name),
  );
  return only === undefined || more.length > 0 ? null : only.name;
}
