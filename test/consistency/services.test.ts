import { spawn } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { recoverInterrupted } from "../../agent/recover.ts";
import { type EngineHost, newId, textOf, type Work } from "../engine/engine-host.ts";
import { openReadyHost } from "../engine/ready-host.ts";
import { until } from "../support/until.ts";

/** No systemd and no containers here: these keep the state of each in a file, and write down what they are asked. */
const SYSTEMCTL = `
case $1 in
show) echo LoadState=loaded; echo "ActiveState=$(cat "$root/app.service")" ;;
stop) echo "stop $2" >>"$root/said"; echo inactive >"$root/app.service" ;;
start) echo "start $2" >>"$root/said"; echo active >"$root/app.service" ;;
esac`;
const DOCKER = `
case $1 in
container) cat "$root/$5" 2>/dev/null || exit 1 ;;
pause) echo "pause $2" >>"$root/said"; echo paused >"$root/$2" ;;
unpause) echo "unpause $2" >>"$root/said"; echo running >"$root/$2" ;;
esac`;

describe("a service that must be stopped for a backup", () => {
  let host: EngineHost;
  const out = (name: string): string => join(host.root, name);
  const said = (): Promise<string> => textOf(out("said"));
  const program = async (name: string, script: string): Promise<void> => {
    await writeFile(out(`programs/${name}`), `#!/bin/sh\nroot=${host.root}\n${script}\n`);
    await chmod(out(`programs/${name}`), 0o755);
  };
  const halting = (more: Parameters<EngineHost["work"]>[0] = {}): Work =>
    host.work({ contract: { consistency: [{ pause: "web" }, { stop: "app.service" }, { pause: "still" }] }, ...more });
  beforeEach(async () => {
    host = await openReadyHost();
    await mkdir(out("programs"));
    await program("systemctl", SYSTEMCTL);
    await program("docker", DOCKER);
    vi.stubEnv("PATH", `${out("programs")}${delimiter}${process.env["PATH"]}`);
    await host.write("app.service", "active");
    await host.write("web", "running");
    await host.write("still", "exited");
    await host.write("data/file", "one");
    await host.hook("first", `echo "before hook" >>${out("said")}`);
    await host.hook("last", `echo "after hook" >>${out("said")}`);
  });
  afterEach(() => host.close());
  const ALL = "before hook\npause web\nstop app.service\nstart app.service\nunpause web\nafter hook\n";

  it("is stopped between the hooks if it runs, and services are started again in reverse order", async () => {
    expect(await host.backup(halting({ before: ["first"], after: ["last"] }))).toMatchObject({ state: "succeeded" });
    expect(await said()).toBe(ALL);
  });

  it("is started again when the backup fails, and a service that does not start is reported", async () => {
    const missing = { before: ["first"], after: ["last"] };
    const work = halting({
      ...missing,
      contract: { consistency: [{ pause: "web" }, { stop: "app.service" }, { sqlite: out("data/none.db") }] },
    });
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "consistency.failed" } });
    expect(await said()).toBe(ALL);
    await program("systemctl", `${SYSTEMCTL}\n[ "$1" != start ] || { echo "no such luck" >&2; exit 1; }`);
    const stuck = await host.backup(halting());
    expect(stuck).toMatchObject({ state: "warned", failure: { code: "consistency.failed" } });
    expect(stuck.failure?.message).toContain("starting app.service again exited with 1: no such luck");
    expect(await textOf(out("web"))).toBe("running\n");
  });

  it("is started again, once, when the agent is killed in between", async () => {
    await host.hook("last", `echo "after hook" >>${out("said")}; sleep 0.1`);
    // Stopping takes for ever: the process is killed while it waits.
    await program("systemctl", `${SYSTEMCTL}\n[ "$1" != stop ] || sleep 300`);
    const work = halting({ before: ["first"], after: ["last"] });
    await writeFile(out("work.json"), JSON.stringify(work));
    const runId = newId();
    const runner = spawn(
      process.execPath,
      [join(import.meta.dirname, "../engine/mortal-runner.ts"), host.root, runId],
      { stdio: "inherit" },
    );
    const gone = new Promise((resolve) => runner.once("exit", resolve));
    try {
      await until("the service to be stopped", async () => (await said()).includes("stop app.service"));
    } finally {
      runner.kill("SIGKILL");
      await gone;
    }
    await recoverInterrupted(host.deps, work.assignment);
    await recoverInterrupted(host.deps, work.assignment);
    expect(await said()).toBe(ALL);
    expect(await host.report({ runId })).toMatchObject({ run: { state: "interrupted" } });
  });

  it("stays stopped during two simultaneous backups to two repositories", async () => {
    await program("systemctl", SYSTEMCTL.replace("echo inactive", "sleep 0.5; echo inactive"));
    const [one, other] = [halting(), halting({ location: out("srv/other") })];
    const { repositories, bindings } = other.assignment;
    const [repository, binding] = [repositories[0], bindings[0]].map((found) => ({ ...found, id: newId() }));
    const second = { ...other.binding, ...binding, repository: repository?.id ?? "" } as Work["binding"];
    const assignment = { ...other.assignment, repositories: [repository], bindings: [second] } as Work["assignment"];
    const outcomes = await Promise.all([host.backup(one), host.backup({ assignment, binding: second })]);
    expect(outcomes.map(({ state }) => state)).toEqual(["succeeded", "succeeded"]);
    const once = ALL.replace("before hook\n", "").replace("after hook\n", "");
    expect(await said()).toBe(once + once);
  });

  it("is not touched when the host's owner forbids it", async () => {
    await host.policy({ services: ["web", "still"] });
    expect(await host.backup(halting())).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
    expect((await host.refusals()).map(({ code }) => code)).toEqual(["policy.services"]);
    await host.policy({ services: ["web", "still", "app.service"], users: ["root"] });
    const dumping = host.work({ contract: { consistency: [{ postgres: "app" }] } });
    expect(await host.backup(dumping)).toMatchObject({ failure: { code: "policy.refused" } });
    const entering = host.work({ contract: { consistency: [{ postgres: "app", container: "db" }] } });
    expect(await host.backup(entering)).toMatchObject({ failure: { code: "policy.refused" } });
    expect(await said()).toBe("");
  });
});
