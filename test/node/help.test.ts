import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

/** What `holdfast --help` prints, to the letter: scripts and pages quote it. */
const HELP = `usage:
  holdfast start
      run the control plane, with this machine as its first host, until Ctrl-C
  holdfast serve
      run the control plane in the foreground until SIGINT or SIGTERM
  holdfast token create NAME --scope read|operate|admin [--expires SECONDS] [--offline], token rotate NAME [--overlap SECONDS]
      create an API token; --offline writes it to the database directly, for when no token is left; rotate: a new one in its place
  holdfast enroll [NAME] [--repository R]… [--hook H]… [--level guarded|ask|open] [--uses N] [--expires SECONDS] [--replace HOST]
      print the line that makes another machine a host, and what that grants
  holdfast status [--json]
      show every host and binding: health, last success, next run
  holdfast approvals [--host HOST] [--json]
      list what waits for root on a host, with the command that approves it there
  holdfast instances HOST [--accept INSTANCE] [--json]
      show which machines use a host's key; --accept: which of two is the host
  holdfast incidents [--all] [--json]
      list open incidents; --all: closed ones too
  holdfast acknowledge INCIDENT [--note TEXT]
      acknowledge an incident: stops its reminders
  holdfast run BINDING [--wait]
      back up now
  holdfast restore BINDING SNAPSHOT [--target DIR] [--include PATH…] [--overwrite always|if-changed|if-newer|never] [--delete] [--dry-run] [--no-verify] [--host HOST [--passphrase-file PATH]] [--wait]
      restore files in place or into a directory, on their host or another
  holdfast forget BINDING [--dry-run] [--json]
      apply the retention of a binding; --dry-run: only show what it would remove, and why the rest stays
  holdfast check REPOSITORY|BINDING [--wait]
      check a repository and read the next part of its data
  holdfast prune REPOSITORY [--wait]
      prune a repository: free the space of removed snapshots
  holdfast catalog [NAME] [--json] | catalog apply NAME --host HOST --layout LAYOUT [--name CONTRACT] [--param K=V…]
      list the service catalogue, show one entry, or create a contract from one
  holdfast proposals [--host HOST] [--dismissed] [--json]
      list services detected on hosts that have no contract yet
  holdfast accept PROPOSAL [--name CONTRACT] [--param NAME=VALUE…]
      create the proposed contract; it is backed up once you bind it to a repository
  holdfast dismiss PROPOSAL
      dismiss a proposal for good
  holdfast calendar EXPR… [--zone ZONE] [--from INSTANT] [--count N] [--json]
      show the next times of a schedule: systemd's calendar format or cron's five fields
  holdfast audit [verify] [--by ID] [--object ID] [--since INSTANT] [--limit N] [--json]
      show who changed what, the newest change last; verify: check that nobody changed the audit
  holdfast seal (--repository R | --provider P --location L) [--name passphrase|AWS_…] [--host H…] [--recipient age1…]
      seal a repository's passphrase or credential, read from stdin, so that only its hosts can open it
  holdfast signing-key next|status|switch|drop [--force] [--json]
      replace the key that signs assignments: make the next one, see which hosts have it, switch to it
  holdfast recovery [new|print KITFILE|verify KITFILE] [--html FILE]
      make the kit that opens every repository without control plane and hosts; print it whole; prove it
  holdfast recovery-key [--repository NAME]
      print the key that restores this control plane when its disk is lost; store it on another machine
  holdfast restore-control --key-file FILE|- [--location LOCATION] [--snapshot ID] [--data DIR] [--force]
      restore this control plane from its own backup with its recovery key; hosts need not enrol again
  holdfast channels [--json]
      show the notification channels and their state; exits with 3 when one fails
  holdfast deliveries [--failed] [--json]
      list the newest 100 notifications; --failed: only those that failed for good
  holdfast retry DELIVERY
      retry a notification now, also one that failed for good
  holdfast rows [--accept ID | --protect] [--json]
      find rows that somebody else wrote into the database; --accept one, or --protect a server's database of 0.2
  holdfast migrate
      migrate the database of HOLDFAST_DATABASE_URL to this version's schema, before a Workers deployment
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

test("a verb's own help equals its part of the whole help", async () => {
  const [usage = "", summary = ""] = HELP.split("\n").slice(-5);
  expect(await printed("migrate", "--help")).toBe(`usage: ${usage.trim()}\n${summary.trim()}\n`);
});
