import type { Log } from "../../deps.ts";

/* oxlint-disable no-console -- a Worker has no other log */

/** One object per line, so that Workers Logs can filter by its fields. */
export const log: Log = {
  info: (message, facts) => console.log({ message, ...facts }),
  error: (message, facts) => console.error({ message, ...facts }),
};
