import { EXIT } from "../../shared/node/arguments.ts";
import { acceptRow, countUnprotected, findTamperedRows, protectRows } from "../domain/service/row-protection.ts";
import { openOffline } from "./offline.ts";
import { readId } from "./params.ts";
import { table } from "./table.ts";
import { defineVerb } from "./verb.ts";

/** Works on the database itself, with the signing key: an API token may be among the rows that are not used. */
export const rows = defineVerb({
  name: "rows",
  usage: "rows [--accept ID | --protect] [--json]",
  summary:
    "find rows that somebody else wrote into the database; --accept one, or --protect a server's database of 0.2",
  options: { accept: { type: "string" }, protect: { type: "boolean", default: false }, json: { type: "boolean" } },
  positionals: [],
  run: async ({ values, terminal }) => {
    const { deps, close } = await openOffline(terminal);
    try {
      if (values.accept !== undefined) {
        const id = readId(values.accept, "--accept", "rows");
        return { text: `row ${id} of ${await acceptRow(deps, id)} is used again\n` };
      }
      if (values.protect) {
        const counts = await countUnprotected(deps.db);
        if ((await protectRows(deps, { mayBegin: true })) === null) return { text: "nothing to do\n" };
        return { text: [...counts].map(([name, count]) => `${name}: ${count} got a MAC\n`).join("") };
      }
      const found = await findTamperedRows(deps);
      const text =
        found.length === 0
          ? "all rows were written by this control plane\n"
          : table([["TABLE", "ROW"], ...found.map(({ table: name, id }) => [name, id])]);
      return { json: found, text, status: found.length === 0 ? EXIT.done : EXIT.failed };
    } finally {
      close();
    }
  },
});
