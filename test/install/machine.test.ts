import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { page } from "../../shared/api.ts";
import { Approval } from "../../shared/approval.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { Repository } from "../../shared/repository.ts";
import { isOver, Run, Snapshot } from "../../shared/run.ts";
import { openClient } from "../support/client.ts";
import type { Client } from "../support/client.ts";
import { bootMachine, filesOf } from "../support/machine.ts";
import type { Machine } from "../support/machine.ts";
import { until } from "../support/until.ts";

// A whole life of the agent on a machine that is not this one: Debian with systemd as PID 1 and Debian's own restic,
// reachable by one cable only. Each step goes on where the one before it stopped.

let directory: string;
let machine: Machine;
let control: Awaited<ReturnType<typeof startControl>>;
let api: Client;
let before: Set<string>;
let command: string;
let token: string;
let host: Host;
let binding: Binding;
let isBroken = false;
const unit = "holdfast-backup@photos-disk.service";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-control-"));
  machine = await bootMachine("bookworm");
  control = await startControl(
    readConfig({ HOLDFAST_DATA: directory, HOLDFAST_HOST: machine.gateway, HOLDFAST_PORT: "0" }),
  );
  const admin = await createToken(control.deps, { name: "test", scope: "admin", expiresInSeconds: null });
  api = openClient(control.url, () => admin.token);
  before = await filesOf(machine);
  ({ command, token } = await api.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas" }));
});

