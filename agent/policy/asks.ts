import type { AssignedBinding, AssignedContract, AssignedRepository } from "../../shared/assignment.ts";
import { isLocalAddress } from "../../shared/address.ts";
import { type Consistency, serverUser } from "../../shared/consistency.ts";
import { HookName } from "../../shared/contract.ts";
import type { Environment } from "../../shared/environment.ts";
import { CHOOSES_SERVER, type SecretSource } from "../../shared/secret-source.ts";
import { type Ask, askFor } from "./ask.ts";
import { isWithin } from "./check.ts";
import type { Policy } from "./policy.ts";

/** What may be read without asking, besides what the policy says. */
export interface ReadPlaces {
  /** Places that exist and that no source reads unless root grants it, with symbolic links resolved. */
  readonly protected: readonly string[];
  /** Where secrets may be read from. */
  readonly secrets: readonly string[];
}

/** What a contract asks for that only root can grant; in level `open` only to run its restoreCmd as root. */
export function asksOfContract(policy: Policy, places: ReadPlaces, contract: ContractContent): Ask[] {
  const asRoot = asksOfRestoreAsRoot(contract);
  if (policy.level === "open") return asRoot;
  const { user } = contract.request;
  const asks = policy.level === "ask" ? [askFor("contract", { user }, `Read files for backups as user ${user}`)] : [];
  if (contract.kind === "databasebackup") {
    const { backupCmd, restoreCmd } = contract.request;
    const restoring = { hook: restoreCmd, user: contract.restoreUser ?? user, when: "for a restore, to load a dump" };
    return [
      ...asks,
      ...asksOfHook(policy, { hook: backupCmd, user, when: "for a backup, to write its dump" }),
      ...(asRoot.length > 0 ? asRoot : asksOfHook(policy, restoring)),
    ];
  }
  const { sourceDirectories, hooks } = contract.request;
  return [
    ...asks,
    ...sourceDirectories.flatMap((source) => asksOfSource(policy, places, source)),
    ...hooks.beforeBackup.flatMap((hook) => asksOfHook(policy, { hook, user, when: "before a backup" })),
    ...hooks.afterBackup.flatMap((hook) => asksOfHook(policy, { hook, user, when: "after a backup" })),
    ...contract.consistency.flatMap((entry) => asksOfConsistency(policy, places, entry)),
    ...contract.stopForRestore.flatMap((unit) => asksOfService(policy, unit, "stopped for a restore")),
  ];
}

type DatabaseContent = Pick<Extract<AssignedContract, { kind: "databasebackup" }>, "kind" | "request" | "restoreUser">;
export type ContractContent =
  | DatabaseContent
  | Pick<Extract<AssignedContract, { kind: "files" }>, "kind" | "request" | "consistency" | "stopForRestore">;

/** Nothing but root's own file or root's yes to this very command makes a contract of another user run it as root. */
export function asksOfRestoreAsRoot(contract: ContractContent): Ask[] {
  const isAsked = contract.kind === "databasebackup" && isRoot(contract.restoreUser) && !isRoot(contract.request.user);
  return isAsked ? [askForRestoreUser(contract)] : [];
}

/** By name or number. An account of another name and root's number is found when it is used. */
function isRoot(user: string | null): boolean {
  return user === "root" || user === "0";
}

/** The restoreCmd of a database's contract, as its restoreUser. */
export function askForRestoreUser({ request, restoreUser }: DatabaseContent): Ask {
  const { restoreCmd } = request;
  return askFor(
    "hook",
    { restoreCmd, restoreUser },
    `Run this as user ${restoreUser}, for a restore, to load a dump: ${restoreCmd}`,
  );
}

/** @param source with symbolic links resolved as far as it exists, or as the contract names it */
export function asksOfSource(policy: Policy, { protected: places }: ReadPlaces, source: string): Ask[] {
  if (policy.level === "open" || isListed(policy.sources, source)) return [];
  const inside = places.find((place) => isWithin(source, place));
  const holds = places.filter((place) => isWithin(place, source));
  if (inside === undefined && holds.length === 0 && policy.level !== "ask") return [];
  const why =
    inside !== undefined
      ? `, which is protected on this host${inside === source ? "" : ` (${inside})`}`
      : holds.length > 0
        ? `, which holds what is protected on this host: ${enumerate(holds)}`
        : "";
  return [askForSource(source, why)];
}

/** @param why what is special about it, for the sentence only */
export function askForSource(source: string, why = ""): Ask {
  return askFor("source", { source }, `Back up ${source}${why}`);
}

function asksOfHook(policy: Policy, { hook, user, when }: { hook: string; user: string; when: string }): Ask[] {
  if (policy.hooks === "inline" || policy.hookNames?.includes(hook) === true) return [];
  if (HookName.test(hook)) return [askForHook(hook)];
  return [askFor("hook", { hook, user }, `Run this as user ${user}, ${when}: ${hook}`)];
}

/** An executable of root's own in hooks.d, by its name. */
export function askForHook(name: string): Ask {
  return askFor("hook", { hook: name }, `Run the hook ${name} of hooks.d before and after backups and restores`);
}

