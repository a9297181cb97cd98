import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import { acceptAssignment } from "../../agent/link/assignments.ts";
import { agentPaths, writeConfig } from "../../agent/config.ts";
import { loadOrCreateIdentity } from "../../agent/link/identity.ts";
import { Assignment, JWS_TYPES } from "../../shared/assignment.ts";
import { until } from "../support/until.ts";
import { agentIn, type AgentProcess } from "../support/agent.ts";
import { assignmentOf, configOf, makeSigner } from "./signer.ts";

// A host whose control plane is gone for good: what the command line still does, in what words, and with what exit
// status.

let root: string;
let agent: AgentProcess;
let assignment: Assignment;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-cli-"));
  agent = agentIn(root);
  const paths = agentPaths(root);
  const signer = await makeSigner();
  const config = configOf(signer);
  await mkdir(join(root, "srv"));
  await writeFile(join(root, "srv/letter.txt"), "dear reader");
  const [one] = [assignmentOf(config.host, 1, { timerConfig: { OnCalendar: "yearly" } })];
  assignment = Assignment.parse({
    ...one,
    contracts: one.contracts.map((contract) => ({
      ...contract,
      request: { user: userInfo().username, sourceDirectories: [join(root, "srv")] },
    })),
    repositories: one.repositories.map((repository) => ({ ...repository, location: join(root, "repository") })),
  });
  await writeConfig(paths, config);
  await loadOrCreateIdentity(paths);
  const log = (): void => undefined;
  const refuse = async (): Promise<void> => Promise.reject(new Error("the test's own assignment was refused"));
  const jws = await signer.sign(assignment, JWS_TYPES.assignment);
  await acceptAssignment({ paths, config, clock: Date, log, refuse }, { jws, current: null });
});

