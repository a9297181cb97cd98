import { randomBytes } from "node:crypto";
import { uptime } from "node:os";
import { text } from "node:stream/consumers";
import { RestoreRequest } from "../shared/assignment.ts";
import { messageOf } from "../shared/error-message.ts";
import { ApiError } from "./link/api.ts";
import { backupCommand } from "./cli/backup.ts";
import { execCommand } from "./cli/exec.ts";
import { EXIT, UsageError } from "./cli/deps.ts";
import { snapshotsCommand } from "./cli/snapshots.ts";
import { restoreCommand } from "./cli/restore.ts";
import { printRunError } from "./cli/print-outcome.ts";
import { type CliDeps } from "./cli/deps.ts";
import { agentPaths } from "./config.ts";
import { runDaemon } from "./daemon/daemon.ts";
import { searchPathsFrom } from "./detect/search-paths.ts";
import { doctorCommand } from "./cli/doctor.ts";
import { enroll, EnrollError } from "./cli/enroll.ts";
import { fetchSnapshot } from "./cli/fetch-snapshot.ts";
import { copySqlite } from "./consistency/sqlite-copy.ts";
import { statusCommand } from "./cli/status.ts";
import { RunError } from "./run-error.ts";
import { realTimers } from "./system/timers.ts";
import { uninstall } from "./cli/uninstall.ts";
import { forgetCommand, upkeepCommand } from "./cli/upkeep.ts";
import { VERSION } from "./version.ts";
import { parseArguments } from "./cli/arguments.ts";

const USAGE = `holdfast-agent ${VERSION}: does this host's backups

  enroll --url URL --token TOKEN   become a host of a control plane (or HOLDFAST_ENROLL_TOKEN)
  run                              the daemon: keep the schedule, take orders, report
  status [--json]                  what this host does, and when next
  backup BINDING [--accept-sources] [--json]
                                   back up now; take the sources as they are for the usual from now on
  snapshots BINDING [--json]       ids of the snapshots, oldest first
  restore BINDING SNAPSHOT [--target DIR] [--include PATH…] [--overwrite always|if-changed|if-newer|never]
          [--delete] [--dry-run] [--no-verify] [--json]
                                   put files back where they were, or under DIR; --delete: exactly the snapshot
  forget BINDING [--dry-run] [--json]
                                   remove what the retention no longer wants; --dry-run: only say which, and why others stay
  check REPOSITORY [--json]        look for damage, and read the next part of the data
  prune REPOSITORY [--json]        free the space of what was forgotten
  exec BINDING -- ARGS…            the backup tool itself, on the binding's repository
  doctor [--json]                  look for what is wrong
  uninstall [--yes]                take the agent off this machine

BINDING and REPOSITORY are names or ids. Exit status: 0 done, 1 failed, 2 usage, 3 done with warnings, 75 try later.
Everything lives under HOLDFAST_AGENT_ROOT (default: the machine itself).
`;

const deps: CliDeps = {
  paths: agentPaths(process.env["HOLDFAST_AGENT_ROOT"] ?? ""),
  clock: Date,
  uptime: () => uptime() * 1000,
  random: (bytes) => randomBytes(bytes),
  out: (text) => void process.stdout.write(text),
  log: (line) => void process.stderr.write(`${line}\n`),
};

const REPEATED_SIGNAL_MS = 2_000;

process.umask(0o077);
process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    return printError(error);
  }
}

async function dispatch([verb, ...args]: string[]): Promise<number> {
  switch (verb) {
    case "enroll":
      return await enrollVerb(args);
    case "run":
      parseArguments(args, {});
      return await runVerb();
    case "status":
      return await statusCommand(deps, { json: parseArguments(args, { flags: ["json"] }).flag("json") });
    case "backup": {
      const given = parseArguments(args, { flags: ["json", "accept-sources"], names: ["BINDING"] });
      const options = { acceptSources: given.flag("accept-sources"), json: given.flag("json") };
      return await backupCommand(deps, { binding: given.name(0), ...options, signal: stopSignal() });
    }
    case "snapshots": {
      const given = parseArguments(args, { flags: ["json"], names: ["BINDING"] });
      return await snapshotsCommand(deps, { binding: given.name(0), json: given.flag("json") });
    }
    case "restore":
      return await restoreVerb(args);
    case "forget": {
      const given = parseArguments(args, { flags: ["json", "dry-run"], names: ["BINDING"] });
      const [dryRun, json] = [given.flag("dry-run"), given.flag("json")];
      return await forgetCommand(deps, { binding: given.name(0), dryRun, json, signal: stopSignal() });
    }
    case "check":
    case "prune": {
      const given = parseArguments(args, { flags: ["json"], names: ["REPOSITORY"] });
      const [repository, json] = [given.name(0), given.flag("json")];
      return await upkeepCommand(deps, { kind: verb, repository, json, signal: stopSignal() });
    }
    case "exec":
      return await execVerb(args);
    case "doctor":
      return await doctorCommand(deps, { json: parseArguments(args, { flags: ["json"] }).flag("json") });
    case "uninstall":
      return await uninstall(deps, { yes: parseArguments(args, { flags: ["yes"] }).flag("yes") });
    case "copy-sqlite": {
      // Nobody types it: a backup begins it as the user who may read the database.
      const given = parseArguments(args, { names: ["SOURCE", "COPY"] });
      await copySqlite(given.name(0), given.name(1));
      return EXIT.done;
    }
    case "fetch-snapshot": {
      // Nor this: `holdfast restore-control` begins it, and hands it what it needs on standard input.
      parseArguments(args, {});
      const snapshot = await fetchSnapshot(deps, await text(process.stdin), stopSignal());
      deps.out(`${JSON.stringify(snapshot)}\n`);
      return EXIT.done;
    }
    case "--version":
      deps.out(`holdfast-agent ${VERSION}\n`);
      return EXIT.done;
    case "--help":
    case "-h":
    case "help":
      deps.out(USAGE);
      return EXIT.done;
    default:
      throw new UsageError(verb === undefined ? "say what to do" : `there is no verb '${verb}'`);
  }
}