function asksOfConsistency(policy: Policy, places: ReadPlaces, entry: Consistency): Ask[] {
  if ("sqlite" in entry) return asksOfSource(policy, places, entry.sqlite);
  if ("stop" in entry) return asksOfService(policy, entry.stop, "stopped for a backup");
  if ("pause" in entry) return asksOfService(policy, entry.pause, "paused for a backup");
  const what = "postgres" in entry ? `PostgreSQL database ${entry.postgres}` : `MariaDB database ${entry.mariadb}`;
  const where = entry.container === undefined ? "" : ` in container ${entry.container}`;
  const as = `as user ${serverUser(entry)}`;
  return [askFor("command", entry, `Run the server's own tools ${as}${where}: dump and load ${what}`)];
}

function asksOfService(policy: Policy, name: string, how: string): Ask[] {
  if (isListed(policy.services, name)) return [];
  return [askFor("service", { service: name }, `Let ${name} be ${how}, and started again after it`)];
}

/** The place, the credentials and the passphrase of a repository: where data goes, and who could read it there. */
export function asksOfRepository(policy: Policy, places: ReadPlaces, repository: RepositoryContent): Ask[] {
  if (policy.level === "open" || isGrantedByPolicy(policy, places, repository)) return [];
  return [askForRepository(repository)];
}

/** A place for backups with its credentials, as it is now. */
export function askForRepository(repository: RepositoryContent): Ask {
  const { provider, location, passphrase, secrets, ssh, caFile } = repository;
  const key = ssh.identityFile === null ? [] : [`The ssh key is ${ssh.identityFile}.`];
  const names = Object.entries(secrets).map(([name, source]) => `${name} ${fromWhere(source)}`);
  const summary = [
    `Keep backups with ${provider} at ${location}, under a passphrase ${fromWhere(passphrase)}.`,
    ...(names.length === 0 ? [] : [`Its credentials: ${names.join(", ")}.`]),
    ...(sendsInClear(repository) ? ["THE CREDENTIALS ARE SENT IN CLEAR: the address is http."] : []),
    ...key,
  ];
  const content = { provider, location, passphrase, secrets, ssh, caFile };
  return askFor("repository", content, summary.join(" "));
}

export type RepositoryContent = Pick<
  AssignedRepository,
  "provider" | "location" | "passphrase" | "secrets" | "ssh" | "caFile"
>;

/** A list of root's own grants the place; the secrets then have to come from where root keeps them. */
function isGrantedByPolicy(policy: Policy, { secrets: dirs }: ReadPlaces, repository: RepositoryContent): boolean {
  if (policy.repositories?.some((entry) => isWithin(repository.location, entry)) !== true) return false;
  // Sealed can be what anybody wrote, and these say where the credentials go.
  if (CHOOSES_SERVER.some((name) => "sealed" in (repository.secrets[name] ?? {}))) return false;
  return secretFilesOf(repository).every((file) => dirs.some((dir) => isWithin(file, dir)));
}

/** The files on the host that a repository's passphrase, credentials and ssh key are read from. */
export function secretFilesOf({ passphrase, secrets, ssh }: RepositoryContent): string[] {
  return [passphrase, ...Object.values(secrets), { file: ssh.identityFile }].flatMap((one) =>
    "file" in one && one.file !== null ? [one.file] : [],
  );
}

function fromWhere(source: SecretSource): string {
  if ("file" in source) return `from ${source.file}`;
  return "generate" in source ? "made on this host" : "sealed to this host";
}

/** Whether anybody on the way can read the credentials. */
function sendsInClear({ location, secrets }: RepositoryContent): boolean {
  const [, url] = /^(?:rest|s3):(http:\/\/.*)$/.exec(location) ?? [];
  if (url === undefined || Object.keys(secrets).length === 0) return false;
  if (!URL.canParse(url)) return true;
  const { hostname } = new URL(url);
  return hostname !== "localhost" && !isLocalAddress(hostname.replace(/^\[|\]$/g, ""));
}

/** What is read as root and given to whatever runs as that user for a contract: hooks, and a database's commands. */
export function asksOfEnvironment(policy: Policy, { environment, user }: EnvironmentContent): Ask[] {
  if (policy.level === "open") return [];
  return Object.entries(environment).map(([variable, source]) => {
    const summary = `Give hooks and database commands that run as user ${user} the secret ${variable}, ${fromWhere(source)}`;
    return askFor("hook", { variable, source, user }, summary);
  });
}

export interface EnvironmentContent {
  readonly environment: Environment;
  /** The contract's user. */
  readonly user: string;
}

/** Where the pings of a binding are sent. */
export function asksOfBinding(policy: Policy, { settings }: Pick<AssignedBinding, "settings">): Ask[] {
  return settings.pings.flatMap(({ url }) => asksOfOutgoing(policy, url));
}

/** @param url a notification or a ping is sent to its origin */
export function asksOfOutgoing(policy: Policy, url: string): Ask[] {
  if (policy.level === "open" || policy.outgoing !== null) return [];
  const { origin } = new URL(url);
  return [askFor("outgoing", { origin }, `Send notifications and pings to ${origin}`)];
}

function isListed(list: readonly string[] | null, name: string): boolean {
  return list?.some((entry) => entry === name || (entry.startsWith("/") && isWithin(name, entry))) ?? false;
}

function enumerate(places: readonly string[]): string {
  const more = places.length - MOST_PLACES;
  return `${places.slice(0, MOST_PLACES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

const MOST_PLACES = 5;
