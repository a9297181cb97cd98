import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { lineLog } from "../../control/runtime/node/log.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import type { ControlUnderTest } from "./control-under-test.ts";

/**
 * Starts the Node runtime in this process, on a free port, with its state in a temporary directory.
 * @param environment what is set besides. @param clock the machine's own when it is left out
 */
export async function startNodeControl(
  environment: Record<string, string> = {},
  clock: { now(): number } = Date,
): Promise<ControlUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-control-"));
  const lines: string[] = [];
  const config = readConfig({
    HOLDFAST_DATA: directory,
    HOLDFAST_PORT: "0",
    HOLDFAST_WEBHOOK_PRIVATE: "allow",
    ...environment,
  });
  const control = await startControl(config, {
    clock,
    log: lineLog((line) => lines.push(line)),
  });
  const made = await createToken(control.deps, { name: "the-tests", scope: "admin", expiresInSeconds: null });
  return {
    name: "node",
    url: control.url,
    adminToken: made.token,
    output: () => lines.join(""),
    stop: async () => {
      await control.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
