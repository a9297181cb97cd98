import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { afterAll, beforeAll, expect, test } from "vitest";

// What the programs are made of: pinned, checked by digest, listed, and under licences that allow it.

const root = join(import.meta.dirname, "../..");
const read = (path: string): unknown => JSON.parse(readFileSync(join(root, path), "utf8"));

const Entry = z.looseObject({
  version: z.string().optional(),
  integrity: z.string().optional(),
  resolved: z.string().optional(),
  license: z.string().optional(),
  dev: z.boolean().optional(),
  devOptional: z.boolean().optional(),
});
const { packages } = z.object({ packages: z.record(z.string(), Entry) }).parse(read("package-lock.json"));
const dependencies = Object.entries(packages).filter(([path]) => path !== "");
const installed = dependencies.filter(([, { dev, devOptional }]) => dev !== true && devOptional !== true);

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-supply-"));
  execFileSync(process.execPath, [join(root, ".ci/supply.mjs"), directory]);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("every dependency is one version, from the registry, with the digest of its file", () => {
  const Manifest = z.record(z.string(), z.string()).default({});
  const {
    dependencies: runtime,
    devDependencies,
    optionalDependencies,
  } = z
    .object({ dependencies: Manifest, devDependencies: Manifest, optionalDependencies: Manifest })
    .parse(read("package.json"));
  const asked = { ...runtime, ...devDependencies, ...optionalDependencies };
  expect(Object.entries(asked).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  expect(dependencies.length).toBeGreaterThan(100);
  const odd = dependencies.filter(
    ([, { integrity, resolved }]) =>
      !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? "") ||
      !(resolved === undefined || resolved.startsWith("https://registry.npmjs.org/")),
  );
  expect(odd).toEqual([]);
});

test("no dependency's install script is run", () => {
  const calls = [...readFileSync(join(root, ".ci/setup"), "utf8").matchAll(/^\s*npm (ci|install)\b.*$/gm)];
  expect(calls.map(([line]) => line)).toEqual([expect.stringContaining("--ignore-scripts")]);
});

test("what is installed to run it is under licences that allow it to be passed on, and docs/licences.md lists them", () => {
  const allowed = [
    "MIT",
    "MIT-0",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "Apache-2.0",
    "MIT OR Apache-2.0",
    "(MIT OR Apache-2.0)",
  ];
  expect(installed.filter(([, { license }]) => !allowed.includes(license ?? ""))).toEqual([]);
  // After a change of dependencies: npm run supply
  expect(readFileSync(join(root, "docs/licences.md"), "utf8")).toBe(
    readFileSync(join(directory, "licences.md"), "utf8"),
  );
});

test("the bill of materials names all of it by digest, and the runtime inside the packaged agent", () => {
  const Component = z.object({
    name: z.string(),
    version: z.string(),
    hashes: z.array(z.object({ content: z.string() })),
  });
  const { components, ...bill } = z
    .looseObject({ bomFormat: z.literal("CycloneDX"), components: z.array(Component) })
    .parse(JSON.parse(readFileSync(join(directory, "sbom.cdx.json"), "utf8")));
  expect(bill).toMatchObject({ metadata: { component: { name: "holdfast" } } });
  const inBill = new Set(components.map(({ name, version }) => `${name}@${version}`));
  const missing = installed
    .map(([path, { version }]) => `${path.split("node_modules/").at(-1)}@${version}`)
    .filter((name) => !inBill.has(name));
  expect(missing).toEqual([]);
  expect(components.filter(({ hashes }) => hashes.length === 0)).toEqual([]);
  expect(components.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["@oven/bun-linux-x64-baseline", "@oven/bun-linux-aarch64"]),
  );
});

test("the texts of what is inside the bundles go with them", () => {
  const texts = readFileSync(join(directory, "third-party.txt"), "utf8");
  for (const name of ["zod", "ws", "execa", "hono", "jose"]) expect(texts).toMatch(new RegExp(`^${name} \\d`, "m"));
});
