import { cp, chmod, mkdtemp, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CACHE = join(import.meta.dirname, "../../node_modules/.cache/engines");

/**
 * Before all tests: puts the engines that `.ci/setup test` has fetched where every user may run them. The checkout may lie
 * where only its owner may look, and the engine runs as other users too. Afterwards they are gone.
 */
export default async function shareEngines(): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-engines-"));
  if (existsSync(CACHE)) await cp(CACHE, directory, { recursive: true, verbatimSymlinks: true });
  await chmod(directory, 0o755);
  process.env["HOLDFAST_TEST_ENGINES"] = directory;
  return () => rm(directory, { recursive: true, force: true });
}
