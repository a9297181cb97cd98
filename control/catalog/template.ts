import type { CatalogParam, Layout, Probe, Sourced } from "../../shared/catalog.ts";

/** One step of a contract's consistency. */
type Step =
  | { readonly sqlite: string }
  | { readonly postgres: string; readonly role?: string; readonly container?: string }
  | { readonly mariadb: string; readonly role?: string; readonly container?: string };

/** With `when`, it is taken only if those choices were made. */
export type StepTemplate = Step & { readonly when?: Readonly<Record<string, string>> };

/** What is kept of a service's files, with `${NAME}` where a parameter goes. */
export interface FilesTemplate {
  readonly sources: readonly string[];
  readonly excludes?: readonly string[];
  readonly consistency?: readonly StepTemplate[];
  /** Units stopped around a restore in place. */
  readonly stop?: readonly string[];
}

export interface DatabaseTemplate {
  readonly backupName: string;
  readonly backupCmd: string;
  readonly restoreCmd: string;
}

/** What the agent looks for; the entry and the layout are filled in. */
export type ProbeTemplate = Partial<Omit<Probe, "entry" | "layout">>;

/** One service, installed one way. */
export interface LayoutTemplate {
  /** One of them is called `user`: who does the backup. */
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

/** @param standard its default; without one it must be given */
export function param(kind: Kind, name: string, description: string, standard: string | null = null): CatalogParam {
  return { name, kind, description, default: standard, choices: [] };
}

/** The first choice is the default. */
export function choice(name: string, description: string, choices: readonly [string, ...string[]]): CatalogParam {
  return { name, kind: "choice", description, default: choices[0], choices: [...choices] };
}

/** Who does the backup on the host. */
export function runsAs(name: string | null): CatalogParam {
  return param("user", "user", "Unix user on the host that does the backup", name);
}

/** Files of a container belong to whatever number it runs as, which need not be a user of the host: root reads them all. */
export const asRoot = runsAs("root");

export const STOP_THE_CONTAINER =
  "Stop the container before a restore in place and start it afterwards: `docker stop NAME`, `docker start NAME`.";

const IN_CONTAINER = { role: "${databaseUser}", container: "${databaseContainer}" };

/** Of a service whose database, of either kind, runs in a container of its own; with the parameters named here. */
export const DUMPS_IN_CONTAINER: readonly StepTemplate[] = [
  { when: { engine: "postgres" }, postgres: "${databaseName}", ...IN_CONTAINER },
  { when: { engine: "mariadb" }, mariadb: "${databaseName}", ...IN_CONTAINER },
];

/** A fact that nobody could look up for us: a usual place, to be compared with the machine. */
export const UNVERIFIED = "a usual place, not verified: compare it with your machine";

/** Looks for the container of the database beside a service's own, and takes its kind for the service's `engine`. */
export function withDatabaseCompanion(probe: ProbeTemplate): ProbeTemplate[] {
  const images = { postgres: ["postgres"], mariadb: ["mariadb", "linuxserver/mariadb"] };
  return Object.entries(images).map(([engine, names]) => ({
    ...probe,
    companions: { databaseContainer: names },
    choices: { engine },
  }));
}

/** Where Self Host Blocks says it, at the commit the catalogue was made from. */
export function shb(fact: string, place: string): Sourced {
  return { fact, source: `ibizaman/selfhostblocks@bc3234e modules/${place}` };
}

/** What a file of a public repository says. */
export function read(fact: string, place: string): Sourced {
  return { fact, source: place };
}
