import * as z from "zod";

/** The names on the host that belong to a binding, the same in every version. */
export const Result = z.strictObject({
  restoreScript: z.string().describe("a command on the host: snapshots | backup | restore <id> | exec <args>"),
  backupService: z.string().describe("a systemd unit on the host: started, it makes one backup"),
});
export type Result = z.infer<typeof Result>;

/** @param binding its name, which no other binding of the host has: so results are unique, too */
export function resultOf(binding: string): Result {
  return { restoreScript: `holdfast-backups-${binding}`, backupService: `holdfast-backup@${binding}.service` };
}
