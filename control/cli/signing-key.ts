import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { page } from "../../shared/api.ts";
import { Host } from "../../shared/host.ts";
import { hosts } from "../db/schema/hosts.ts";
import { lockDataDirectory } from "../runtime/node/data-directory.ts";
import { readConfig } from "../runtime/node/config.ts";
import {
  dropNextSigningKey,
  prepareNextSigningKey,
  readNextSigningKey,
  switchSigningKey,
} from "../runtime/node/next-signing-key.ts";
import { openOffline } from "./offline.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { ExitError } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

/** Replaces the key that hosts have pinned: prepare, wait until every host has pinned the next one, switch. */
export const signingKey = defineVerb({
  name: "signing-key",
  usage: "signing-key next|status|switch|drop [--force] [--json]",
  summary: "replace the key that signs assignments: make the next one, see which hosts have it, switch to it",
  options: { force: { type: "boolean", default: false }, json: { type: "boolean" } },
  positionals: ["next"],
  run: async ({ values, positionals: [action], terminal, openClient }) => {
    const { dataDir } = readConfig(terminal.env);
    switch (action) {
      case "next": {
        const { fingerprint } = await prepareNextSigningKey(dataDir);
        return {
          text: `the next signing key is ${fingerprint}. Start the control plane again: its hosts pin it. 'holdfast signing-key status' says which have\n`,
        };
      }
      case "status": {
        const next = await nextOf(terminal);
        const client = await openClient();
        const { items } = await client.ask(page(Host), "GET", "/hosts?limit=500");
        const rows = items
          .filter(({ revokedAt }) => revokedAt === null)
          .map(({ name, facts }) => ({ host: name, hasNextKey: facts?.nextControlKey === next.publicKey }));
        const text = table([
          ["HOST", "HAS THE NEXT KEY"],
          ...rows.map((row) => [row.host, row.hasNextKey ? "yes" : "no"]),
        ]);
        return { json: rows, text, status: rows.every(({ hasNextKey }) => hasNextKey) ? EXIT.done : EXIT.warned };
      }
      case "switch":
        return { text: await switchKeys(terminal, { force: values.force }) };
      case "drop":
        await dropNextSigningKey(dataDir);
        return { text: "the next signing key is gone; the present one stays\n" };
      default:
        throw new UsageError(`unknown command 'signing-key ${action}'`);
    }
  },
});

async function nextOf(terminal: Terminal) {
  const next = await readNextSigningKey(readConfig(terminal.env).dataDir, undefined);
  if (next === null) throw new ExitError(EXIT.failed, "no next signing key is prepared: holdfast signing-key next");
  return next;
}

/** The control plane must not run: its lock is taken. */
async function switchKeys(terminal: Terminal, { force }: { force: boolean }): Promise<string> {
  const { dataDir } = readConfig(terminal.env);
  const next = await nextOf(terminal);
  const release = await lockDataDirectory(dataDir);
  try {
    const { deps, close } = await openOffline(terminal);
    try {
      const rows = await deps.db.select().from(hosts);
      const without = rows.filter(
        ({ revokedAt, facts }) => revokedAt === null && facts?.nextControlKey !== next.publicKey,
      );
      if (without.length > 0 && !force) {
        const names = without.map(({ name }) => name).join(", ");
        throw new ExitError(
          EXIT.failed,
          `these hosts have not pinned the next key, and would have to be enrolled again: ${names}. Wait for them, or add --force`,
        );
      }
      const { remade, tampered } = await switchSigningKey(deps, dataDir);
      const left = tampered.length === 0 ? "" : ` ${tampered.length} rows that somebody else wrote stay unused.`;
      return `the control plane signs with ${next.fingerprint} from its next start on; ${remade} rows were made again.${left} Print a new recovery key. Enrolment tokens made before are no longer valid\n`;
    } finally {
      close();
    }
  } finally {
    release();
  }
}