async function enrollVerb(args: string[]): Promise<number> {
  const given = parseArguments(args, { texts: ["url", "token"] });
  const url = given.text("url");
  const token = given.text("token") ?? process.env["HOLDFAST_ENROLL_TOKEN"];
  if (url === undefined) throw new UsageError("--url is missing");
  if (token === undefined || token === "") throw new UsageError("--token is missing");
  const { config, wasAlready } = await enroll(deps, { url, token });
  deps.out(
    wasAlready
      ? `this machine is already host ${config.name} of ${config.url}\n`
      : `this machine is now host ${config.name} of ${config.url}\n`,
  );
  return EXIT.done;
}

/** The journal puts its own time before each line. */
async function runVerb(): Promise<number> {
  const isInJournal = process.env["JOURNAL_STREAM"] !== undefined;
  const log = (line: string): void => deps.log(isInJournal ? line : `${new Date().toISOString()} ${line}`);
  const status = await runDaemon(
    { ...deps, log, timers: realTimers, searchPaths: searchPathsFrom(process.env) },
    stopSignal(),
  );
  // What is still open then (a socket's goodbye, a hanging request) must not keep the service from ending.
  process.exit(status);
}

async function restoreVerb(args: string[]): Promise<number> {
  const given = parseArguments(args, {
    flags: ["json", "delete", "dry-run", "no-verify"],
    texts: ["target", "overwrite"],
    lists: ["include"],
    names: ["BINDING", "SNAPSHOT"],
    restInto: "include",
  });
  const wanted = {
    snapshot: given.name(1),
    target: given.text("target") ?? null,
    include: given.list("include"),
    overwrite: given.text("overwrite"),
    delete: given.flag("delete"),
    dryRun: given.flag("dry-run"),
    verify: !given.flag("no-verify"),
  };
  const restore = RestoreRequest.safeParse(wanted);
  if (!restore.success) {
    const issue = restore.error.issues[0];
    throw new UsageError(
      `${issue?.path[0] === "snapshot" ? "SNAPSHOT" : `--${String(issue?.path[0])}`} ${issue?.message}`,
    );
  }
  return await restoreCommand(deps, {
    binding: given.name(0),
    restore: restore.data,
    json: given.flag("json"),
    signal: stopSignal(),
  });
}

async function execVerb(args: string[]): Promise<number> {
  const dashes = args.indexOf("--");
  if (dashes < 0) throw new UsageError("exec BINDING -- ARGS…: the '--' is missing");
  const given = parseArguments(args.slice(0, dashes), { names: ["BINDING"] });
  return await execCommand(deps, { binding: given.name(0), args: args.slice(dashes + 1) });
}

/**
 * Aborts when somebody wants this process to stop. Asked again later, it goes at once, and what is left over is ended by
 * the next daemon. At once again is the same wish: Ctrl-C reaches us from the terminal and from whoever started us.
 */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  let firstSignalAt = 0;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (!stop.signal.aborted) firstSignalAt = performance.now();
      else if (performance.now() - firstSignalAt > REPEATED_SIGNAL_MS) process.exit(EXIT.failed);
      stop.abort();
    });
  }
  return stop.signal;
}

function printError(error: unknown): number {
  if (error instanceof UsageError || (error instanceof EnrollError && error.isUsage)) {
    deps.log(`holdfast-agent: ${error.message} (see 'holdfast-agent --help')`);
    return EXIT.usage;
  }
  if (error instanceof RunError) return printRunError(deps, error);
  deps.log(`holdfast-agent: ${messageOf(error)}`);
  return error instanceof ApiError && error.kind === "offline" ? EXIT.tryLater : EXIT.failed;
}
