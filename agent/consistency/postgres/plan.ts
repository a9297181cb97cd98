import type { PostgresEntry } from "../servers.ts";
import type { DumpContents } from "./contents.ts";
import type { DatabaseFacts, ServerFacts } from "./facts.ts";

export interface PostgresLoad {
  readonly entry: PostgresEntry;
  readonly database: string;
  /** The agent's own. */
  readonly file: string;
}

/** Everything that is known before anything is changed. */
export interface LoadPlan extends PostgresLoad {
  readonly contents: DumpContents;
  readonly server: ServerFacts;
  readonly facts: DatabaseFacts;
  readonly databaseOwner: string;
  /** May be lent to whoever loads: this role may do nothing outside the database. */
  readonly isOrdinary: (role: string) => boolean;
  /** The objects' owners are not set by the dump, since it names some that may not be lent. */
  readonly isWithoutOwners: boolean;
}
