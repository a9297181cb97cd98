import { chmod, cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { rememberVersions } from "./engines.ts";

const CACHE = join(import.meta.dirname, "../../node_modules/.cache/engines");
const DEBIANS_PYTHON_PACKAGES = "/usr/lib/python3/dist-packages";

/**
 * Before all tests: puts the engines that `.ci/setup test` has fetched where every user may run them. The checkout may
 * lie where only its owner may look, and the engine runs as other users too. Every borg, the machine's own as well,
 * gets a start that costs half. Afterwards they are gone.
 */
export default async function shareEngines(): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-engines-"));
  if (existsSync(CACHE)) await cp(CACHE, directory, { recursive: true, verbatimSymlinks: true });
  await chmod(directory, 0o755);
  for (const name of await readdir(directory)) {
    const tree = join(directory, name, "usr");
    if (existsSync(join(tree, "bin/borg")))
      await quickenBorg(join(tree, "bin"), join(tree, "lib/python3/dist-packages"));
  }
  if (existsSync(join(DEBIANS_PYTHON_PACKAGES, "borg"))) {
    const own = join(directory, "borg-of-this-machine/usr/bin");
    await mkdir(own, { recursive: true });
    await quickenBorg(own, DEBIANS_PYTHON_PACKAGES);
    process.env["PATH"] = `${own}${delimiter}${process.env["PATH"] ?? ""}`;
  }
  process.env["HOLDFAST_TEST_ENGINES"] = directory;
  rememberVersions();
  return () => rm(directory, { recursive: true, force: true });
}

/**
 * Of the quarter of a second that a call of borg takes, half goes into testing itself, finding its own entry point and
 * making guesses at the passphrase dear. The tests call it a thousand times and can do without; all else is borg's own.
 * @param bin gets an executable file `borg`. @param packages where Python finds the version to call
 */
async function quickenBorg(bin: string, packages: string): Promise<void> {
  const program = [
    "#!/usr/bin/python3",
    "import os, sys",
    `sys.path.insert(0, ${JSON.stringify(packages)})`,
    'os.environ["BORG_SELFTEST"] = "disabled"',
    "import borg.constants",
    "borg.constants.PBKDF2_ITERATIONS = 1",
    "from borg.archiver import main",
    "sys.exit(main())",
  ];
  const file = join(bin, "borg");
  await rm(file, { force: true });
  await writeFile(file, `${program.join("\n")}\n`);
  await chmod(file, 0o755);
}
