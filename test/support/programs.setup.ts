import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildPrograms } from "./built.ts";

/**
 * Before all tests: bundles the two programs once, for every test that starts one. Bundled they start in a fifth of the
 * time. What Node compiles is kept as well, for all that the tests start. Afterwards both are gone.
 */
export default async function sharePrograms(): Promise<() => Promise<void>> {
  const built = await buildPrograms();
  process.env["HOLDFAST_TEST_PROGRAMS"] = built.directory;
  const compiled = await mkdtemp(join(tmpdir(), "holdfast-compiled-"));
  process.env["NODE_COMPILE_CACHE"] = compiled;
  return async () => {
    await built.remove();
    // The last worker may still be writing into it.
    await rm(compiled, { recursive: true, force: true, maxRetries: 10 });
  };
}