afterAll(async () => {
  await machine?.destroy();
  await control?.close();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(({ skip, onTestFailed }) => {
  if (isBroken) skip("a step before this one failed");
  onTestFailed(() => {
    isBroken = true;
  });
});

test("the install command installs, enrols and starts the agent", async () => {
  const pasted = await machine.sh(command);
  expect(pasted.stderr).toBe("");
  expect(pasted).toMatchObject({ code: 0 });
  expect(pasted.stdout).toContain("the agent is running");
  expect((await machine.sh("systemctl is-active holdfast-agent; systemctl is-enabled holdfast-agent")).stdout).toBe(
    "active\nenabled\n",
  );
  host = await onlineSince(null);
  expect(host).toMatchObject({
    name: "nas",
    facts: { os: expect.stringContaining("Debian"), runsAs: "root", hooksPolicy: "named" },
  });
  expect(host.facts?.engines).toMatchObject([{ provider: "restic", version: "0.14.0", path: "/usr/bin/restic" }]);
  // Nobody else on the machine may read the state, and the token is left in no file, sudo's log included.
  expect((await machine.sh("stat -c '%a %U' /var/lib/holdfast /etc/holdfast /etc/holdfast/hooks.d")).stdout).toBe(
    "700 root\n755 root\n755 root\n",
  );
  const secret = token.split(".")[1];
  expect(
    (await machine.sh(`grep -rlF -- '${secret}' /etc /var/lib /var/cache /var/log /usr/local /root /tmp`)).stdout,
  ).toBe("");
});

test("the first backup, with Debian's own restic, is reported with its snapshot", async () => {
  await machine.sh(
    "mkdir -p /srv/photos && head -c 300000 /dev/urandom >/srv/photos/a.jpg && echo hello >/srv/photos/b.txt",
  );
  await hook(
    "before",
    "echo before >>/srv/order; grep ^0: /proc/self/cgroup >>/srv/cgroups; test ! -e /srv/hold || exec sleep 300",
  );
  await hook("after", "echo after >>/srv/order");
  const contract = await api.ask(Contract, "POST", "/api/v1/contracts", {
    host: host.id,
    name: "photos",
    request: {
      user: "root",
      sourceDirectories: ["/srv/photos"],
      hooks: { beforeBackup: ["before"], afterBackup: ["after"] },
    },
  });
  const repository = await api.ask(Repository, "POST", "/api/v1/repositories", {
    name: "disk",
    provider: "restic",
    location: "/srv/backup",
    passphrase: { generate: true },
  });
  binding = await api.ask(Binding, "POST", "/api/v1/bindings", { contract: contract.id, repository: repository.id });
  // The line granted no place: root says yes to it once.
  const waiting = async () => (await api.ask(page(Approval), "GET", "/api/v1/approvals")).items;
  await until("the place and the hooks to wait for root", async () => (await waiting()).length > 0);
  expect(await machine.sh("holdfast-agent approve all")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("Keep backups with restic at /srv/backup"),
  });
  await until("nothing to wait any more", async () => (await waiting()).length === 0);
  const run = await backUp();
  expect(run).toMatchObject({ state: "succeeded", failure: null, stats: { filesTotal: 2 } });
  const { items } = await api.ask(page(Snapshot), "GET", `/api/v1/snapshots?binding=${binding.id}`);
  expect(items.map(({ id }) => id)).toEqual([run.snapshot]);
  expect(await shown()).toBe("success 0 inactive");
});

test("the binding's own unit makes a backup, and its script lists and restores", async () => {
  const { result } = await api.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`);
  expect(result).toEqual({
    restoreScript: "holdfast-backups-photos-disk",
    backupService: unit,
  });
  const { restoreScript: script } = result;
  const first = (await machine.sh(`${script} snapshots`)).stdout;
  expect(first).toMatch(/^[0-9a-f]{64}\n$/);
  expect(await machine.sh(`systemctl cat ${unit} >/dev/null`)).toMatchObject({ code: 0 });
  await machine.sh("echo changed >/srv/photos/b.txt");
  expect(await machine.sh(`systemctl start --wait ${unit}`)).toEqual({ code: 0, stdout: "", stderr: "" });
  expect((await machine.sh(`systemctl show -P Result ${unit}`)).stdout).toBe("success\n");
  const { stdout } = await machine.sh(`${script} snapshots`);
  expect(stdout.trimEnd().split("\n")).toEqual([first.trim(), expect.stringMatching(/^[0-9a-f]{64}$/)]);

  const restored = await machine.sh(`${script} restore ${first.trim()} && cat /srv/photos/b.txt`);
  expect(restored).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Will restore snapshot '[0-9a-f]+'\n/) });
  expect(restored.stdout).toMatch(/\nhello\n$/);
  expect(await machine.sh("systemctl start --wait holdfast-backup@nobody.service")).toMatchObject({ code: 1 });
  // a person's own runs are reported like all others
  const runs = await watched("the runs to be reported", async () => {
    const { items } = await api.ask(page(Run), "GET", `/api/v1/runs?binding=${binding.id}`);
    return items.filter(({ trigger }) => trigger === "manual").length >= 2 ? items : null;
  });
  expect(runs.filter(({ trigger }) => trigger === "manual").map(({ kind, state }) => `${kind} ${state}`)).toContain(
    "restore succeeded",
  );
});

test("a backup that the agent makes is in its unit: after others, under its limits, with its log", async () => {
  await machine.sh(`
    printf '#!/bin/sh\\necho "$*" $(grep ^0: /proc/self/cgroup) >>/srv/cgroups\\nexec /usr/bin/restic "$@"\\n' >/usr/local/bin/restic
    chmod 755 /usr/local/bin/restic
    printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c "sleep 0.5; echo first >>/srv/order"\\n' >/run/systemd/system/first.service
    printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c "echo $$MONITOR_UNIT $$MONITOR_EXIT_STATUS >>/srv/failed"\\n' >/run/systemd/system/sad.service
    mkdir -p /run/systemd/system/${unit}.d
    printf '[Unit]\\nWants=first.service\\nAfter=first.service\\nOnFailure=sad.service\\n' >/run/systemd/system/${unit}.d/a.conf
    systemctl daemon-reload; rm -f /srv/order /srv/cgroups`);
  expect(await backUp()).toMatchObject({ state: "succeeded" });
  expect((await machine.sh("cat /srv/order")).stdout).toBe("first\nbefore\nafter\n");
  const programs = (await machine.sh("cat /srv/cgroups")).stdout.trimEnd().split("\n");
  expect(programs.map((line) => line.split(" ")[0])).toEqual(expect.arrayContaining(["backup", "snapshots"]));
  // All but the question for its version, which belongs to no run.
  expect(programs.filter((line) => !line.endsWith(`/${unit}`) && !line.startsWith("version "))).toEqual([]);
  expect(await shown()).toBe("success 0 inactive");
  const log = (await machine.sh(`journalctl -u ${unit} -o cat --no-pager`)).stdout;
  expect(log).toMatch(/before hook "before" as root\n[^]*backup of photos-disk: succeeded, snapshot [0-9a-f]{64}\n/);
  expect((await machine.sh("ls -A /run/holdfast/backups")).stdout).toBe("");
});

test("a failed scheduled backup leaves its unit failed, and OnFailure= fires", async () => {
  await machine.sh("mv /srv/photos /srv/away");
  const schedule = (OnCalendar: string) =>
    api.ask(Binding, "PATCH", `/api/v1/bindings/${binding.id}`, {
      settings: { timerConfig: { OnCalendar, RandomizedDelaySec: "0", Persistent: false } },
    });
  await schedule("*:*:0/2");
  const run = await watched("a scheduled run to fail", async () => {
    const { items } = await api.ask(page(Run), "GET", `/api/v1/runs?binding=${binding.id}&state=failed`);
    return items.find(({ trigger }) => trigger === "schedule") ?? null;
  });
  expect(run.failure?.code).toBe("source.missing");
  await schedule("daily");
  await watched("OnFailure=", async () => (await machine.sh("cat /srv/failed")).stdout.startsWith(`${unit} 1\n`));
  await watched("the unit to fail", async () => (await shown()) === "exit-code 1 failed");
  await machine.sh("mv /srv/away /srv/photos");
});

test("systemctl stop cancels the backup that the agent makes, after hooks included", async () => {
  await machine.sh("touch /srv/hold; rm /srv/order");
  const { id } = await order();
  await watched("the before hook", async () => (await machine.sh("cat /srv/order")).stdout.includes("before"));
  expect(await machine.sh(`systemctl stop ${unit}`)).toMatchObject({ code: 0, stderr: "" });
  expect((await machine.sh("rm /srv/hold; cat /srv/order")).stdout).toBe("first\nbefore\nafter\n");
  expect(await ended(id)).toMatchObject({ state: "cancelled", failure: { code: "run.cancelled" } });
  expect(await shown()).toBe("success 0 inactive");
  expect((await machine.sh(`journalctl -u ${unit} -n 20 -o cat --no-pager`)).stdout).toMatch(
    /run.cancelled[^]*Deactivated successfully/,
  );
});

test("a backup that is cancelled while its unit waits for another is no backup later either", async () => {
  const first = "/run/systemd/system/first.service";
  await machine.sh(
    `mkfifo /srv/go; sed -i 's|sleep 0.5|cat /srv/go|' ${first}; systemctl daemon-reload; rm /srv/order`,
  );
  const { id } = await order();
  const isWaiting = async () => (await machine.sh("systemctl list-jobs")).stdout.includes(`${unit} `);
  await watched("the unit to wait", isWaiting);
  await api.ask(z.unknown(), "POST", `/api/v1/runs/${id}/cancel`, {});
  await watched("the unit to wait no more", async () => !(await isWaiting()));
  expect(await ended(id)).toMatchObject({ state: "cancelled" });
  await machine.sh("echo >/srv/go");
  await watched("the other", async () => (await machine.sh("systemctl is-active first")).stdout !== "activating\n");
  expect((await machine.sh("systemctl list-jobs; cat /srv/order")).stdout).toBe("No jobs running.\nfirst\n");
  await machine.sh(`sed -i 's|cat /srv/go|true|' ${first}; systemctl daemon-reload`);
});

test("a unit that can't start does not stop its backup", async () => {
  await machine.sh(`systemctl mask --runtime ${unit}`);
  expect(await backUp()).toMatchObject({ state: "succeeded" });
  expect((await machine.sh("journalctl -u holdfast-agent -n 20 -o cat --no-pager")).stdout).toMatch(
    /the backup of "photos-disk" runs outside of holdfast-backup@photos-disk.service: .*masked/,
  );
  await machine.sh(`systemctl unmask --runtime ${unit}; rm /usr/local/bin/restic`);
});

test("the install command run again changes and restarts nothing", async () => {
  const fingerprint =
    "cd / && stat -c '%n %i %Y %a' usr/local/bin/* etc/holdfast/* etc/systemd/system/*; systemctl show -P MainPID holdfast-agent";
  const earlier = await machine.sh(fingerprint);
  const pasted = await machine.sh(command);
  expect(pasted).toMatchObject({ code: 0, stderr: "" });
  expect(pasted.stdout).toContain("already installed");
  expect(await machine.sh(fingerprint)).toEqual(earlier);
});

test("killed with -9 the agent is restarted; the unit of its backup fails, and the backup is brought to an end", async () => {
  const { connectedAt } = await online();
  await machine.sh("touch /srv/hold; rm /srv/order");
  const { id } = await order();
  await watched("the before hook", async () => (await machine.sh("cat /srv/order")).stdout.includes("before"));
  const killed = await machine.sh('kill -9 "$(systemctl show -P MainPID holdfast-agent)"');
  expect(killed.code).toBe(0);
  await onlineSince(connectedAt);
  expect(await ended(id)).toMatchObject({ state: "interrupted" });
  expect((await machine.sh("rm /srv/hold; cat /srv/order; pgrep sleep")).stdout).toBe("first\nbefore\nafter\n");
  expect(await shown()).toBe("exit-code 1 failed");
  expect((await machine.sh(`journalctl -u ${unit} -n 20 -o cat --no-pager`)).stdout).toContain(
    "the agent ended before this backup did",
  );
  expect(await backUp()).toMatchObject({ state: "succeeded" });
});

test("after a reboot the agent starts by itself, and continues", async () => {
  const { connectedAt } = await online();
  await machine.reboot();
  await onlineSince(connectedAt);
  expect(await backUp()).toMatchObject({ state: "succeeded" });
  expect((await machine.sh("holdfast-agent snapshots photos-disk")).stdout.trim().split("\n")).toHaveLength(6);
});

test("uninstall leaves nothing but the repository", async () => {
  const removed = await machine.sh("holdfast-agent uninstall --yes");
  expect(removed).toMatchObject({ code: 0 });
  expect((await machine.sh("systemctl cat holdfast-agent; pgrep -a holdfast")).stdout).toBe("");
  const left = [...(await filesOf(machine))].filter((path) => !before.has(path));
  expect(left).toEqual([]);
  expect((await machine.sh("ls /srv/backup")).stdout).toContain("snapshots");
});

/** A hook of root's, by name. */
async function hook(name: string, script: string): Promise<void> {
  await machine.sh(
    `printf '#!/bin/sh\\n%s\\n' '${script}' >/etc/holdfast/hooks.d/${name}; chmod 755 /etc/holdfast/hooks.d/${name}`,
  );
}

/** What an exporter of systemd's units reads of ours, once its run and the retention after it have ended. */
async function shown(): Promise<string> {
  await watched(
    "the unit to end",
    async () => (await machine.sh(`systemctl is-active ${unit}`)).stdout !== "activating\n",
  );
  const properties = ["Result", "ExecMainStatus", "ActiveState"].map((one) => `-P ${one}`).join(" ");
  return (await machine.sh(`systemctl show ${properties} ${unit}`)).stdout.trimEnd().replaceAll("\n", " ");
}

async function order(): Promise<{ id: string }> {
  return await api.ask(z.object({ id: z.string() }), "POST", `/api/v1/bindings/${binding.id}/run`);
}

async function backUp(): Promise<Run> {
  return await ended((await order()).id);
}

async function ended(id: string): Promise<Run> {
  return await watched(`the end of run ${id}`, async () => {
    const run = await api.ask(Run, "GET", `/api/v1/runs/${id}`);
    return isOver(run.state) ? run : null;
  });
}

/** Waits; when it is in vain, what the agent wrote to its journal is said too. */
async function watched<T>(what: string, ask: () => Promise<T | null>): Promise<Exclude<T, undefined | null | false>> {
  try {
    return await until(what, ask, 40);
  } catch (error) {
    const { stdout } = await machine.sh("journalctl -u holdfast-agent -n 40 --no-pager -o cat");
    throw new Error(`${String(error)}; the agent said:\n${stdout}`, { cause: error });
  }
}

/** The host once it has a connection newer than that one. */
async function onlineSince(earlier: string | null): Promise<Host> {
  return await watched("the host to be online", async () => {
    const now = await found();
    return now?.online === true && now.connectedAt !== null && now.connectedAt > (earlier ?? "") ? now : null;
  });
}

async function online(): Promise<Host> {
  return await onlineSince(null);
}

async function found(): Promise<Host | undefined> {
  const { items } = await api.ask(page(Host), "GET", "/api/v1/hosts");
  return items[0];
}
