import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const fresh = mkdtempSync(join(tmpdir(), "holdfast-reference-"));

afterAll(() => rmSync(fresh, { recursive: true }));

test("docs/reference matches the schemas (npm run generate updates it)", () => {
  execFileSync(process.execPath, [join(root, ".ci/generate.mjs"), fresh], { stdio: "inherit" });
  expect(readdirSync(fresh)).toEqual(["contract.md", "contract.schema.json", "policy.md", "policy.schema.json"]);
  for (const name of readdirSync(fresh)) {
    expect(readFileSync(join(root, "docs/reference", name), "utf8")).toBe(readFileSync(join(fresh, name), "utf8"));
  }
});
