import type { CatalogParam, Layout, Probe, Sourced } from "../../shared/catalog.ts";

/** One step of a contract's consistency. */
type Step =
  | { readonly sqlite: string }
  | { readonly postgres: string; readonly role?: string; readonly container?: string }
  | { readonly mariadb: string; readonly role?: string; readonly container?: string };

/** With `when`, the step applies only to these choices. */
export type StepTemplate = Step & { readonly when?: Readonly<Record<string, string>> };

/** A unit; or one that is there only with these choices. */
export type StopTemplate = string | { readonly unit: string; readonly when: Readonly<Record<string, string>> };

/** The files of a service to back up, with `${NAME}` for parameters. */
export interface FilesTemplate {
  readonly sources: readonly string[];
  readonly excludes?: readonly string[];
  readonly consistency?: readonly StepTemplate[];
  /** Units stopped around a restore in place: all that write the files. Each must exist, or the restore is refused. */
  readonly stop?: readonly StopTemplate[];
}

export interface DatabaseTemplate {
  readonly backupName: string;
  readonly backupCmd: string;
  readonly restoreCmd: string;
}

/** A probe of the agent; entry and layout are filled in later. */
export type ProbeTemplate = Partial<Omit<Probe, "entry" | "layout">>;

/** One service, installed one way. */
export interface LayoutTemplate {
  /** One of them is called `user`: the Unix user that runs the backup. */
  readonly params: readonly CatalogParam[];
  readonly files?: FilesTemplate;
  readonly database?: DatabaseTemplate;
  readonly probes: readonly ProbeTemplate[];
  readonly notes: readonly string[];
  readonly facts: readonly Sourced[];
}

/** One service of the catalogue. */
export interface Service {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly layouts: Readonly<Record<Layout, LayoutTemplate>>;
}

type Kind = Exclude<CatalogParam["kind"], "choice">;

/** @param defaultValue null: the parameter is required */
export function param(kind: Kind, name: string, description: string, defaultValue: string | null = null): CatalogParam {
  return { name, kind, description, default: defaultValue, choices: [] };
}

/** The first choice is the default. */
export function choice(name: string, description: string, choices: readonly [string, ...string[]]): CatalogParam {
  return { name, kind: "choice", description, default: choices[0], choices: [...choices] };
}

/** The parameter for the Unix user that runs the backup. */
export function runsAs(name: string | null): CatalogParam {
  return param("user", "user", "Unix user on the host that runs the backup", name);
}

/** A container's files belong to its numeric user, which the host may not have: only root can surely read them. */
export const asRoot = runsAs("root");

export const STOP_THE_CONTAINER =
  "Stop the container before a restore in place and start it afterwards: `docker stop NAME`, `docker start NAME`.";

const IN_CONTAINER = { role: "${databaseUser}", container: "${databaseContainer}" };

/** The steps of a service whose database, of either kind, runs in its own container, with the parameters named here. */
export const DUMPS_IN_CONTAINER: readonly StepTemplate[] = [
  { when: { engine: "postgres" }, postgres: "${databaseName}", ...IN_CONTAINER },
  { when: { engine: "mariadb" }, mariadb: "${databaseName}", ...IN_CONTAINER },
];

/** The source of a fact that could not be verified. */
export const UNVERIFIED = "a usual place, not verified: compare it with your machine";

/** Probes that also look for the service's database container; its image decides the `engine`. */
export function withDatabaseCompanion(probe: ProbeTemplate): ProbeTemplate[] {
  const images = { postgres: ["postgres"], mariadb: ["mariadb", "linuxserver/mariadb"] };
  return Object.entries(images).map(([engine, names]) => ({
    ...probe,
    companions: { databaseContainer: names },
    choices: { engine },
  }));
}

/** A fact from Self Host Blocks, at the commit the catalogue is based on. */
export function shb(fact: string, place: string): Sourced {
  return { fact, source: `ibizaman/selfhostblocks@bc3234e modules/${place}` };
}

/** A fact from a file of a public repository. */
export function read(fact: string, place: string): Sourced {
  return { fact, source: place };
}
