import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const directory = mkdtempSync(join(tmpdir(), "holdfast-shell-"));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("shellcheck finds nothing in any shell script", () => {
  const scripts = [".ci", "agent/install", "dist/install"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .map((name) => join(root, folder, name))
      .filter(
        (path) =>
          readFileSync(path)
            .subarray(0, 64)
            .toString("latin1")
            .match(/^#!.*\b(ba)?sh\n/) !== null,
      ),
  );
  expect(scripts.length).toBeGreaterThan(5);
  const { stdout } = spawnSync("shellcheck", scripts, { encoding: "utf8" });
  expect(stdout).toBe("");
});

test("systemd accepts the unit, with a program in place", () => {
  const unit = readFileSync(join(root, "agent/install/holdfast-agent.service"), "utf8");
  const file = join(directory, "holdfast-agent.service");
  writeFileSync(file, unit.replace("/usr/local/bin/holdfast-agent", "/bin/true"));
  const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" });
  expect(`${stdout}${stderr}`).toBe("");
  expect(status).toBe(0);
});

test("the served script contains the unit", () => {
  const script = readFileSync(join(root, "dist/install/install.sh"), "utf8");
  expect(script).toContain(readFileSync(join(root, "agent/install/holdfast-agent.service"), "utf8"));
  execFileSync("sh", ["-n", join(root, "dist/install/install.sh")]);
});
