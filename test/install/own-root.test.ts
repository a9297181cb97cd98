import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { agentPaths } from "../../agent/config.ts";
import { loadPolicy } from "../../agent/policy/policy.ts";
import { createEnrollment } from "../../control/domain/hosts/enrollments.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import type { RunningControl } from "../../control/runtime/node/server.ts";
import { CreateEnrollment } from "../../shared/host.ts";
import { agentIn } from "../support/agent.ts";
import { paste } from "../support/pasted.ts";
import type { Pasted } from "../support/pasted.ts";

// The line pasted by somebody who keeps the agent in a directory of their own: no service, no root needed.

let directory: string;
let host: string;
let binary: string;
let control: RunningControl;
let other: RunningControl;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-own-root-"));
  control = await startControl(readConfig({ HOLDFAST_DATA: join(directory, "one"), HOLDFAST_PORT: "0" }));
  other = await startControl(readConfig({ HOLDFAST_DATA: join(directory, "other"), HOLDFAST_PORT: "0" }));
});

beforeEach(() => {
  host = join(directory, "host");
  mkdirSync(host);
  binary = join(host, "usr/local/bin/holdfast-agent");
});

afterEach(() => rmSync(host, { recursive: true, force: true }));

afterAll(async () => {
  await control?.close();
  await other?.close();
  rmSync(directory, { recursive: true, force: true });
});

test("the agent is installed there and enrolled, and the command to start it is printed", async () => {
  const { code, said } = await pasteLine(control, await newToken(control));
  expect(said).toContain(`Start the agent with:  HOLDFAST_AGENT_ROOT=${host} ${binary} run`);
  expect(code).toBe(0);
  const { stdout } = await agentIn(host, {}, binary).cli("status", "--json");
  expect(JSON.parse(stdout)).toMatchObject({ enrolled: { url: control.url } });
  expect(await loadPolicy(agentPaths(host))).toMatchObject({ level: "guarded", hooks: "named", fault: null });
});

test("wget is used without curl", async () => {
  const tools = join(directory, "without-curl");
  mkdirSync(tools);
  const needed = "awk cat chmod cmp cp cut getent grep gzip head id mkdir mktemp mv rm sh sha256sum uname restic wget";
  for (const tool of needed.split(" ")) symlinkSync(`/usr/bin/${tool}`, join(tools, tool));
  const { code, said } = await pasteLine(control, await newToken(control), { PATH: tools });
  expect(said).toContain("Start the agent with");
  expect(code).toBe(0);
});

test("a used-up token enrols nothing, and no agent is left", async () => {
  const token = await newToken(control);
  expect(await pasteLine(control, token)).toMatchObject({ code: 0 });
  rmSync(host, { recursive: true });
  mkdirSync(host);
  const { code, said } = await pasteLine(control, token);
  expect(code).toBe(1);
  expect(said).toContain("this machine was not enrolled");
  expect(statSync(binary, { throwIfNoEntry: false })).toBeUndefined();
});

test("another control plane's install command changes nothing on an enrolled host", async () => {
  expect(await pasteLine(control, await newToken(control))).toMatchObject({ code: 0 });
  const config = readFileSync(join(host, "etc/holdfast/agent.json"), "utf8");
  const { code, said } = await pasteLine(other, await newToken(other));
  expect(code).toBe(1);
  expect(said).toContain("uninstall");
  expect(readFileSync(join(host, "etc/holdfast/agent.json"), "utf8")).toBe(config);
});

async function newToken({ deps }: RunningControl): Promise<string> {
  return (await createEnrollment(deps, CreateEnrollment.parse({}))).token;
}

async function pasteLine(
  { url }: RunningControl,
  token: string,
  environment: Record<string, string> = {},
): Promise<Pasted> {
  const script = await (await fetch(`${url}/install.sh`)).text();
  return await paste(script, ["--token", token], { HOLDFAST_AGENT_ROOT: host, ...environment });
}
