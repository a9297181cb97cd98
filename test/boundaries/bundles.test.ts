import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const install = join(root, "dist/install");

const { version } = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(root, "package.json"), "utf8")));

const Bundle = z.object({ bytes: z.int(), packages: z.array(z.string()), external: z.array(z.string()) });
const Bundles = z.record(z.string(), Bundle);

let fresh: string;
let bundles: z.infer<typeof Bundles>;

beforeAll(() => {
  fresh = mkdtempSync(join(tmpdir(), "holdfast-bundles-"));
  bundles = Bundles.parse(
    JSON.parse(execFileSync(process.execPath, [join(root, ".ci/build.mjs"), fresh], { encoding: "utf8" })),
  );
});

afterAll(() => rmSync(fresh, { recursive: true, force: true }));

test("each bundle holds the packages that test/boundaries/packages.json lists, and no other", () => {
  const listed: unknown = JSON.parse(readFileSync(join(import.meta.dirname, "packages.json"), "utf8"));
  const inside = Object.fromEntries(
    Object.entries(bundles).map(([name, { packages, external }]) => [name, { packages, external }]),
  );
  // A new name here is a new dependency of a program that runs as root on other people's machines: list it on purpose.
  expect(inside).toEqual(listed);
});

test("the bundles stay small", () => {
  // Sealed secrets (age, with its curves and ciphers in JavaScript) are 310 kB of each.
  expect(bundles["agent.mjs"]?.bytes).toBeLessThan(1_900_000);
  expect(bundles["holdfast.mjs"]?.bytes).toBeLessThan(3_000_000);
});

test("the agent's bundle runs with nothing beside it", () => {
  expect(
    execFileSync(process.execPath, [join(fresh, "agent.mjs"), "--version"], { encoding: "utf8", cwd: fresh }),
  ).toBe(`holdfast-agent ${version}\n`);
});

test("the control plane's bundle runs with the packages it names beside it", () => {
  symlinkSync(join(root, "node_modules"), join(fresh, "node_modules"));
  const said = execFileSync(process.execPath, [join(fresh, "holdfast.mjs"), "--help"], {
    encoding: "utf8",
    cwd: fresh,
  });
  expect(said).toContain("holdfast");
});

test("the packaged agent for x64 starts without Node", () => {
  expect(execFileSync(join(install, "holdfast-agent-linux-x64"), ["--version"], { encoding: "utf8", env: {} })).toBe(
    `holdfast-agent ${version}\n`,
  );
});

test("the program reads nothing from the folder it is started in", () => {
  writeFileSync(join(fresh, "bunfig.toml"), 'preload = ["./preload.js"]\n');
  writeFileSync(join(fresh, "preload.js"), 'require("node:fs").writeFileSync("preloaded", "")');
  execFileSync(join(install, "holdfast-agent-linux-x64"), ["--version"], { cwd: fresh });
  expect(existsSync(join(fresh, "preloaded"))).toBe(false);
});

test("the packaged agent for arm64 is for that processor, and starts on Debian's libc", () => {
  // e_machine of an ELF file: 183 is AArch64.
  expect(readFileSync(join(install, "holdfast-agent-linux-arm64")).readUInt16LE(18)).toBe(183);
  const libc = join(root, "node_modules/.cache/trees/arm64-libc");
  const said = execFileSync(
    "qemu-aarch64-static",
    ["-L", libc, join(install, "holdfast-agent-linux-arm64"), "--version"],
    {
      encoding: "utf8",
    },
  );
  expect(said).toBe(`holdfast-agent ${version}\n`);
});

test("sha256sum agrees with SHA256SUMS", () => {
  expect(() =>
    execFileSync("sha256sum", ["--check", "--strict", "--quiet", "SHA256SUMS"], { cwd: install }),
  ).not.toThrow();
});
