import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, normalize } from "node:path";
import { untilPingsSent } from "../../../agent/run/pings.ts";
import { newId, openEngineHost } from "../../engine/engine-host.ts";
import { mustHold, type Round, type Target } from "../../fuzz/target.ts";
import { judge } from "./child.ts";
import { CANARY } from "./hostile.ts";
import { type Count, type Plan, planCase } from "./plan.ts";
import { openRecorder, type Recorded } from "./recorder.ts";
import { judgeSpawn } from "./spawns.ts";
import { judgeSsh, openSshJudge } from "./ssh.ts";
import { answerAll } from "./template.ts";

/**
 * Real runs of the agent with recorders in place of every program, and hostile texts in every field of what the control
 * plane sends. What the schema takes goes into the run; each child is held against the closed list.
 */
export function execTarget(count: Count): Target {
  return {
    name: "exec",
    share: 1,
    casesPerRound: 50,
    begin: () => openScene(count),
  };
}

async function openScene(count: Count): Promise<Round> {
  const host = await openEngineHost({ provider: "restic", version: "", path: "" });
  const recorder = await openRecorder(join(host.root, "recorder"));
  const before = {
    path: process.env["PATH"],
    restic: process.env["HOLDFAST_RESTIC"],
    borg: process.env["HOLDFAST_BORG"],
  };
  process.env["PATH"] = `${recorder.directory}:${before.path}`;
  process.env["HOLDFAST_RESTIC"] = join(recorder.directory, "restic");
  process.env["HOLDFAST_BORG"] = join(recorder.directory, "borg");
  // Hostile addresses must reach nobody.
  await host.policy({ level: "open", outgoing: "off" });
  await recorder.install(join(host.paths.hooksDir, "a-hook"));
  const ids = { host: newId(), contract: newId(), repository: newId(), binding: newId() };
  await answerAll(recorder, host.root, ids);
  const ssh = openSshJudge();
  const spawned: ChildProcess[] = [];
  const onSpawn = (message: unknown): void => void spawned.push((message as { process: ChildProcess }).process);
  subscribe("child_process", onSpawn);
  return {
    async play(dice) {
      const scene = { dice, host, recorder, ids, count };
      const plan = await planCase(scene);
      spawned.length = 0;
      const outcome = await plan.run();
      await untilPingsSent();
      // Not what the judges start themselves.
      const begun = spawned.splice(0);
      tally(count.states, `${plan.what}: ${outcome.failure?.code ?? outcome.state}`);
      const children = await recorder.taken();
      count.children += children.length;
      const story = (what: string): string =>
        `${what}\n${plan.what}: ${JSON.stringify(plan.assignment).slice(0, 6000)}`;
      for (const child of children) {
        tally(count.programs, child.program);
        for (const name of child.env.keys()) count.variables.add(name);
        const fault = judge(child) ?? judgeIntent(child, plan);
        mustHold(fault === null, () => story(`${child.program} ${JSON.stringify(child.argv)}: ${fault}`));
        const opened = await judgeSsh(ssh, child, plan.assignment.repositories[0]);
        mustHold(opened === null, () => story(`ssh of ${child.program} ${JSON.stringify(child.argv)}: ${opened}`));
      }
      for (const { spawnfile, spawnargs } of begun) {
        const fault = judgeSpawn([spawnfile, ...spawnargs.slice(1)], host.root);
        mustHold(fault === null, () => story(`started ${JSON.stringify([spawnfile, ...spawnargs])}: ${fault}`));
      }
      mustHold(!existsSync(CANARY), () => story("a hostile text was run"));
      await rm(join(host.root, "data"), { recursive: true, force: true });
    },
    async end() {
      unsubscribe("child_process", onSpawn);
      process.env["PATH"] = before.path;
      for (const [name, value] of [
        ["HOLDFAST_RESTIC", before.restic],
        ["HOLDFAST_BORG", before.borg],
      ] as const) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      await host.close();
    },
  };
}

/** That a child works on what was asked for, and on nothing else. */
function judgeIntent({ program, argv, env, text }: Recorded, plan: Plan): string | null {
  const [repository] = plan.assignment.repositories;
  const place = env.get(program === "borg" ? "BORG_REPO" : "RESTIC_REPOSITORY");
  const isOld = place?.startsWith("rest:") === true && place.includes("@");
  if (place !== undefined && place !== repository?.location && !isOld) return `another repository ${place}`;
  for (const [name, secret] of plan.secrets) {
    const given = env.get(name);
    if (given !== undefined && given !== secret) return `variable ${name} holds another secret`;
  }
  if (program === "restic" && argv.includes("--files-from-raw")) {
    const given = (text ?? "").split("\0").slice(0, -1);
    // As the file system names them: without a slash at the end, or two in a row.
    const sources = plan.sources.map((path) => normalize(path).replace(/\/$/, ""));
    const foreign = given.find((path) => !sources.includes(path) && !path.includes("/var/cache/holdfast/staging/"));
    if (foreign !== undefined) return `another source ${JSON.stringify(foreign)}`;
  }
  return null;
}

function tally(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
