import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { wranglerCommand } from "../support/worker.ts";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-deploy-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("wrangler can deploy it as it is, without network, account or Node's modules", async () => {
  const out = join(directory, "out");
  const { command, args, cwd, env } = wranglerCommand(directory, ["deploy", "--dry-run", `--outdir=${out}`]);
  const nowhere = "http://127.0.0.1:9";
  const { stdout } = await promisify(execFile)(command, args, {
    cwd,
    env: { ...process.env, ...env, HTTP_PROXY: nowhere, HTTPS_PROXY: nowhere, CLOUDFLARE_API_TOKEN: "" },
  });
  expect(stdout).toContain("env.HOST_HUB (HostHub)");
  expect(stdout).toContain("env.HOLDFAST_DATABASE_URL");

  const bundle = await readFile(join(out, "main.js"));
  expect(bundle.toString("utf8").match(/(?:from|import|require)\s*\(?\s*["']node:[a-z/]+["']/g)).toBeNull();
  // Workers Free takes 3 MiB; a jump from some 430 KiB, with age for relayed notifications, means that something big
  // crept in.
  expect(gzipSync(bundle).length).toBeLessThan(500 * 1024);
});
