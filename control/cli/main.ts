import { messageOf } from "../../shared/error-message.ts";
import { start } from "./start.ts";
import { audit } from "./audit.ts";
import { calendar } from "./calendar.ts";
import { catalog } from "./catalog.ts";
import { channels, deliveries, retry } from "./channels.ts";
import { copyDatabase, migrate } from "./database.ts";
import { enroll } from "./enroll.ts";
import { acknowledge, incidents } from "./incidents.ts";
import { accept, dismiss, proposals } from "./proposals.ts";
import { recoveryKey } from "./recovery-key.ts";
import { restoreControl } from "./restore-control.ts";
import { restore, run } from "./runs.ts";
import { serve } from "./serve.ts";
import { status } from "./status.ts";
import { EXIT, ExitError, type Terminal, UsageError, type Verb } from "./terminal.ts";
import { token } from "./token.ts";
import { check, forget, prune } from "./upkeep.ts";

const verbs = new Map<string, Verb>(
  Object.entries({
    start,
    serve,
    token,
    enroll,
    status,
    incidents,
    acknowledge,
    run,
    restore,
    forget,
    check,
    prune,
    catalog,
    proposals,
    accept,
    dismiss,
    calendar,
    audit,
    "recovery-key": recoveryKey,
    "restore-control": restoreControl,
    channels,
    deliveries,
    retry,
    migrate,
    "copy-database": copyDatabase,
  }),
);

const terminal: Terminal = {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};

// What is kept here (tokens' hashes, webhooks' secrets, keys) is nobody else's to read.
process.umask(0o077);
// A reader that has seen enough (`| head`) is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});
process.exitCode = await main(process.argv.slice(2), terminal);

async function main([name = "", ...args]: string[], { out, err }: Terminal): Promise<number> {
  const verb = verbs.get(name);
  if (verb === undefined) {
    const isAsked = name === "help" || name === "--help" || name === "-h";
    (isAsked ? out : err)(`${isAsked || name === "" ? "" : `holdfast: '${name}' is not a verb\n`}${usage()}`);
    return isAsked ? EXIT.done : EXIT.usage;
  }
  if (args.includes("--help")) {
    out(`usage: holdfast ${verb.usage}\n${verb.summary}\n`);
    return EXIT.done;
  }
  try {
    return await verb.run(args, terminal);
  } catch (error) {
    if (isUsage(error)) {
      err(`holdfast: ${error.message}\nusage: holdfast ${verb.usage}\n`);
      return EXIT.usage;
    }
    err(`holdfast: ${messageOf(error)}\n`);
    return error instanceof ExitError ? error.status : EXIT.failed;
  }
}

function usage(): string {
  const lines = [...verbs.values()].map((verb) => `  holdfast ${verb.usage}\n      ${verb.summary}\n`);
  return `usage:\n${lines.join("")}`;
}

function isUsage(error: unknown): error is Error {
  if (error instanceof UsageError) return true;
  return error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS_");
}
