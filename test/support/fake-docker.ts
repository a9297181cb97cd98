import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";

/** A container as a test says it; the rest is filled in as Docker does. */
export interface FakeContainer {
  name: string;
  image: string;
  /** Its tag has moved to another image since it was started: Docker lists it by the digest alone. */
  isOutdated?: boolean;
  /** Target in the container → where it is on the host. */
  mounts?: Record<string, string>;
  /** Compose project, and its directory. */
  project?: [name: string, directory: string];
}

export interface FakeDocker {
  readonly socket: string;
  containers: FakeContainer[];
  /** Every path that was asked for. */
  readonly asked: string[];
  stop(): Promise<void>;
}

export const SECRET = "POSTGRES_PASSWORD=hunter2";

/** Docker's API on a socket of its own, as its documentation has it (v1.43), for the two requests there are. */
export async function startFakeDocker(socket: string, containers: FakeContainer[] = []): Promise<FakeDocker> {
  const asked: string[] = [];
  const docker = { socket, containers, asked };
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const id = /^\/containers\/([0-9a-f]+)\/json$/.exec(request.url ?? "")?.[1];
    const inspected = docker.containers.find((container) => idOf(container) === id);
    const body =
      request.url === "/containers/json"
        ? docker.containers.map(listed)
        : inspected === undefined
          ? { message: "page not found" }
          : inspect(inspected);
    response.writeHead("message" in body ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  });
  server.listen(socket);
  await once(server, "listening");
  return Object.assign(docker, {
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  });
}

function idOf({ name }: FakeContainer): string {
  return createHash("sha256").update(name).digest("hex");
}

function listed(container: FakeContainer) {
  const { name, image, isOutdated = false } = container;
  return {
    Id: idOf(container),
    Names: [`/${name}`],
    Image: isOutdated ? `sha256:${"ab".repeat(32)}` : image,
    ImageID: `sha256:${"cd".repeat(32)}`,
    Command: "/init",
    Created: 1_700_000_000,
    Ports: [],
    Labels: labelsOf(container),
    State: "running",
    Status: "Up 3 days",
    HostConfig: { NetworkMode: "bridge" },
    NetworkSettings: { Networks: {} },
    // A volume's place is told by inspecting alone.
    Mounts: Object.keys(container.mounts ?? {}).map((target) => ({ Type: "volume", Source: "", Destination: target })),
  };
}

function inspect(container: FakeContainer) {
  return {
    Id: idOf(container),
    Name: `/${container.name}`,
    State: { Status: "running", Running: true },
    Config: { Image: container.image, Env: [SECRET], Labels: labelsOf(container) },
    Mounts: Object.entries(container.mounts ?? {}).map(([target, source]) => ({
      Type: "bind",
      Source: source,
      Destination: target,
      Mode: "rw",
      RW: true,
      Propagation: "rprivate",
    })),
  };
}

function labelsOf({ project }: FakeContainer): Record<string, string> {
  if (project === undefined) return {};
  return { "com.docker.compose.project": project[0], "com.docker.compose.project.working_dir": project[1] };
}