afterAll(async () => {
  await agent.kill("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

const HELP = `holdfast-agent VERSION: does this host's backups

  enroll --url URL --token-file FILE
                                   become a host of a control plane; --token - reads the token from standard input
  run                              the daemon: keep the schedule, take orders, report
  status [--json]                  what this host does, and when next
  backup BINDING [--accept-sources] [--json]
                                   back up now; take the sources as they are for the usual from now on
  snapshots BINDING [--json]       ids of the snapshots, oldest first
  restore BINDING SNAPSHOT [--target DIR] [--include PATH…] [--overwrite always|if-changed|if-newer|never]
          [--delete] [--keep-replaced] [--dry-run] [--no-verify] [--json]
                                   put files back where they were, or under DIR; --delete: exactly the snapshot
  forget BINDING [--dry-run] [--below-floor] [--json]
                                   remove what the retention no longer wants; --dry-run: only say which, and why others stay; --below-floor: also what the policy keeps
  check REPOSITORY [--json]        look for damage, and read the next part of the data
  prune REPOSITORY [--json]        free the space of what was forgotten
  rotate key | rotate passphrase REPOSITORY
                                   give this host a new key, or a repository a new passphrase
  exec BINDING -- ARGS…            the backup tool itself, on the binding's repository
  approve [KEY…|all] [--show KEY] [--granted] [--revoke KEY…] [--json]
                                   show what waits for root, and say yes to it
  policy [check FILE] [--json]     say what this host allows; check FILE: what it would with that file
  recovery [--grant age1…|--none]  which recovery kit opens this host's repositories; --grant: seal what opens them to that one
  recover --kit FILE [--check] [--repository NAME] [--location L] [--snapshot ID --target DIR [--include PATH…]]
          [--ssh-key FILE] [--ca FILE]
                                   with the recovery kit alone, on any machine: open its repositories, list snapshots, restore one to DIR
  doctor [--json]                  look for what is wrong
  uninstall [--yes]                take the agent off this machine

BINDING and REPOSITORY are names or ids. Exit status: 0 done, 1 failed, 2 usage, 3 done with warnings,
4 cancelled, 75 try later.
Everything lives under HOLDFAST_AGENT_ROOT (default: the machine itself).
`;

test("the program prints its version and its help", async () => {
  expect(await agent.cli("--version")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^holdfast-agent \S+\n$/),
  });
  const { code, stdout } = await agent.cli("--help");
  expect(code).toBe(0);
  for (const verb of [
    "enroll",
    "run",
    "status",
    "backup",
    "snapshots",
    "restore",
    "forget",
    "check",
    "prune",
    "exec",
    "approve",
    "policy",
    "doctor",
    "uninstall",
  ]) {
    expect(stdout).toMatch(new RegExp(`^  ${verb}\\b`, "m"));
  }
  expect(stdout.replace(/^holdfast-agent \S+:/, "holdfast-agent VERSION:")).toBe(HELP);
});

const misused: [words: string[], sentence: string][] = [
  [[], "say what to do"],
  [["frobnicate"], "there is no verb 'frobnicate'"],
  [["backup"], "BINDING is missing"],
  [["backup", "nobody"], "no binding 'nobody' here; there is: photos-disk"],
  [["backup", "photos-disk", "now"], "unexpected argument 'now'"],
  [["backup", "photos-disk", "--fast"], "--fast"],
  [["restore", "photos-disk"], "SNAPSHOT is missing"],
  [["restore", "photos-disk", "-o", "sftp.command=sh"], "-o"],
  [["restore", "photos-disk", "; rm"], "SNAPSHOT must be a snapshot's id or 'latest'"],
  [["restore", "photos-disk", "latest", "--target", "here"], "--target must be an absolute path"],
  [["restore", "photos-disk", "latest", "--overwrite", "sometimes"], "--overwrite"],
  [["restore", "photos-disk", "latest", "--include"], "--include"],
  [["forget", "photos-disk", "--all"], "--all"],
  [["check"], "REPOSITORY is missing"],
  [["prune", "attic"], "no repository 'attic' here; there is: disk"],
  [["exec", "photos-disk", "snapshots"], "the '--' is missing"],
  [["enroll", "--url", "nowhere", "--token", "hfe.x"], "that is not an enrolment token"],
  [["enroll", "--token", "hfe.x"], "--url is missing"],
];

test("invalid arguments are a usage error that names the problem", async () => {
  const outcomes = await Promise.all(misused.map(([words]) => agent.cli(...words)));
  for (const [index, { code, stdout, stderr }] of outcomes.entries()) {
    const [words, sentence = ""] = misused[index] ?? [];
    expect({ code, stdout, words }).toEqual({ code: 2, stdout: "", words });
    expect(stderr).toContain(sentence);
    expect(stderr).not.toMatch(/^\s+at /m);
  }
});

test("backs up, lists, restores and looks into the repository with the control plane gone", async () => {
  const first = await agent.cli("backup", "photos-disk");
  expect(first).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("backup of photos-disk: succeeded, snapshot "),
  });
  expect(first.stderr).toContain("the report is kept and delivered later");
  const second = await agent.cli("backup", assignment.bindings[0]?.id ?? "", "--json");
  const outcome = z.object({ state: z.string(), snapshot: z.string() }).parse(JSON.parse(second.stdout));
  expect(outcome.state).toBe("succeeded");

  const listed = await agent.cli("snapshots", "photos-disk");
  const ids = listed.stdout.trimEnd().split("\n");
  expect(ids).toHaveLength(2);
  expect(ids[1]).toBe(outcome.snapshot);
  const facts = JSON.parse((await agent.cli("snapshots", "photos-disk", "--json")).stdout);
  expect(facts.map(({ id }: { id: string }) => id)).toEqual(ids);

  const target = join(root, "restored");
  const restored = await agent.cli("restore", "photos-disk", ids[0] ?? "", "--target", target);
  expect(restored.code).toBe(0);
  expect(restored.stdout.split("\n")[0]).toBe(`Will restore snapshot '${ids[0]}'`);
  expect(restored.stdout).toContain("restored 1 files (11 bytes)");
  const dry = await agent.cli("restore", "photos-disk", "latest", "--dry-run", "--delete", "--overwrite", "if-changed");
  expect(dry).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("nothing was changed: 0 to create, 0 to update"),
  });
  expect(await readFile(join(target, root, "srv/letter.txt"), "utf8")).toBe("dear reader");

  const engine = await agent.cli("exec", "photos-disk", "--", "cat", "config");
  expect(engine).toMatchObject({ code: 0, stdout: expect.stringContaining('"chunker_polynomial"') });
});

