/** Where on the host to look. */
export interface SearchPaths {
  /** Of systemd's units, the first that has one wins. */
  readonly unitDirectories: readonly string[];
  /** Of Docker and Podman, whose APIs are alike. */
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

/** The usual places, or those that systemd's SYSTEMD_UNIT_PATH and Docker's DOCKER_HOST name. */
export function searchPathsFrom(env: Record<string, string | undefined>): SearchPaths {
  const units = env["SYSTEMD_UNIT_PATH"];
  const socket = /^unix:\/\/(\/.+)$/.exec(env["DOCKER_HOST"] ?? "")?.[1];
  return {
    unitDirectories: units ? units.split(":").filter((path) => path.startsWith("/")) : UNIT_DIRECTORIES,
    sockets: socket === undefined ? SOCKETS : [socket],
  };
}
