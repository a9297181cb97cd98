import { spawn } from "node:child_process";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { recoverInterrupted } from "../../agent/recover.ts";
import { oldestAndNewest } from "../support/engines.ts";
import { until } from "../support/until.ts";
import { type EngineHost, newId, openEngineHost, textOf, type Work } from "./engine-host.ts";

const STOPPED = { contract: { stopForRestore: ["app.service", "idle.service"] } };

/** systemctl's part that is needed here: units are files, and whoever calls is written down. */
const SYSTEMCTL = `
units=$(dirname "$0")/../units
last() { for word; do :; done; echo "$word"; }
unit=$(last "$@")
case $1 in
show) [ -e "$units/$unit" ] && echo LoadState=loaded || echo LoadState=not-found; echo "ActiveState=$(cat "$units/$unit" 2>/dev/null || echo inactive)" ;;
stop) echo "stop $unit: $(cat "$units/../data/file" 2>/dev/null)" >>"$units/said"; echo inactive >"$units/$unit" ;;
start) echo "start $unit: $(cat "$units/../data/file" 2>/dev/null)" >>"$units/said"; echo active >"$units/$unit" ;;
esac
`;

describe("the services of a contract", () => {
  let host: EngineHost;
  let work: Work;
  let file: string;
  const said = () => textOf(join(host.root, "units/said"));
  beforeEach(async () => {
    host = await openEngineHost(oldestAndNewest("restic")[1]);
    await mkdir(join(host.root, "programs"));
    await writeFile(join(host.root, "programs/systemctl"), `#!/bin/sh\n${SYSTEMCTL}`, { mode: 0o755 });
    await chmod(join(host.root, "programs/systemctl"), 0o755);
    vi.stubEnv("PATH", `${join(host.root, "programs")}${delimiter}${process.env["PATH"]}`);
    await host.write("units/app.service", "active");
    await host.write("units/idle.service", "inactive");
    file = await host.write("data/file", "kept");
    work = host.work(STOPPED);
    const stored = await host.backup(work);
    if (stored.state !== "succeeded") throw new Error(`nothing to restore from: ${JSON.stringify(stored)}`);
    await writeFile(file, "spoiled");
  });
  afterEach(() => host.close());

  it("are stopped for a restore in place and started again after the verification, if they ran", async () => {
    const outcome = await host.restore(work, {});
    expect(outcome).toMatchObject({ state: "succeeded", stats: { filesMatching: 1, filesDiffering: 0 } });
    expect(await said()).toBe("stop app.service: spoiled\nstart app.service: kept\n");
  });

  it("are left alone by a restore that writes nothing in place, and started again when one fails", async () => {
    await host.restore(work, { target: join(host.root, "aside") });
    await host.restore(work, { dryRun: true });
    await host.restore(work, { include: [join(host.root, "data/none")] });
    expect(await said()).toBe("");
    await host.policy({ services: ["other.service"] });
    const refused = await host.restore(work, {});
    expect(refused).toMatchObject({ state: "failed", failure: { code: "policy.refused" } });
    expect((await host.refusals()).map(({ code }) => code)).toEqual(["policy.services"]);
    expect(await textOf(file)).toBe("spoiled");
    expect(await said()).toBe("");

    await host.policy({ services: ["app.service", "idle.service"] });
    await rm(join(host.root, "srv/repository/data"), { recursive: true });
    expect(await host.restore(work, {})).toMatchObject({ state: "failed" });
    expect(await said()).toBe("stop app.service: spoiled\nstart app.service: spoiled\n");

    await rm(join(host.root, "units/idle.service"));
    const unknown = await host.restore(work, {});
    expect(unknown).toMatchObject({ state: "failed", failure: { code: "consistency.failed" } });
    expect(unknown.failure?.message).toContain("idle.service");
  });

  it("are started again when the agent's process is killed in between", async () => {
    await writeFile(join(host.root, "work.json"), JSON.stringify(work));
    const runId = newId();
    // Stopping takes for ever: the process is killed while it waits.
    await writeFile(
      join(host.root, "programs/systemctl"),
      `#!/bin/sh\n${SYSTEMCTL}\n[ "$1" = stop ] && sleep 300; exit 0`,
    );
    const program = join(import.meta.dirname, "mortal-runner.ts");
    const runner = spawn(process.execPath, [program, host.root, runId, "restore"], { stdio: "inherit" });
    await until("the service to be stopped", async () => (await said()) !== "");
    const gone = new Promise((resolve) => runner.once("exit", resolve));
    runner.kill("SIGKILL");
    await gone;
    await recoverInterrupted(host.deps, work.assignment);
    expect(await host.report({ runId })).toMatchObject({ run: { kind: "restore", state: "interrupted" } });
    expect(await said()).toBe("stop app.service: spoiled\nstart app.service: spoiled\n");
    expect(await textOf(join(host.root, "units/app.service"))).toBe("active\n");
  });
});