test("a failure has a code and says what to do", async () => {
  const missing = await agent.cli("restore", "photos-disk", "deadbeef", "--target", join(root, "nothing"));
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain("(snapshot.missing)");
  expect(missing.stderr).toContain("`holdfast-agent snapshots BINDING` lists them");
});

test("enrolling at a control plane that does not answer exits with 75, try later", async () => {
  const other = await mkdtemp(join(tmpdir(), "holdfast-cli-"));
  onTestFinished(() => rm(other, { recursive: true, force: true }));
  const token = `hfe.${"A".repeat(43)}.${"B".repeat(43)}`;
  const tried = await agentIn(other).cli("enroll", "--url", "http://127.0.0.1:2", "--token", token);
  expect(tried.code).toBe(75);
  expect(tried.stderr).toContain("http://127.0.0.1:2 does not answer");
  for (const verb of ["run", "status", "doctor"]) {
    expect(await agentIn(other).cli(verb), verb).toMatchObject({ code: 1 });
  }
});

test("one daemon runs per root; a dead one is replaced, and a stop is orderly", async () => {
  agent.start();
  await until("the daemon to run", async () => (await agent.cli("status")).stdout.includes("running as process"));
  const second = await agent.cli("run");
  expect(second.code).toBe(75);
  expect(second.stderr).toContain("the agent is already running");
  const status = JSON.parse((await agent.cli("status", "--json")).stdout);
  expect(status).toMatchObject({
    revision: 1,
    daemon: { socket: "closed" },
    bindings: [{ name: "photos-disk", state: "on" }],
  });

  await agent.kill("SIGKILL");
  expect(await agent.cli("status")).toMatchObject({ code: 3, stdout: expect.stringContaining("not running") });
  const heir = agentIn(root);
  heir.start();
  await until("the next daemon to run", async () => (await agent.cli("status")).code === 0);
  await heir.kill("SIGTERM");
  expect(heir.said()).toContain("stopped");
  expect(heir.said()).not.toMatch(/^\s+at /m);
});

test("the doctor finds what is wrong and says what to do", async () => {
  await writeFile(join(root, "var/lib/holdfast/contracts.json"), "{");
  const { code, stdout } = await agent.cli("doctor");
  expect(code).toBe(1);
  expect(stdout).toMatch(/^warn {2}control plane: http:\/\/127.0.0.1:2 does not answer.*reports are kept/m);
  expect(stdout).toMatch(/^fail {2}agent: not running/m);
  expect(stdout).toMatch(/^ok {4}restic: \d+\.\d+/m);
  expect(stdout).toMatch(/^fail {2}state.damaged: .*contracts\.json\.unreadable.*then remove the file$/m);
  expect(stdout).toMatch(/^ok {4}repository disk: opens, and holds 2 snapshots of photos-disk/m);
  const findings = JSON.parse((await agent.cli("doctor", "--json")).stdout);
  expect(findings).toContainEqual({
    level: "fail",
    subject: "agent",
    message: expect.stringContaining("not running"),
  });
});

test("uninstall lists what it removes, removes it only when confirmed, and never a repository", async () => {
  const copy = await mkdtemp(join(tmpdir(), "holdfast-cli-"));
  onTestFinished(() => rm(copy, { recursive: true, force: true }));
  await cp(root, copy, { recursive: true });
  const agent = agentIn(copy);
  const asked = await agent.cli("uninstall");
  expect(asked.code).toBe(2);
  expect(asked.stdout).toContain(`${copy}/var/lib/holdfast/secrets/`);
  expect(asked.stdout).toContain("Without them nobody can read the repositories");

  const done = await agent.cli("uninstall", "--yes");
  expect(done.code).toBe(0);
  for (const gone of ["etc/holdfast", "var/lib/holdfast", "var/cache/holdfast"]) {
    await expect(readFile(join(copy, gone)), gone).rejects.toThrow("ENOENT");
  }
  expect(await readFile(join(copy, "repository/config"))).not.toHaveLength(0);
  expect(await agent.cli("uninstall", "--yes")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("nothing"),
  });
});
