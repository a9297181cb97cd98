import type { Account, StoredProgram } from "./contents.ts";
import { keyOf, type MariadbFacts } from "./facts.ts";
import { accountName } from "./sql.ts";

export interface ChosenProgram {
  readonly program: StoredProgram;
  readonly definer: Account;
  /** The server has that very program now: whoever administers it has let it in. */
  readonly isThere: boolean;
}

const DEFINER = /DEFINER=(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")@(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")/i;
/** Accounts of MariaDB's own, which it may get at any time. */
const SERVERS_OWN = new Set(["root", "mysql", "mariadb.sys"]);

/**
 * A program of an account that may do more than use the database would be a way to those rights. Such a definer is
 * kept only where the database on the server has that very program now. Otherwise `restored` defines it.
 * @param now the programs of the database on the server
 */
export function chooseDefiners(
  programs: readonly StoredProgram[],
  { now, facts, restored }: { now: readonly StoredProgram[]; facts: Pick<MariadbFacts, "strong">; restored: Account },
): ChosenProgram[] {
  const there = new Set(now.map(identityOf));
  return programs.map((program) => {
    const isThere = there.has(identityOf(program));
    const isKept = isThere || !isStrong(program.definer, facts);
    return { program, isThere, definer: isKept ? program.definer : restored };
  });
}

function isStrong(definer: Account, { strong }: Pick<MariadbFacts, "strong">): boolean {
  return strong.has(keyOf(definer)) || SERVERS_OWN.has(definer.user) || definer.host === "";
}

/** Only the server takes the text apart: it comes as a value, and can be one statement only. */
export function programSql({ program, definer }: Pick<ChosenProgram, "program" | "definer">): string[] {
  const name = Buffer.from(accountName(definer)).toString("latin1");
  const text = program.text
    .replace(DEFINER, () => `DEFINER=${name}`)
    .replace(/CREATE(?! OR REPLACE)/i, "CREATE OR REPLACE");
  return [...program.settings, `EXECUTE IMMEDIATE X'${Buffer.from(text, "latin1").toString("hex")}'`];
}

function identityOf({ text, settings }: StoredProgram): string {
  return [...settings, text].join(";\n");
}
