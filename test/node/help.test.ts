import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

/** What `holdfast --help` prints, to the letter: scripts and pages quote it. */
const HELP = `usage:
  holdfast start
      run the control plane, with this machine as its first host, until Ctrl-C
  holdfast serve
      run the control plane until it is told to stop
  holdfast token create NAME --scope read|operate|admin [--expires SECONDS] [--offline]
      make an API token; --offline writes it into the database itself, when no token is left to ask with
  holdfast enroll [--name NAME] [--uses N] [--expires SECONDS]
      print the command that makes another machine a host
  holdfast status [--json]
      show every host and binding: how it is, when it last succeeded, when it runs next
  holdfast incidents [--all] [--json]
      show what is wrong now; with --all, what was wrong as well
  holdfast acknowledge INCIDENT [--note TEXT]
      say that somebody sees to it: there are no more reminders of it
  holdfast run BINDING [--wait]
      back up now
  holdfast restore BINDING SNAPSHOT [--target DIR] [--include PATH…] [--overwrite always|if-changed|if-newer|never] [--delete] [--dry-run] [--no-verify] [--host HOST [--passphrase-file PATH]] [--wait]
      bring files back, where they came from or into a directory, on their host or another
  holdfast forget BINDING [--dry-run] [--json]
      remove the snapshots that the retention no longer wants; --dry-run: only say which, and why the others stay
  holdfast check REPOSITORY|BINDING [--wait]
      look for damage in a repository, and read the next part of its data
  holdfast prune REPOSITORY [--wait]
      free the space of what was forgotten
  holdfast catalog [NAME] [--json] | catalog apply NAME --host HOST --layout LAYOUT [--name CONTRACT] [--param K=V…]
      show the services whose backups are known, or one of them; or declare a contract of one
  holdfast proposals [--host HOST] [--dismissed] [--json]
      show the services that hosts were found to have, and that have no contract yet
  holdfast accept PROPOSAL [--name CONTRACT] [--param NAME=VALUE…]
      declare the contract that is proposed; it is backed up once you bind it to a repository
  holdfast dismiss PROPOSAL
      do not propose it again
  holdfast calendar EXPR… [--zone ZONE] [--from INSTANT] [--count N] [--json]
      say when a schedule comes next: systemd's calendar or cron's five fields
  holdfast audit [--by ID] [--object ID] [--since INSTANT] [--limit N] [--json]
      show who changed what, the newest change last
  holdfast recovery-key [--repository NAME]
      print the one line that brings this control plane back when its disk is gone; keep it somewhere else
  holdfast restore-control --key-file FILE|- [--location LOCATION] [--snapshot ID] [--data DIR] [--force]
      bring this control plane back from its own backup with its recovery key; hosts need not enrol again
  holdfast channels [--json]
      show who is told, and how telling them goes; exits with 3 when one can't be reached
  holdfast deliveries [--failed] [--json]
      show the newest 100 notifications; with --failed, those that were given up on
  holdfast retry DELIVERY
      send a notification again, now, whether it waits or was given up on
  holdfast migrate
      bring the database of HOLDFAST_DATABASE_URL to this version's schema, before a Workers deployment
  holdfast copy-database FROM TO
      make a consistent copy of a control plane's database file, also while it is in use
`;

const MAIN = join(import.meta.dirname, "../../control/cli/main.ts");

async function printed(...args: string[]): Promise<string> {
  return (await promisify(execFile)(process.execPath, [MAIN, ...args])).stdout;
}

test("the help names every verb with its usage and what it does", async () => {
  expect(await printed("--help")).toBe(HELP);
});

test("a verb's own help is its part of the whole", async () => {
  const [usage = "", summary = ""] = HELP.split("\n").slice(-5);
  expect(await printed("migrate", "--help")).toBe(`usage: ${usage.trim()}\n${summary.trim()}\n`);
});
