import { AbsolutePath } from "./ids.ts";

/** @returns null when the provider can use the location, otherwise what is wrong with it and what to do */
export function locationFault(provider: "restic" | "borg", location: string): string | null {
  if (!location.isWellFormed()) return "must be Unicode, without half characters (lone surrogates)";
  return provider === "restic" ? resticLocationFault(location) : borgLocationFault(location);
}

/** A directory on the host's own disk (or mounted there). */
export function isLocalLocation(location: string): boolean {
  return location.startsWith("/");
}

/**
 * What restic accepts as a repository (doc/030_preparing_a_new_repo), without what would let a location run a program
 * (rclone connection strings, ssh options) or put a password into logs.
 * @returns null when it is valid, otherwise what is wrong and what to do
 */
function resticLocationFault(location: string): string | null {
  if (/[\0\n\r]/.test(location)) return "must not contain NUL or a newline";
  if (location.startsWith("/")) return pathFault(location);
  const colon = location.indexOf(":");
  const scheme = colon < 0 ? "" : location.slice(0, colon);
  const rest = location.slice(colon + 1);
  switch (scheme) {
    case "rest":
    case "s3":
      return urlFault(scheme, rest);
    case "sftp":
      return sftpFault(rest);
    case "rclone":
      return /^[A-Za-z0-9_][A-Za-z0-9_ .+@-]*:[^\0]*$/.test(rest) && !rest.slice(0, rest.indexOf(":")).includes(",")
        ? null
        : "must be rclone:REMOTE:PATH with a remote from the host's rclone configuration";
    case "b2":
    case "azure":
    case "gs":
    case "swift":
      return /^[A-Za-z0-9][A-Za-z0-9._-]*:.*$/.test(rest) ? null : `must be ${scheme}:CONTAINER:PATH`;
    default:
      return "must be a restic location: an absolute path, or sftp:, rest:, s3:, b2:, azure:, gs:, swift: or rclone:";
  }
}

function urlFault(scheme: string, rest: string): string | null {
  if (scheme === "rest" && !/^https?:\/\/[^/]/.test(rest))
    return "must be rest:https://HOST/PATH or rest:http://HOST/PATH";
  const authority = rest.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  if (authority.includes("@")) return "must not carry a user or password; put them into secrets";
  return /^[A-Za-z0-9[][A-Za-z0-9.:[\]_-]*$/.test(authority) ? null : `must name a host after ${scheme}:`;
}

/** The user and server of an ssh connection. */
export interface SshTarget {
  readonly user: string | null;
  readonly host: string;
  readonly port: string | null;
}

// The only grammar of a place behind ssh: what is checked and what ssh is given must never be two readings of one text.
const SSH_USER = "[A-Za-z0-9_][A-Za-z0-9_.-]*";
const SSH_HOST = "[A-Za-z0-9_][A-Za-z0-9_.-]*";
/** restic's `sftp:USER@HOST:PATH`; never `sftp:USER:PASSWORD@HOST:PATH`, which would be the path of a host USER. */
const SFTP_PLACE = new RegExp(`^sftp:(?!//)(?:(${SSH_USER})@)?(${SSH_HOST}):(?![^/]*@[^/]*:).+$`);
/** `sftp://USER@HOST[:PORT]/PATH` of restic, `ssh://…` of borg. */
const SSH_URL = new RegExp(`^(?:sftp|ssh)://(?:(${SSH_USER})@)?(${SSH_HOST}|\\[[0-9A-Fa-f:.]+\\])(?::(\\d{0,5}))?/.+$`);

/** @returns null when the location is not accessed over ssh */
export function sshTarget(location: string): SshTarget | null {
  const [, user, host, port] = SFTP_PLACE.exec(location) ?? SSH_URL.exec(location) ?? [];
  if (host === undefined) return null;
  return { user: user ?? null, host: host.replace(/^\[|\]$/g, ""), port: port || null };
}

function sftpFault(rest: string): string | null {
  if (sshTarget(`sftp:${rest}`) !== null) return null;
  return /^(?:\/\/[^/]+\/|[^:/]+:)./.test(rest)
    ? "must name USER@HOST after sftp: (no password, no ssh options)"
    : "must be sftp:USER@HOST:/PATH or sftp://USER@HOST[:PORT]//PATH";
}

/**
 * A directory, or `ssh://USER@HOST[:PORT]/ABSOLUTE/PATH` (docs.borgbackup.org, repository URLs). No `::`, no
 * placeholders.
 */
function borgLocationFault(location: string): string | null {
  if (/[\0\n\r]/.test(location)) return "must not contain NUL or a newline";
  if (location.includes("::") || /[{}]/.test(location)) return "must not contain '::', '{' or '}': borg reads them";
  if (location.startsWith("/")) return pathFault(location);
  const [, authority, path] = /^ssh:\/\/([^/]+)(\/.+)$/.exec(location) ?? [];
  if (authority === undefined || path === undefined)
    return "must be a borg location: an absolute path, or ssh://USER@HOST[:PORT]/ABSOLUTE/PATH";
  if (sshTarget(location) === null) return "must name USER@HOST[:PORT] after ssh:// (no password, no ssh options)";
  return path.startsWith("/~") || path.startsWith("/./")
    ? "must have an absolute path after the host"
    : pathFault(path);
}

function pathFault(location: string): string | null {
  const path = AbsolutePath.safeParse(location);
  return path.success ? null : (path.error.issues[0]?.message ?? "must be an absolute path");
}
