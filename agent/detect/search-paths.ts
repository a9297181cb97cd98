/** Where to look on the host. */
export interface SearchPaths {
  /** Directories of systemd's units; the first that has a unit wins. */
  readonly unitDirectories: readonly string[];
  /** Sockets of Docker and Podman, which have the same API. */
  readonly sockets: readonly string[];
}

const UNIT_DIRECTORIES = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];
const SOCKETS = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/** The usual paths, or those in systemd's SYSTEMD_UNIT_PATH and Docker's DOCKER_HOST. */
export function searchPathsFrom(env: Record<string, string | undefined>): SearchPaths {
  const units = env["SYSTEMD_UNIT_PATH"];
  const socket = /^unix:\/\/(\/.+)$/.exec(env["DOCKER_HOST"] ?? "")?.[1];
  return {
    unitDirectories: units ? units.split(":").filter((path) => path.startsWith("/")) : UNIT_DIRECTORIES,
    sockets: socket === undefined ? SOCKETS : [socket],
  };
}
